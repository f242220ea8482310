//! The index of pods: 10,000 of them in 5 namespaces, 20 of each workload.

use std::hint::black_box;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use trimtab::cluster::pods::{PodRelist, PodStore, SlimPod};
use trimtab::observe::{
    ConditionStatus, ContainerKind, ContainerRequests, Pod, PodPhase, PodRequests, ReadyCondition, ResourceList,
};
use trimtab::quantity::Milli;
use trimtab::selector::Selector;

use super::{Case, Named, counted};

const PODS: usize = 10_000;
const PODS_EACH: usize = 20;
const NAMESPACES: usize = 5;
/// How many pods change at a time.
const CHANGED: usize = 1_000;

pub fn cases() -> Vec<Named> {
    vec![
        counted("pods, a list of 10,000", || Listing {
            store: PodStore::default(),
            pods: Vec::new(),
        }),
        counted("pods, 1,000 change", Changing::new),
        counted("pods, 20 selected of 2,000", Selecting::new),
    ]
}

fn pod(n: usize, ready: ConditionStatus) -> SlimPod {
    let workload = n / PODS_EACH;
    let since = Timestamp::from_second(1_767_600_000 + n as i64).expect("a time");
    let container = |name: &str, cpu| ContainerRequests {
        name: name.into(),
        kind: ContainerKind::Main,
        requests: ResourceList(vec![("cpu".into(), Milli(cpu)), ("memory".into(), Milli(256 << 20))]),
    };
    let labels = [
        ("app.kubernetes.io/name", format!("web-{workload}")),
        ("app.kubernetes.io/instance", format!("release-{}", workload % 50)),
        ("app.kubernetes.io/managed-by", "Helm".into()),
        ("pod-template-hash", format!("5d4f8c7b9{}", workload % 10)),
    ];
    SlimPod {
        namespace: format!("team-{}", workload % NAMESPACES),
        resource_version: "123456789".into(),
        labels: labels.map(|(key, value)| (key.to_owned(), value)).into(),
        facts: Pod {
            name: format!("web-{workload}-5d4f8c7b9-{n:05x}").into(),
            phase: PodPhase::Running,
            terminating: false,
            ready: Some(ReadyCondition {
                status: ready,
                since: Some(since + SignedDuration::from_secs(10)),
            }),
            started: Some(since),
            requests: Arc::new(PodRequests {
                containers: vec![container("app", 100), container("proxy", 50)],
                ..PodRequests::default()
            }),
        },
    }
}

fn full() -> PodStore {
    let (store, mut relist) = (PodStore::default(), PodRelist::default());
    (0..PODS).for_each(|n| relist.add(pod(n, ConditionStatus::True)));
    store.replace(None, relist);
    store
}

struct Listing {
    store: PodStore,
    pods: Vec<SlimPod>,
}

impl Case for Listing {
    fn prepare(&mut self) {
        self.pods = (0..PODS).map(|n| pod(n, ConditionStatus::True)).collect();
    }

    fn run(&mut self) {
        let mut relist = PodRelist::default();
        self.pods.drain(..).for_each(|pod| relist.add(pod));
        self.store.replace(None, relist);
    }
}

struct Changing {
    store: PodStore,
    ready: bool,
    pods: Vec<SlimPod>,
}

impl Changing {
    fn new() -> Self {
        Self {
            store: full(),
            ready: true,
            pods: Vec::new(),
        }
    }
}

impl Case for Changing {
    /// Every tenth pod becomes unready, and ready the next time.
    fn prepare(&mut self) {
        self.ready = !self.ready;
        let ready = if self.ready {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        };
        self.pods = (0..PODS).step_by(PODS / CHANGED).map(|n| pod(n, ready)).collect();
    }

    fn run(&mut self) {
        self.pods.drain(..).for_each(|pod| self.store.apply(pod));
    }
}

struct Selecting {
    store: PodStore,
    selector: Selector,
}

impl Selecting {
    fn new() -> Self {
        Self {
            store: full(),
            selector: Selector::parse("app.kubernetes.io/name=web-7").expect("a selector"),
        }
    }
}

impl Case for Selecting {
    fn run(&mut self) {
        let picked = black_box(self.store.select("team-2", &self.selector));
        assert_eq!(picked.len(), PODS_EACH);
    }
}
