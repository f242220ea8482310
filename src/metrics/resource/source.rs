//! `metrics.k8s.io` of a cluster: one list per namespace and pass, or one for the whole cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use jiff::Timestamp;
use kube::Client;
use tokio::time::Instant;

use super::freshness::{Notes, Shown, Subject, newest};
use super::under_way::{Listed, UnderWay};
use super::{Labels, NamespaceUsages, PodMetricsReader, Usages, decode};
use crate::metrics::allowance::Allowance;
use crate::metrics::api::{Answer, Answers, Api, PASS_BYTES};
use crate::metrics::failure::{MetricsApi, SourceError};
use crate::metrics::guard::{Guard, GuardSettings};
use crate::observe::FailureKind;
use crate::selector::Selector;
use crate::wire::protobuf;

/// The largest answer: 150 000 pods (Kubernetes' own limit) of two containers at 564 bytes are 85 MB; three times that,
/// for more containers and long labels.
pub const ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// Protobuf from servers that have it, as metrics-server and others that are built on Kubernetes' library do.
const ACCEPTED: &str = "application/vnd.kubernetes.protobuf, application/json;q=0.9";

/// What one more request costs, in pods listed: about a millisecond for all who take part in it (trimtab, the API
/// server that hands it on, metrics-server), which encode, decode and select some 10 µs a pod.
const PODS_PER_REQUEST: usize = 100;

/// Passes without another try of the whole cluster after it was forbidden: ten minutes at the usual 15 s.
const PASSES_AFTER_FORBIDDEN: u64 = 40;

/// Hands out the names of the pods of a namespace that are known and have exactly these labels; see [`Usages::mark_strangers`].
pub type KnownByLabels = Arc<dyn Fn(&str, &Labels, &mut dyn FnMut(&str)) + Send + Sync>;

/// The resource metrics of a cluster.
#[derive(Clone)]
pub struct ResourceMetricsSource {
    api: Api,
    /// Passes begun, and the pass from which on the whole cluster may be asked for again.
    passes: Arc<AtomicU64>,
    cluster_again: Arc<AtomicU64>,
    under_way: UnderWay,
}

/// What a pass will ask for.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// How many pods are known in each namespace that has autoscalers which ask for resource metrics.
    pub pods_by_namespace: BTreeMap<Arc<str>, usize>,
    /// How many pods are known in the whole cluster; `None` where trimtab looks after some namespaces only, and so
    /// has no right to ask for the whole cluster.
    pub pods_of_cluster: Option<usize>,
}

impl Plan {
    /// Whether one list of the whole cluster is cheaper than one for each namespace: it saves requests, and costs
    /// the pods of the namespaces that nobody asks about.
    pub fn prefers_cluster(&self) -> bool {
        let Some(of_cluster) = self.pods_of_cluster else {
            return false;
        };
        let asked: usize = self.pods_by_namespace.values().sum();
        let saved_requests = self.pods_by_namespace.len().saturating_sub(1);
        saved_requests > 0 && of_cluster.saturating_sub(asked) < saved_requests.saturating_mul(PODS_PER_REQUEST)
    }
}

impl ResourceMetricsSource {
    /// The source behind `client`, asked within the bounds of `settings`. `seed` varies how long it rests after failures.
    pub fn new(client: Client, settings: GuardSettings, seed: u64) -> Self {
        Self {
            api: Api::new(client, MetricsApi::Resource, settings, ANSWER_BYTES, seed),
            passes: Arc::default(),
            cluster_again: Arc::default(),
            under_way: UnderWay::default(),
        }
    }

    /// Begins a pass. Nothing is asked before someone waits for an answer.
    pub fn pass(&self, plan: &Plan, known: KnownByLabels) -> ResourcePass {
        let number = self.passes.fetch_add(1, Ordering::Relaxed);
        let cluster = plan.prefers_cluster() && number >= self.cluster_again.load(Ordering::Relaxed);
        let asker = Asker {
            source: self.clone(),
            known,
            number,
            notes: Arc::default(),
            allowance: Allowance::new(PASS_BYTES),
        };
        ResourcePass {
            cluster: cluster.then(|| asker.clone().cluster().boxed().shared()),
            namespaces: Answers::default(),
            asker,
        }
    }

