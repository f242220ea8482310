use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use super::super::fake::{Fake, json};
use super::*;

fn settings(url: &str) -> sources::Endpoint {
    sources::Endpoint {
        url: url.to_owned(),
        ca_file: None,
        client_certificate: None,
        credentials: Credentials::None,
        headers: BTreeMap::new(),
        query_parameters: BTreeMap::new(),
        timeout: Duration::from_secs(10),
        queries_per_pass: NonZeroU32::MIN,
        queries_in_flight: NonZeroU32::MIN,
    }
}

fn endpoint(settings: &sources::Endpoint) -> Endpoint {
    Endpoint::new(&"main".into(), settings, None)
        .map_err(|error| error.to_string())
        .unwrap()
}

async fn ask(endpoint: &Endpoint) -> Result<Answer, QueryError> {
    endpoint
        .query("up", Timestamp::from_millisecond(1_767_600_000_123).unwrap())
        .await
}

const ONE: &str = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#;

/// What becomes of a query that is answered with these bytes.
async fn failure(answer: impl Into<Vec<u8>>) -> QueryError {
    let answer = answer.into();
    let fake = Fake::start(move |_| answer.clone()).await;
    ask(&endpoint(&settings(&fake.url))).await.unwrap_err()
}

/// A folder of this test alone; gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("trimtab-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_query_says_its_time_to_the_millisecond_and_all_that_is_configured() {
    let fake = Fake::start(|_| json(200, ONE)).await;
    let mut settings = settings(&format!("{}/prometheus/", fake.url));
    settings.headers.insert("X-Scope-OrgID".into(), "shop".into());
    settings.query_parameters.insert("dedup".into(), "true".into());
    assert_eq!(ask(&endpoint(&settings)).await.unwrap().series.len(), 1);
    let asked = fake.asked()[0].clone();
    assert!(asked.starts_with("POST /prometheus/api/v1/query HTTP/1.1"), "{asked}");
    assert!(asked.contains("x-scope-orgid: shop"), "{asked}");
    assert!(
        asked.ends_with("query=up&time=1767600000.123&timeout=10000ms&dedup=true"),
        "{asked}"
    );
}

#[tokio::test]
async fn who_takes_no_post_is_asked_by_get_from_then_on() {
    let fake = Fake::start(|asked| match asked.starts_with("POST") {
        true => json(405, ""),
        false => json(200, ONE),
    })
    .await;
    let endpoint = endpoint(&settings(&fake.url));
    for _ in 0..2 {
        ask(&endpoint).await.unwrap();
    }
    let methods: Vec<String> = fake.asked().iter().map(|asked| asked[..4].to_owned()).collect();
    assert_eq!(methods, ["POST", "GET ", "GET "]);
    assert!(endpoint.takes_no_post());
}

#[tokio::test]
async fn a_token_is_read_again_when_it_changes() {
    let folder = Folder::new("token");
    let file = folder.file("token", "first\n");
    let fake = Fake::start(|_| json(200, ONE)).await;
    let mut settings = settings(&fake.url);
    settings.credentials = Credentials::BearerToken { file: file.clone() };
    let endpoint = endpoint(&settings);
    let age = || endpoint.link.lock().read = Instant::now() - FILES_EVERY * 2;
    ask(&endpoint).await.unwrap();
    // As Kubernetes does it: the name leads to another file, of the same size.
    let other = folder.file("other", "secnd\n");
    std::fs::remove_file(&file).unwrap();
    age();
    // Gone for a moment: the former token stays in use.
    ask(&endpoint).await.unwrap();
    std::os::unix::fs::symlink(other, &file).unwrap();
    age();
    ask(&endpoint).await.unwrap();
    let bearer = |asked: &String| asked.split("authorization: Bearer ").nth(1).unwrap()[..5].to_owned();
    let asked: Vec<String> = fake.asked().iter().map(bearer).collect();
    assert_eq!(asked, ["first", "first", "secnd"]);
}

