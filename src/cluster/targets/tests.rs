use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use kube::client::Body;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::service_fn;

use super::*;
use crate::cluster::client::{ClientSettings, Clients};
use crate::cluster::scale::write_scale;
use crate::cluster::script::{Answer, Script};
use crate::cluster::watch::WatchOptions;
use crate::cluster::watches::Scope;

const END_OF_LIST: &str = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"5","annotations":{"k8s.io/initial-events-end":"true"}}}}
"#;
const WEB: &str = r#"{"type":"ADDED","object":{"metadata":{"namespace":"shop","name":"web","resourceVersion":"4"},"spec":{"replicas":3,"selector":{"matchLabels":{"app":"web"}}},"status":{"replicas":2}}}
"#;
const SCALE: &str = r#"{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"resourceVersion":"9"},"spec":{"replicas":7},"status":{"replicas":6,"selector":"app=web"}}"#;

/// Targets whose watches answer with `watched`, whatever is watched, and whose requests are answered by a script.
async fn targets(watched: Answer, answers: impl IntoIterator<Item = Answer>) -> (Targets, Script) {
    let (watching, asking) = (Script::always(watched), Script::new(answers));
    let options = WatchOptions {
        streamed_lists: true,
        seed: 1,
    };
    let watches = Watches::new(watching.client(), Scope::Cluster, options, CancellationToken::new());
    let client = asking.client();
    let targets = Targets::start(client.clone(), client, Arc::new(watches), Duration::from_secs(5));
    targets.watches.ready().await;
    (targets, asking)
}

fn target(api_version: &str, kind: &str) -> ObjectRef {
    ObjectRef {
        api_version: api_version.into(),
        kind: kind.into(),
        name: "web".into(),
    }
}

fn listed() -> Answer {
    Answer::Open(WEB.to_owned() + END_OF_LIST)
}

fn scale_answer() -> Answer {
    Answer::Whole(200, SCALE.to_owned())
}

async fn count(targets: &Targets, api_version: &str, kind: &str) -> Result<i32, ScaleFailure> {
    targets
        .scale(&"shop".into(), &target(api_version, kind))
        .await
        .map(|(scale, _)| scale.spec_replicas)
}