    /// A small read, for nothing but the time of the newest sample of the subject's pods; `None` where there is none.
    ///
    /// # Errors
    ///
    /// As [`ResourcePass::usages`].
    pub async fn probe(&self, subject: &Subject) -> Result<Option<Timestamp>, SourceError> {
        let Subject { namespace, selector } = subject.clone();
        let path = path_of(&namespace);
        let selected = selector.to_string();
        let read = move |body: &Bytes| {
            let usages = Usages::decode(decode::text(body)?)?;
            Ok(newest(&usages.of(&namespace), &selector))
        };
        let query = [("labelSelector", selected.as_str())];
        self.api
            .guard()
            .ask(self.api.get(&path, &query, &Allowance::new(PASS_BYTES), read))
            .await
    }

    /// What stands before the API.
    pub fn guard(&self) -> &Guard {
        self.api.guard()
    }
}

/// The answers of one pass: each is asked for once, and all who wait for it get the same one.
///
/// A future that nobody polls any more does not move on; dropping the pass gives up what is under way.
pub struct ResourcePass {
    cluster: Option<Answer<Arc<Usages>>>,
    namespaces: Answers<Arc<str>, Arc<NamespaceUsages>>,
    asker: Asker,
}

impl ResourcePass {
    /// The usages of a namespace's pods.
    ///
    /// # Errors
    ///
    /// The failure of the question, the same for all who asked it. Where the whole cluster was asked for and that is
    /// forbidden, the namespace alone is tried.
    pub async fn usages(&self, namespace: &Arc<str>) -> Result<Arc<NamespaceUsages>, SourceError> {
        if let Some(cluster) = self.cluster.clone() {
            match cluster.await {
                Err(error) if error.kind == FailureKind::Forbidden => {}
                outcome => return outcome.map(|usages| usages.of(namespace)),
            }
        }
        let ask = || self.asker.clone().namespace(namespace.clone());
        self.namespaces.get(namespace.clone(), ask).await
    }
}

impl ResourcePass {
    /// Whether the whole cluster is asked for.
    pub fn is_of_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    /// Waits for the answer of the whole cluster, where it is asked for.
    pub async fn wait_for_cluster(&self) {
        if let Some(cluster) = self.cluster.clone() {
            _ = cluster.await;
        }
    }

    /// Notes what the answers show of this subject; to be called before anything is asked.
    pub fn watch(&self, subject: Option<Subject>) {
        self.asker.notes.watch(subject);
    }

    /// What the answers have shown of the subject so far.
    pub fn shown(&self) -> Option<Shown> {
        self.asker.notes.shown()
    }

    /// Whose pods could be looked at as the next subject; `None` where nobody has got usages.
    pub fn candidate(&self) -> Option<Subject> {
        self.asker.notes.candidate()
    }

    /// An autoscaler with so many pods has got its usages.
    pub(in crate::metrics) fn consider(&self, namespace: &Arc<str>, selector: &Selector, pods: usize) {
        self.asker.notes.consider(namespace, selector, pods);
    }
}

/// Asks one pass's questions.
#[derive(Clone)]
struct Asker {
    source: ResourceMetricsSource,
    known: KnownByLabels,
    number: u64,
    notes: Arc<Notes>,
    allowance: Allowance,
}

impl Asker {
    async fn cluster(self) -> Result<Arc<Usages>, SourceError> {
        let outcome = self.list("/apis/metrics.k8s.io/v1beta1/pods".to_owned()).await;
        if matches!(&outcome, Err(error) if error.kind == FailureKind::Forbidden) {
            let again = self.number + 1 + PASSES_AFTER_FORBIDDEN;
            self.source.cluster_again.store(again, Ordering::Relaxed);
        }
        let Listed { asked, usages } = outcome?;
        self.notes.answered(asked, None, |namespace| usages.of(namespace));
        Ok(usages)
    }