#[tokio::test]
async fn a_user_and_password_are_written_as_basic_credentials() {
    let folder = Folder::new("basic");
    let fake = Fake::start(|_| json(200, ONE)).await;
    let mut settings = settings(&fake.url);
    settings.credentials = Credentials::Basic {
        username: "Aladdin".into(),
        password_file: folder.file("password", "open sesame\n"),
    };
    ask(&endpoint(&settings)).await.unwrap();
    // The example of RFC 7617.
    let expected = "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    assert!(fake.asked()[0].contains(expected), "{}", fake.asked()[0]);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_its_secrets_are_not_told() {
    let error = failure("HTTP/1.1 302 Found\r\nLocation: /login?token=secret\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(error.failure, QueryFailure::WrongAddress);
    assert!(error.message.contains("/login ("), "{error}");
    assert!(!error.message.contains("secret"), "{error}");
}

#[tokio::test]
async fn each_fault_has_its_failure() {
    use QueryFailure::*;
    for (answer, expected, part) in [
        (json(401, "no"), Unauthorized, "`bearer-token-file`"),
        (json(404, "404 page not found"), WrongAddress, "lack a path"),
        (json(503, ""), Overloaded, "503"),
        (
            json(
                400,
                r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#,
            ),
            BadQuery,
            "bad_data: parse error",
        ),
        (json(200, "<html>"), Unreadable, "not that of a Prometheus"),
        (json(200, "\u{0}"), Unreadable, "not that of a Prometheus"),
        (b"garbage\r\n\r\n".to_vec(), Unreachable, "invalid HTTP"),
        (Vec::new(), Unreachable, "connection closed"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"status\"".to_vec(),
            Unreachable,
            "body",
        ),
    ] {
        let error = failure(answer).await;
        assert_eq!(error.failure, expected, "{error}");
        assert!(error.message.contains(part), "{error}");
        assert!(!error.message.contains("127.0.0.1"), "{error}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_not_read() {
    let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    answer.resize(ANSWER_BYTES + 1024, b' ');
    assert_eq!(failure(answer).await.failure, QueryFailure::TooLarge);
}

#[tokio::test]
async fn nobody_there_is_said_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = ask(&endpoint(&settings(&url))).await.unwrap_err();
    assert_eq!(error.failure, QueryFailure::Unreachable);
    assert!(error.message.contains("Connection refused"), "{error}");
    assert!(error.message.contains("is the `url` right"), "{error}");
}

#[tokio::test]
async fn the_names_of_series_are_asked_with_the_rules_own_selector() {
    let fake = Fake::start(|_| json(200, r#"{"status":"success","data":["a","b"]}"#)).await;
    let at = Timestamp::from_second(1_767_600_000).unwrap();
    let endpoint = endpoint(&settings(&format!("{}/p", fake.url)));
    let names = endpoint.series_names(r#"{__name__=~"^x_.*"}"#, at).await.unwrap();
    assert_eq!(names, ["a".into(), "b".into()]);
    let asked = fake.asked()[0].clone();
    assert!(
        asked.starts_with(
            "GET /p/api/v1/label/__name__/values?match%5B%5D=%7B__name__%3D%7E%22%5Ex_.*%22%7D&start=1767600000.000 "
        ),
        "{asked}"
    );
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let folder = Folder::new("settings");
    let problem = |change: &dyn Fn(&mut sources::Endpoint)| {
        let mut settings = settings("http://prometheus:9090");
        change(&mut settings);
        Endpoint::new(&"main".into(), &settings, None)
            .err()
            .map(|error| error.to_string())
    };
    assert_eq!(problem(&|_| ()), None);
    let empty = folder.file("empty", "");
    for (change, part) in [
        (
            &(|s: &mut sources::Endpoint| s.url = "prometheus:9090".into()) as &dyn Fn(&mut sources::Endpoint),
            "must begin with http",
        ),
        (&|s| s.url = "http://u:secret@host".into(), "must not hold credentials"),
        (&|s| s.url = "http://host/?dedup=true".into(), "see `query-parameters`"),
        (
            &|s| s.ca_file = Some("/nowhere/ca.crt".into()),
            "/nowhere/ca.crt: No such file",
        ),
        (&|s| s.ca_file = Some(empty.clone()), "`ca-file` holds no certificate"),
        (
            &|s| s.credentials = Credentials::BearerToken { file: empty.clone() },
            "is empty",
        ),
        (
            &|s| drop(s.headers.insert("a b".into(), "c".into())),
            "\"a b\" is no name of a header",
        ),
        (
            &|s| drop(s.headers.insert("a".into(), "c\nd".into())),
            "the header a cannot have this value",
        ),
    ] {
        let problem = problem(change).unwrap();
        assert!(
            problem.starts_with("prometheus main: ") && problem.contains(part),
            "{problem}"
        );
        assert!(!problem.contains("secret"), "{problem}");
    }
}
