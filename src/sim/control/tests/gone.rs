//! What is exported of an autoscaler goes with it, whenever that is.

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Full;

use super::*;
use crate::sim::api::{AnswerBody, LEASES};
use crate::telemetry::{Telemetry, Vitals};

/// How many autoscalers are told of, one by one and in all.
fn exported(telemetry: &Telemetry) -> (usize, bool) {
    let text = telemetry.metrics();
    let has = |beginning: &'static str| text.lines().filter(move |line| line.starts_with(beginning));
    let one_by_one = has("horizontal_pod_autoscaler_controller_desired_replicas{").count();
    let none = has("horizontal_pod_autoscaler_controller_num_horizontal_pod_autoscalers 0").count();
    (one_by_one, none == 0)
}

fn scene() -> (Scene, Arc<Telemetry>) {
    let behaviour = Behaviour {
        cpu: Load::Steady(90.0),
        ..Behaviour::default()
    };
    (
        Scene::begin(behaviour, cpu(50)),
        Telemetry::new(minutes(1), Vitals::default),
    )
}

fn delete(scene: &Scene) {
    scene.api.store.delete(&AUTOSCALERS, "shop", "web", |_| Ok(())).unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_that_is_deleted_while_nobody_leads_is_told_of_no_more() {
    let (scene, telemetry) = scene();
    let options = ProcessOptions {
        elected_as: Some("one".into()),
        ..ProcessOptions::default()
    };
    let process = Process::start(&scene.api, &scene.clock, options, telemetry.clone());
    scene.until(minutes(2)).await;
    assert_eq!(exported(&telemetry), (1, true));
    let taken = scene.api.store.update(&LEASES, LEASE_NAMESPACE, LEASE, |lease| {
        let mut lease = lease.clone();
        lease["spec"]["holderIdentity"] = "somebody".into();
        Ok(lease)
    });
    taken.unwrap();
    // It looks every two seconds, and takes the Lease back ten after it has seen the other.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(exported(&telemetry), (0, false), "it decides for none");
    delete(&scene);
    sleep(minutes(1)).await;
    let lease = scene.api.store.get(&LEASES, LEASE_NAMESPACE, LEASE).unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "one");
    assert_eq!(exported(&telemetry), (0, false));
    process.stop().await;
}

/// Holds up the answers about a metric of pods.
struct Gate {
    open: watch::Sender<bool>,
    waiting: watch::Sender<bool>,
}

impl Between for Gate {
    fn carry<'a>(
        &'a self,
        api: &'a Api,
        request: Request<Bytes>,
    ) -> BoxFuture<'a, std::io::Result<Response<AnswerBody>>> {
        let is_asked = request.uri().path().ends_with("/qps");
        async move {
            if is_asked {
                self.waiting.send_replace(!*self.open.borrow());
                let _ = self.open.subscribe().wait_for(|open| *open).await;
            }
            Ok(api.answer(request.map(Full::new)).await)
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_outlives_its_autoscaler_does_not_bring_it_back() {
    // Its sync is under way while it waits; one that wants nothing but usages begins once they are there.
    let qps = WorkloadMetric::Pods {
        name: "qps".into(),
        load: Load::Steady(20.0),
    };
    let behaviour = Behaviour {
        metrics: vec![qps],
        ..Behaviour::default()
    };
    let wanted = json!([{ "type": "Pods", "pods": { "metric": { "name": "qps" },
        "target": { "type": "AverageValue", "averageValue": "10" } } }]);
    let scene = Scene::begin(behaviour, wanted);
    let telemetry = Telemetry::new(minutes(1), Vitals::default);
    let gate = Arc::new(Gate {
        open: watch::Sender::new(true),
        waiting: watch::Sender::new(false),
    });
    let options = ProcessOptions {
        between: Some(gate.clone()),
        ..ProcessOptions::default()
    };
    let process = Process::start(&scene.api, &scene.clock, options, telemetry.clone());
    scene.until(minutes(2)).await;
    assert_eq!(exported(&telemetry), (1, true));
    gate.open.send_replace(false);
    gate.waiting.subscribe().wait_for(|waits| *waits).await.unwrap();
    delete(&scene);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(exported(&telemetry), (0, false), "it is told at once");
    gate.open.send_replace(true);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(exported(&telemetry), (0, false));
    process.stop().await;
}