    async fn namespace(self, namespace: Arc<str>) -> Result<Arc<NamespaceUsages>, SourceError> {
        let Listed { asked, usages } = self.list(path_of(&namespace)).await?;
        let usages = usages.of(&namespace);
        self.notes.answered(asked, Some(&namespace), |_| usages.clone());
        Ok(usages)
    }

    async fn list(&self, path: String) -> Result<Listed, SourceError> {
        let ask = || {
            let (asker, path) = (self.clone(), path.clone());
            async move {
                let asked = Instant::now();
                let usages = asker.source.api.guard().ask(asker.read(&path)).await?;
                let usages = Arc::new(usages);
                Ok(Listed { asked, usages })
            }
        };
        self.source.under_way.list(&path, ask).await
    }

    async fn read(&self, path: &str) -> Result<Usages, SourceError> {
        let (api, known) = (&self.source.api, self.known.clone());
        let mark = move |mut usages: Usages| {
            usages.mark_strangers(|namespace, labels, each| known(namespace, labels, each));
            usages
        };
        let mut incoming = api.begin(path, ACCEPTED, &self.allowance).await?;
        if !incoming.is(protobuf::MEDIA_TYPE) {
            let body = api.whole(incoming).await?;
            let bytes = body.len();
            self.allowance.spend(bytes);
            return api
                .decode(bytes, move || Usages::decode(decode::text(&body)?).map(mark))
                .await;
        }
        let mut reader = PodMetricsReader::default();
        while let Some(piece) = api.next(&mut incoming).await? {
            reader.push(&piece).map_err(|error| api.unreadable(error))?;
        }
        self.allowance.spend(incoming.taken());
        api.decode(incoming.taken(), move || reader.finish().map(mark)).await
    }
}

