use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use tokio::time::advance;

use super::*;
use crate::cluster::script::{Answer, Script};
use crate::wire::protobuf::put_bytes;

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    resource_version: String,
}

impl Watched for Object {
    const COLLECTION: Collection = Collection {
        group: "apps",
        version: "v1",
        plural: "things",
    };

    /// Only the tests' own form: `name@version`.
    const READ_PROTOBUF: Option<ReadProtobuf<Self>> = Some(|bytes| {
        let text = std::str::from_utf8(bytes).map_err(|_| ProtobufError::NotText)?;
        let (name, resource_version) = text.split_once('@').ok_or(ProtobufError::CutOff)?;
        let (name, resource_version) = (name.to_owned(), resource_version.to_owned());
        Ok(Self {
            metadata: Metadata { name, resource_version },
        })
    });

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}

/// Names and versions.
#[derive(Default)]
struct Objects(Mutex<BTreeMap<String, String>>);

impl Store for Objects {
    type Object = Object;
    type Relist = BTreeMap<String, String>;

    fn add(&self, relist: &mut Self::Relist, object: Object) {
        relist.insert(object.metadata.name, object.metadata.resource_version);
    }

    fn replace(&self, _: Option<&str>, relist: Self::Relist) {
        *self.0.lock() = relist;
    }

    fn apply(&self, object: Object) {
        self.0
            .lock()
            .insert(object.metadata.name, object.metadata.resource_version);
    }

    fn delete(&self, object: Object) {
        self.0.lock().remove(&object.metadata.name);
    }
}

struct Running {
    script: Script,
    objects: Arc<Objects>,
    handle: WatchHandle,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(streamed_lists: bool, answers: impl IntoIterator<Item = Answer>) -> Self {
        let (script, objects) = (Script::new(answers), Arc::new(Objects::default()));
        let options = WatchOptions {
            streamed_lists,
            seed: 7,
        };
        let (watch, handle) = Watch::new(
            script.client(),
            objects.clone(),
            Place::of("shop"),
            Need::Required,
            options,
        );
        Self {
            script,
            objects,
            handle,
            task: tokio::spawn(watch.run()),
        }
    }