#[tokio::test(start_paused = true)]
async fn a_deployment_costs_no_request_and_shows_what_was_written() {
    let (targets, asking) = targets(listed(), []).await;
    let (scale, resource) = targets
        .scale(&"shop".into(), &target("apps/v1beta1", "Deployment"))
        .await
        .unwrap();
    assert_eq!(
        (scale.spec_replicas, scale.status_replicas, &*scale.selector),
        (3, 2, "app=web")
    );
    assert_eq!(
        resource.scale_path(),
        "/apis/apps/v1/namespaces/shop/deployments/web/scale"
    );
    targets.note_written(&resource, 5, "8");
    assert_eq!(count(&targets, "apps/v1", "deployment").await, Ok(5));
    assert!(asking.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn after_a_conflict_the_server_is_asked_and_the_cache_learns_it() {
    let (targets, asking) = targets(listed(), [scale_answer()]).await;
    assert_eq!(count(&targets, "apps/v1", "Deployment").await, Ok(3));
    let (scale, _) = targets
        .fresh_scale(&"shop".into(), &target("apps/v1", "Deployment"))
        .await
        .unwrap();
    assert_eq!(scale.spec_replicas, 7);
    assert_eq!(count(&targets, "apps/v1", "Deployment").await, Ok(7));
    assert_eq!(
        asking.asked(),
        ["GET /apis/apps/v1/namespaces/shop/deployments/web/scale"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_cache_does_not_have_is_asked_for() {
    let missing = r#"{"kind":"Status","code":404,"message":"deployments.apps \"web\" not found"}"#;
    let (targets, _) = targets(
        Answer::Open(END_OF_LIST.to_owned()),
        [scale_answer(), Answer::Whole(404, missing.to_owned())],
    )
    .await;
    assert_eq!(count(&targets, "apps/v1", "Deployment").await, Ok(7));
    let expected = ScaleFailure::NotRead("deployments.apps \"web\" not found".to_owned());
    assert_eq!(count(&targets, "apps/v1", "Deployment").await, Err(expected));
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_watched_is_asked_for() {
    let (targets, asking) = targets(Answer::Whole(403, String::new()), [scale_answer(), scale_answer()]).await;
    assert_eq!(count(&targets, "apps/v1", "Deployment").await, Ok(7));
    assert_eq!(count(&targets, "v1", "ReplicationController").await, Ok(7));
    assert_eq!(
        asking.asked()[1],
        "GET /api/v1/namespaces/shop/replicationcontrollers/web/scale"
    );
}

#[tokio::test(start_paused = true)]
async fn replica_sets_are_watched_once_somebody_asks_for_one() {
    let (targets, asking) = targets(listed(), [scale_answer()]).await;
    assert_eq!(targets.watches.health().len(), 2);
    assert_eq!(count(&targets, "apps/v1", "ReplicaSet").await, Ok(7));
    targets.watches.ready().await;
    assert_eq!((targets.watches.health().len(), asking.asked().len()), (3, 1));
    targets.note_written(
        &targets
            .scale(&"shop".into(), &target("apps/v1", "ReplicaSet"))
            .await
            .unwrap()
            .1,
        2,
        "99",
    );
    assert_eq!(count(&targets, "apps/v1", "ReplicaSet").await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn any_other_kind_is_found_through_discovery() {
    let group = r#"{"versions":[{"version":"v1"}],"preferredVersion":{"version":"v1"}}"#;
    let resources = r#"{"resources":[{"name":"rollouts","kind":"Rollout","namespaced":true},
        {"name":"rollouts/scale","kind":"Scale","namespaced":true},
        {"name":"runs","kind":"Run","namespaced":true},{"name":"grids","kind":"Grid"}]}"#;
    let answers = [
        Answer::Whole(200, group.to_owned()),
        Answer::Whole(200, resources.to_owned()),
        scale_answer(),
    ];
    let (targets, asking) = targets(listed(), answers).await;
    assert_eq!(count(&targets, "argo.io/v9", "Rollout").await, Ok(7));
    assert_eq!(
        asking.asked()[2],
        "GET /apis/argo.io/v1/namespaces/shop/rollouts/web/scale"
    );
    let failures = [
        (
            count(&targets, "argo.io/v1", "Run").await,
            "runs have no scale subresource: they cannot be scaled",
        ),
        (
            count(&targets, "argo.io/v1", "Grid").await,
            "grids are not in namespaces: an autoscaler scales objects of its own namespace",
        ),
        (
            count(&targets, "argo.io/v1", "Rolout").await,
            r#"no resource of kind "Rolout" in API group "argo.io"; is its CustomResourceDefinition installed?"#,
        ),
        (
            count(&targets, "a/b/c", "Rollout").await,
            r#"apiVersion "a/b/c" has more than one slash: want group/version, such as apps/v1"#,
        ),
    ];
    for (outcome, expected) in failures {
        assert_eq!(outcome.unwrap_err().message(), expected);
    }
}

/// Whoever serves a custom resource, or converts it, may not answer: that is nothing to those who scale Deployments.
#[tokio::test(start_paused = true)]
async fn scales_of_a_custom_kind_that_hang_hold_up_no_write() {
    let hangs = service_fn(|request: Request<Body>| async move {
        let answer = match request.uri().path() {
            "/apis/argo.io" => r#"{"versions":[{"version":"v1"}]}"#,
            "/apis/argo.io/v1" => {
                r#"{"resources":[{"name":"rollouts","kind":"Rollout","namespaced":true},{"name":"rollouts/scale","kind":"Scale"}]}"#
            }
            path if path.contains("/rollouts/") => std::future::pending().await,
            _ => SCALE,
        };
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer))))
    });
    let base = Client::new(hangs, "default");
    let clients = Clients::over(base, &ClientSettings::default(), "made up".into(), "default".into());
    let options = WatchOptions {
        streamed_lists: true,
        seed: 1,
    };
    let watching = Script::always(listed()).client();
    let watches = Watches::new(watching, Scope::Cluster, options, CancellationToken::new());
    let time = Duration::from_secs(5);
    let targets = Targets::start(clients.api.clone(), clients.custom.clone(), Arc::new(watches), time);
    targets.watches.ready().await;
    let (shop, rollout) = ("shop".into(), target("argo.io/v1", "Rollout"));
    let (_, web) = targets.scale(&shop, &target("apps/v1", "Deployment")).await.unwrap();

    let begun = Instant::now();
    // More than there are places.
    let hanging = futures_util::future::join_all((0..100).map(|_| targets.scale(&shop, &rollout)));
    let write = async {
        // They are all under way, or wait.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let written = write_scale(&clients.api, &web, 3, 7, time).await;
        (written.map(|written| written.replicas), begun.elapsed())
    };
    let (scales, (written, took)) = futures_util::join!(hanging, write);
    assert!(scales.iter().all(Result::is_err) && begun.elapsed() == time);
    assert_eq!((written.ok(), took), (Some(7), Duration::from_secs(1)));
}