fn path_of(namespace: &str) -> String {
    format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;
    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::future::join_all;
    use http::{Request, Response, header};
    use http_body_util::Full;
    use kube::client::Body;
    use tower::service_fn;

    use super::*;
    use crate::metrics::guard::GuardCounts;
    use crate::metrics::script::server;

    /// One pod a namespace.
    fn list(namespaces: &[&str]) -> String {
        let items: Vec<String> = namespaces
            .iter()
            .map(|ns| format!(r#"{{"metadata":{{"name":"a","namespace":"{ns}"}}}}"#))
            .collect();
        let items = items.join(",");
        format!(r#"{{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","items":[{items}]}}"#)
    }

    fn plan(pods: &[(&str, usize)], of_cluster: Option<usize>) -> Plan {
        let pods_by_namespace: BTreeMap<Arc<str>, usize> =
            pods.iter().map(|(ns, pods)| ((*ns).into(), *pods)).collect();
        Plan {
            pods_by_namespace,
            pods_of_cluster: of_cluster,
        }
    }

    fn begin(source: &ResourceMetricsSource, plan: &Plan) -> ResourcePass {
        source.pass(plan, Arc::new(|_, _, _| {}))
    }

    #[test]
    fn the_cluster_is_asked_where_that_costs_less() {
        assert!(!plan(&[("shop", 10)], Some(10)).prefers_cluster());
        assert!(plan(&[("shop", 10), ("bank", 10)], Some(20)).prefers_cluster());
        assert!(plan(&[("shop", 10), ("bank", 10)], Some(119)).prefers_cluster());
        assert!(!plan(&[("shop", 10), ("bank", 10)], Some(120)).prefers_cluster());
        assert!(!plan(&[("shop", 10), ("bank", 10)], None).prefers_cluster());
        assert!(!plan(&[], Some(5)).prefers_cluster());
    }

    #[tokio::test(start_paused = true)]
    async fn many_autoscalers_of_a_namespace_share_one_question() {
        let (client, asked) = server(|_| (200, list(&["shop"])));
        let source = ResourceMetricsSource::new(client, GuardSettings::default(), 1);
        let pass = begin(&source, &plan(&[("shop", 1)], None));
        let shop: Arc<str> = "shop".into();
        let answers = join_all((0..100).map(|_| pass.usages(&shop))).await;
        assert!(
            answers
                .into_iter()
                .all(|answer| answer.unwrap().named("a").count() == 1)
        );
        assert_eq!(*asked.lock(), ["/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods"]);
        assert_eq!(
            source.guard().counts(),
            GuardCounts {
                answered: 1,
                failed: 0,
                refused: 0
            }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_list_of_the_cluster_answers_for_all_namespaces() {
        let (client, asked) = server(|_| (200, list(&["shop", "bank"])));
        let source = ResourceMetricsSource::new(client, GuardSettings::default(), 1);
        let pass = begin(&source, &plan(&[("shop", 1), ("bank", 1)], Some(2)));
        for (namespace, pods) in [("shop", 1), ("bank", 1), ("empty", 0)] {
            assert_eq!(
                pass.usages(&namespace.into()).await.unwrap().named("a").count(),
                pods,
                "{namespace}"
            );
        }
        assert_eq!(*asked.lock(), ["/apis/metrics.k8s.io/v1beta1/pods"]);
    }

    #[tokio::test]
    async fn a_server_that_has_protobuf_answers_in_it() {
        let service = service_fn(|request: Request<Body>| async move {
            let accepted = request.headers()[header::ACCEPT].to_str().unwrap();
            assert_eq!(accepted, "application/vnd.kubernetes.protobuf, application/json;q=0.9");
            let item = b"\x0a\x09\x0a\x01a\x1a\x04shop";
            let head = b"\x0a\x16metrics.k8s.io/v1beta1\x12\x0ePodMetricsList";
            let body = [&b"k8s\0\x0a\x28"[..], head, b"\x12\x0d\x12\x0b", item].concat();
            let response = Response::builder().header(header::CONTENT_TYPE, protobuf::MEDIA_TYPE);
            Ok::<_, Infallible>(response.body(Full::new(Bytes::from(body))).unwrap())
        });
        let source = ResourceMetricsSource::new(Client::new(service, "default"), GuardSettings::default(), 1);
        let pass = begin(&source, &plan(&[("shop", 1)], None));
        assert_eq!(pass.usages(&"shop".into()).await.unwrap().named("a").count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_cluster_is_forbidden_the_namespaces_are_asked() {
        let (client, asked) = server(|path| {
            if path.contains("namespaces") {
                (200, list(&["shop"]))
            } else {
                (403, String::new())
            }
        });
        let source = ResourceMetricsSource::new(client, GuardSettings::default(), 1);
        let plan = plan(&[("shop", 1), ("bank", 1)], Some(2));
        for _ in 0..=PASSES_AFTER_FORBIDDEN {
            let pass = begin(&source, &plan);
            assert_eq!(pass.usages(&"shop".into()).await.unwrap().named("a").count(), 1);
        }
        let of_cluster = |asked: &[String]| asked.iter().filter(|path| !path.contains("namespaces")).count();
        assert_eq!(of_cluster(&asked.lock()), 1);
        begin(&source, &plan).usages(&"shop".into()).await.unwrap();
        assert_eq!(of_cluster(&asked.lock()), 2);
    }

    async fn failure(code: u16, body: &str) -> crate::observe::MetricFailure {
        let body = body.to_owned();
        let (client, _) = server(move |_| (code, body.clone()));
        let source = ResourceMetricsSource::new(client, GuardSettings::default(), 1);
        begin(&source, &Plan::default())
            .usages(&"shop".into())
            .await
            .unwrap_err()
            .failure()
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_has_its_kind_and_says_what_to_look_at() {
        for (code, body, kind, part) in [
            (
                404,
                "404 page not found",
                FailureKind::Unavailable,
                "is metrics-server installed",
            ),
            (
                503,
                "service unavailable",
                FailureKind::Unavailable,
                "is metrics-server installed",
            ),
            (
                403,
                r#"{"message":"pods.metrics.k8s.io is forbidden"}"#,
                FailureKind::Forbidden,
                "is forbidden",
            ),
            (0, "", FailureKind::TimedOut, "no answer within 10s"),
            (200, "{}", FailureKind::BadAnswer, "decode the PodMetricsList"),
            (200, "nonsense", FailureKind::BadAnswer, "line 1 column 2"),
        ] {
            let failure = failure(code, body).await;
            assert_eq!(failure.kind, kind, "{code}");
            assert!(
                failure
                    .message
                    .starts_with("unable to fetch metrics from resource metrics API: "),
                "{}",
                failure.message
            );
            assert!(failure.message.contains(part), "{}", failure.message);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn passes_that_overlap_share_a_list_until_it_ends() {
        let (client, asked) = slow_server(Duration::from_secs(8));
        let source = ResourceMetricsSource::new(client, GuardSettings::default(), 1);
        let shop: Arc<str> = "shop".into();
        let ask = async |after: u64| {
            tokio::time::sleep(Duration::from_secs(after)).await;
            let pass = begin(&source, &Plan::default());
            let began = tokio::time::Instant::now();
            let pods = pass.usages(&shop).await.map(|usages| usages.named("a").count());
            (pods.unwrap(), began.elapsed().as_secs())
        };
        let answers = tokio::join!(ask(0), ask(1), ask(7), ask(9));
        assert_eq!(answers, ((1, 8), (1, 7), (1, 1), (1, 8)));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shared_list_that_fails_is_asked_for_again_by_who_came_later_and_one_that_is_given_up_goes_on() {
        let (client, asked) = slow_server(Duration::from_secs(11));
        let source = ResourceMetricsSource::new(client, GuardSettings::default(), 1);
        let shop: Arc<str> = "shop".into();
        let first = async {
            let pass = begin(&source, &Plan::default());
            // The first one has no time any more.
            tokio::time::timeout(Duration::from_secs(3), pass.usages(&shop)).await
        };
        let second = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let began = tokio::time::Instant::now();
            let outcome = begin(&source, &Plan::default()).usages(&shop).await;
            (outcome.map(|_| ()).unwrap_err().kind, began.elapsed())
        };
        let (first, (kind, took)) = tokio::join!(first, second);
        assert!(first.is_err());
        // Nine seconds of the first one's ten, then ten of its own.
        assert_eq!((kind, took), (FailureKind::TimedOut, Duration::from_secs(19)));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    /// Answers after so long, and counts the requests.
    fn slow_server(takes: Duration) -> (Client, Arc<AtomicU64>) {
        let asked = Arc::new(AtomicU64::new(0));
        let counted = asked.clone();
        let service = service_fn(move |_: Request<Body>| {
            counted.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::time::sleep(takes).await;
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(list(&["shop"])))))
            }
        });
        (Client::new(service, "default"), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_hangs_does_not_delay_another() {
        let (client, _) = server(|path| {
            if path.contains("slow") {
                (0, String::new())
            } else {
                (200, list(&["shop"]))
            }
        });
        let source = ResourceMetricsSource::new(client, GuardSettings::default(), 1);
        let pass = begin(&source, &Plan::default());
        let began = tokio::time::Instant::now();
        let (slow, shop) = ("slow".into(), "shop".into());
        let quick = async { pass.usages(&shop).await.map(|_| began.elapsed()) };
        let (slow, quick) = tokio::join!(pass.usages(&slow), quick);
        assert_eq!(slow.unwrap_err().kind, FailureKind::TimedOut);
        assert!(quick.unwrap() < Duration::from_secs(1));
    }
}