    /// Lets everything happen that can happen without time going by.
    async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!self.task.is_finished(), "a watch goes on for ever");
    }

    async fn after(&self, seconds: u64) {
        self.settle().await;
        advance(Duration::from_secs(seconds)).await;
        self.settle().await;
    }

    fn objects(&self) -> String {
        self.objects
            .0
            .lock()
            .iter()
            .map(|(name, version)| format!("{name}@{version}"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn trouble(&self) -> Option<&'static str> {
        self.handle.health().trouble.map(|trouble| trouble.reason)
    }

    /// The parameters of each request that tell what kind it is.
    fn asked(&self) -> Vec<String> {
        let kind = |request: &String| {
            let (path, query) = request.split_once('?').unwrap();
            assert_eq!(path, "GET /apis/apps/v1/namespaces/shop/things");
            let telling = ["sendInitialEvents", "resourceVersion", "limit", "continue"];
            query
                .split('&')
                .filter(|p| telling.contains(&p.split('=').next().unwrap()))
                .collect::<Vec<_>>()
                .join("&")
        };
        self.script.asked().iter().map(kind).collect()
    }
}

fn object(name: &str, version: &str) -> serde_json::Value {
    json!({"metadata": {"name": name, "resourceVersion": version}})
}

fn event(kind: &str, name: &str, version: &str) -> String {
    json!({"type": kind, "object": object(name, version)}).to_string() + "\n"
}

fn bookmark(version: &str, end: bool) -> String {
    let annotations = if end {
        json!({"k8s.io/initial-events-end": "true"})
    } else {
        json!({})
    };
    let object = json!({"metadata": {"resourceVersion": version, "annotations": annotations}});
    json!({"type": "BOOKMARK", "object": object}).to_string() + "\n"
}

fn page(names: &[&str], version: &str, rest: &str) -> Answer {
    let items: Vec<_> = names.iter().map(|name| object(name, version)).collect();
    Answer::Whole(
        200,
        json!({"metadata": {"resourceVersion": version, "continue": rest}, "items": items}).to_string(),
    )
}

fn refusal(code: u16) -> Answer {
    Answer::Whole(
        code,
        json!({"kind": "Status", "code": code, "message": "no"}).to_string(),
    )
}

#[tokio::test(start_paused = true)]
async fn a_streamed_list_appears_at_once_and_changes_follow() {
    let list = event("ADDED", "a", "1") + &event("ADDED", "b", "2");
    let more = bookmark("5", true) + &event("MODIFIED", "a", "6") + &event("DELETED", "b", "7");
    let running = Running::start(true, [Answer::Open(list.clone())]);
    running.settle().await;
    assert_eq!(
        (running.objects().as_str(), running.handle.health().is_ready()),
        ("", false)
    );

    let running = Running::start(true, [Answer::Open(list + &more)]);
    running.settle().await;
    assert_eq!(running.objects(), "a@6");
    let health = running.handle.health();
    assert!(health.is_ready() && health.trouble.is_none());
    assert_eq!((health.resource.as_str(), health.lists), ("things.apps", 1));
    assert_eq!(running.asked(), ["sendInitialEvents=true"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_in_protobuf_is_understood() {
    fn field(number: u32, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut field = Vec::new();
        put_bytes(&mut field, number, bytes.as_ref());
        field
    }
    let frame = |kind: &str, object: &[u8]| {
        let body = [b"k8s\0".to_vec(), field(2, object)].concat();
        let event = [field(1, kind), field(2, field(1, body))].concat();
        [&u32::try_from(event.len()).unwrap().to_be_bytes()[..], &event].concat()
    };
    let bookmark = |version: &str, end: &str| {
        let annotation = field(12, [field(1, INITIAL_EVENTS_END), field(2, end)].concat());
        frame("BOOKMARK", &field(1, [field(6, version), annotation].concat()))
    };
    let first = [
        frame("ADDED", b"a@1"),
        frame("ADDED", b"b@2"),
        frame("ADDED", b"unreadable"),
        bookmark("4", "false"),
        bookmark("5", "true"),
        frame("MODIFIED", b"a@6"),
        frame("DELETED", b"b@7"),
        frame("ERROR", &[&field(3, "too old")[..], b"\x30\x9a\x03"].concat()),
    ];
    let second = [frame("ADDED", b"c@8"), bookmark("8", "true")];
    let running = Running::start(
        true,
        [Answer::Protobuf(first.concat()), Answer::Protobuf(second.concat())],
    );
    running.settle().await;
    assert_eq!((running.objects().as_str(), running.trouble()), ("a@6", Some("Gone")));
    running.after(1).await;
    assert_eq!((running.objects().as_str(), running.trouble()), ("c@8", None));
    assert_eq!(running.handle.health().unreadable, 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_the_watch_is_asked_to_go_on_from_there() {
    let list = event("ADDED", "a", "1") + &bookmark("5", true);
    let running = Running::start(true, [Answer::Broken(list), Answer::Open(event("ADDED", "b", "8"))]);
    running.after(1).await;
    assert_eq!(running.objects(), "a@1 b@8");
    assert_eq!(running.asked(), ["sendInitialEvents=true", "resourceVersion=5"]);
    assert_eq!((running.trouble(), running.handle.health().lists), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn too_old_a_version_means_a_new_list_and_what_it_lacks_is_gone() {
    let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}).to_string();
    let first = event("ADDED", "a", "1") + &event("ADDED", "b", "2") + &bookmark("5", true) + &gone + "\n";
    let second = event("ADDED", "b", "9") + &bookmark("9", true);
    let running = Running::start(true, [Answer::Open(first), Answer::Open(second)]);
    running.settle().await;
    assert_eq!(
        (running.objects().as_str(), running.trouble()),
        ("a@1 b@2", Some("Gone"))
    );
    running.after(1).await;
    assert_eq!((running.objects().as_str(), running.trouble()), ("b@9", None));
    assert_eq!(running.handle.health().lists, 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_streamed_lists_is_read_in_pages_from_then_on() {
    let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410}}).to_string() + "\n";
    let running = Running::start(
        true,
        [
            refusal(422),
            page(&["a", "b"], "", "x"),
            page(&["c"], "4", ""),
            Answer::Open(gone),
            page(&["c"], "9", ""),
        ],
    );
    running.settle().await;
    assert_eq!(running.objects(), "a@ b@ c@4");
    running.after(1).await;
    assert_eq!(running.objects(), "c@9");
    let expected = [
        "sendInitialEvents=true",
        "limit=500",
        "limit=500&continue=x",
        "resourceVersion=4",
        "limit=500",
        "resourceVersion=9",
    ];
    assert_eq!(running.asked(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_never_ends_is_read_in_pages() {
    let stuck = Answer::Open(event("ADDED", "a", "1"));
    let running = Running::start(true, [stuck, page(&["a", "b"], "4", ""), Answer::Open(String::new())]);
    running.after(10).await;
    assert!(!running.handle.health().is_ready());
    running.after(6).await;
    assert_eq!(running.objects(), "a@4 b@4");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_says_nothing_is_opened_again() {
    let list = Answer::Open(event("ADDED", "a", "1") + &bookmark("5", true));
    let running = Running::start(true, [list, Answer::Open(bookmark("6", false))]);
    running.after(80).await;
    assert_eq!(running.handle.health().heard_ago, Some(Duration::from_secs(80)));
    running.after(11).await;
    assert_eq!((running.trouble(), running.objects().as_str()), (None, "a@1"));
    assert_eq!(running.asked(), ["sendInitialEvents=true", "resourceVersion=5"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_forbidden_says_which_right_is_missing_and_is_tried_again() {
    let running = Running::start(true, [refusal(403), Answer::Open(bookmark("5", true))]);
    running.settle().await;
    let trouble = running.handle.health().trouble.unwrap();
    assert_eq!(trouble.reason, "Forbidden");
    let help = "; grant the verbs list and watch on things.apps in namespace shop (by a Role there)";
    assert!(trouble.message.ends_with(help), "{}", trouble.message);
    running.handle.settled().await;
    assert_eq!((running.trouble(), running.objects().as_str()), (None, ""));
    assert_eq!(running.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn waits_between_tries_are_bounded() {
    let running = Running::start(false, (0..100).map(|_| refusal(503)));
    for _ in 0..600 {
        running.after(1).await;
    }
    let tries = running.script.asked().len();
    assert!((40..90).contains(&tries), "{tries} tries in ten minutes");
    let trouble = running.handle.health().trouble.unwrap();
    assert_eq!((trouble.reason, trouble.lasts.as_secs()), ("Unavailable", 600));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_is_counted_and_left_out() {
    let bad = json!({"type": "ADDED", "object": {"metadata": {"name": 5}}}).to_string() + "\n";
    let list = bad.clone() + &event("ADDED", "a", "1") + &bookmark("5", true) + &bad;
    let running = Running::start(true, [Answer::Open(list)]);
    running.settle().await;
    assert_eq!(
        (running.objects().as_str(), running.handle.health().unreadable),
        ("a@1", 2)
    );
}
