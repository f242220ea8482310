//! No secret is told: not in logs at their finest, not on a page, not in a snapshot, a status or an Event.
//!
//! `trimtab run` works on the demo's cluster with a secret in each place that can hold one. Its Prometheus is hostile: it
//! answers with everything that it was sent.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

/// None of them may be found anywhere, nor what basic authentication makes of the password.
const SECRETS: [(&str, &str); 9] = [
    ("the user in the API server's address", "aDdReSsPaSsWoRd"),
    ("the password of the proxy", "pRoXyPaSsWoRd"),
    ("the same as it is sent", "bWU6cFJvWHlQYVNzV29SZA=="),
    ("the kubeconfig's token", "kUbEcOnFiGtOkEn"),
    ("the token of a Prometheus", "bEaReRtOkEn"),
    ("the password of a Prometheus", "bAsIcPaSsWoRd"),
    ("the same as it is sent", "dHJpbXRhYjpiQXNJY1BhU3NXb1Jk"),
    ("the value of a header", "hEaDeRvAlUe"),
    ("the token of /metrics", "mEtRiCsToKeN"),
];

/// Something that a condition is waited for at most so long; on a quiet machine it takes a second or two.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder of the test's own, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("trimtab-secrets-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that ends with the test, whatever becomes of it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn trimtab() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trimtab"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// The simulated cluster, and its address.
fn cluster() -> (Running, String) {
    let mut child = trimtab()
        .args(["demo", "--serve-api=0"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("trimtab starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let address = loop {
        let line = lines.next().expect("it prints").expect("it prints text");
        if let Some(rest) = line.strip_prefix("kubectl --server=http://") {
            break rest.split(' ').next().unwrap_or_default().to_owned();
        }
    };
    // Somebody has to read what it goes on to print.
    std::thread::spawn(move || lines.for_each(drop));
    (Running(child), address)
}

/// A server that refuses each query with all that it was sent, its head and its body.
fn hostile_prometheus() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("a port");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
            let mut sent = vec![0; 16 * 1024];
            let mut length = 0;
            while let Ok(more @ 1..) = stream.read(&mut sent[length..]) {
                length += more;
            }
            // Short enough to be told whole.
            let sent = String::from_utf8_lossy(&sent[..length]);
            let telling = ["authorization", "x-scope-orgid", "x-key"].map(|name| {
                let line = sent.lines().find(|line| line.to_lowercase().starts_with(name));
                line.unwrap_or_default().to_owned()
            });
            let body = sent.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let parameter: String = body.split('&').filter(|pair| pair.starts_with("key=")).collect();
            let error = format!("you said {} and {parameter}", telling.join(" "));
            let body = json!({"status": "error", "errorType": "bad_data", "error": error}).to_string();
            let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n";
            let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    format!("http://{address}")
}

/// Sends one request; gives the whole answer.
fn ask(address: &str, method: &str, path: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

/// Asks until the answer is as it should be.
#[track_caller]
fn wait_for(what: &str, mut ask: impl FnMut() -> Option<String>) -> String {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not come");
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("a port").to_string()
}

/// A proxy that carries each connection to where it says that it is to go; its address.
fn proxy() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("a port").to_string();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || carry(client));
        }
    });
    address
}

/// Carries one connection until one side ends it.
fn carry(client: TcpStream) -> Option<()> {
    let mut lines = BufReader::new(client.try_clone().ok()?);
    let (mut first, mut line) = (String::new(), String::new());
    lines.read_line(&mut first).ok()?;
    // The client waits for an answer to its head before it sends more.
    while lines.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let server = TcpStream::connect(first.split(' ').nth(1)?).ok()?;
    (&client).write_all(b"HTTP/1.1 200 Connected\r\n\r\n").ok()?;
    let (mut from, mut to) = (server.try_clone().ok()?, client.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    let _ = std::io::copy(&mut &client, &mut &server);
    server.shutdown(std::net::Shutdown::Both).ok()
}

/// A kubeconfig with all that is secret in one; and the key in it, as it stands there and line by line as it is read.
fn kubeconfig(folder: &Folder, address: &str) -> (String, Vec<String>) {
    let key =
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout me.key -out me.crt -subj /CN=me";
    let made = Command::new("openssl")
        .args(key.split(' '))
        .current_dir(&folder.0)
        .output();
    let made = made.expect("openssl is there: `tests/run tools` installs it");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let user = json!({
        "token": "kUbEcOnFiGtOkEn",
        "client-certificate": folder.path("me.crt"), "client-key": folder.path("me.key"),
    });
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "demo",
        "clusters": [{"name": "demo", "cluster": {
            "server": format!("http://me:aDdReSsPaSsWoRd@{address}"),
            "proxy-url": format!("http://me:pRoXyPaSsWoRd@{}", proxy()),
        }}],
        "users": [{"name": "me", "user": user}],
        "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "me"}}],
    });
    let pem = std::fs::read_to_string(folder.path("me.key")).expect("openssl has written it");
    let lines = pem.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned);
    (folder.file("kubeconfig", &config.to_string()), lines.collect())
}

fn configuration(folder: &Folder, prometheus: &str) -> String {
    let (token, password) = (
        folder.file("token", "bEaReRtOkEn\n"),
        folder.file("password", "bAsIcPaSsWoRd\n"),
    );
    let listen = folder.file("listen-token", "mEtRiCsToKeN\n");
    let config = json!({
        "listen-token-file": listen, "log-filter": "trace", "sync-period": "2s",
        "prometheus": {
            "basic": {"url": prometheus, "basic-auth": {"username": "trimtab", "password-file": password},
                "headers": {"X-Scope-OrgID": "hEaDeRvAlUe"}, "query-parameters": {"key": "no-secret"}},
            "bearer": {"url": prometheus, "bearer-token-file": token, "headers": {"X-Key": "hEaDeRvAlUe"}},
        },
        "metrics": {
            "depth": {"type": "External", "prometheus": "basic", "query": "sum(depth{namespace=\"$namespace\"})"},
            "width": {"type": "External", "prometheus": "bearer", "query": "sum(width{namespace=\"$namespace\"})"},
        },
    });
    // JSON is YAML.
    folder.file("trimtab.yaml", &config.to_string())
}

/// Everything that was told, by where.
#[derive(Default)]
struct Told(Vec<(String, String)>);

impl Told {
    fn add(&mut self, place: &str, text: impl Into<String>) {
        self.0.push((place.to_owned(), text.into()));
    }

    fn file(&mut self, place: &str, path: &Path) {
        let mut text = String::new();
        let file = File::open(path).expect("it was written");
        BufReader::new(file).read_to_string(&mut text).expect("it is text");
        self.add(place, text);
    }

    /// The text of a place, where something is to be found in it: else its silence would prove nothing.
    #[track_caller]
    fn holds(&self, place: &str, part: &str) {
        let (_, text) = self.0.iter().find(|(known, _)| known == place).expect("it was told");
        let beginning: String = text.chars().take(3000).collect();
        assert!(text.contains(part), "{place} does not hold {part:?}:\n{beginning}");
    }
}

#[test]
fn no_secret_is_told_in_logs_pages_snapshots_statuses_or_events() {
    let folder = Folder::new("told");
    let (_demo, cluster) = cluster();
    let (kubeconfig, key) = kubeconfig(&folder, &cluster);
    let configuration = configuration(&folder, &hostile_prometheus());
    let path = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/search";
    let external = |name: &str| {
        json!({"type": "External",
        "external": {"metric": {"name": name}, "target": {"type": "Value", "value": "10"}}})
    };
    let patch = json!({"spec": {"metrics": [external("depth"), external("width")]}}).to_string();
    let patched = ask(
        &cluster,
        "PATCH",
        path,
        "Content-Type: application/merge-patch+json\r\n",
        &patch,
    );
    assert!(patched.starts_with("HTTP/1.1 200"), "{patched}");

    let log = folder.path("log");
    let listen = free_port();
    let common = [
        format!("--kubeconfig={kubeconfig}"),
        format!("--config={configuration}"),
    ];
    let child = trimtab()
        .arg("run")
        .args(&common)
        .arg(format!("--listen={listen}"))
        // The demo's own controller holds the Lease of the default name.
        .arg("--leader-elect-resource-name=another")
        .stdout(File::create(folder.path("out")).expect("a file"))
        .stderr(File::create(&log).expect("a file"))
        .spawn()
        .expect("trimtab starts");
    let running = Running(child);
    let mut told = Told::default();
    let token = "Authorization: Bearer mEtRiCsToKeN\r\n";
    let page = |path: &str| {
        TcpStream::connect(&listen).ok()?;
        Some(ask(&listen, "GET", path, token, ""))
    };
    // Both have been asked, and both refusals have been said.
    let status = wait_for("the failure of both metrics", || {
        page("/status/shop/search").filter(|status| status.contains("Prometheus basic: bad_data"))
    });
    told.add("the status of an autoscaler", status);
    for path in ["/metrics", "/readyz", "/healthz", "/memory/shop/search"] {
        told.add(path, page(path).expect("it listens"));
    }
    told.add("/metrics without the token", ask(&listen, "GET", "/metrics", "", ""));
    let list = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers";
    told.add(
        "conditions",
        wait_for("the condition", || {
            let objects = ask(&cluster, "GET", list, "", "");
            objects.contains("Prometheus basic").then_some(objects)
        }),
    );
    let events = "/api/v1/namespaces/shop/events";
    told.add(
        "Events",
        wait_for("the Event", || {
            let objects = ask(&cluster, "GET", events, "", "");
            objects.contains("Prometheus basic").then_some(objects)
        }),
    );
    told.file("the log", &wait_for_in(&log, "Prometheus basic"));
    told.file("standard output", &folder.path("out"));

    let token_file = format!("--controller-token-file={}", folder.path("listen-token").display());
    let controller = format!("--controller={listen}");
    let with_controller = [controller.as_str(), token_file.as_str()];
    let commands: [(&str, &[&str]); 6] = [
        ("snapshot shop/search", &with_controller),
        ("explain shop/search", &with_controller),
        ("explain shop/search --output=json", &[]),
        ("once --output=json", &[]),
        ("settings", &[]),
        ("query shop/search", &[]),
    ];
    for (command, further) in commands {
        let output = trimtab()
            .args(command.split(' '))
            .args(known_by(command, &common))
            .args(further)
            .output()
            .expect("trimtab starts");
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        let _ = write!(text, "\n{}", String::from_utf8_lossy(&output.stderr));
        told.add(command, text);
    }
    drop(running);

    told.holds("the log", " TRACE ");
    told.holds("/metrics", "trimtab_metric_questions_total");
    told.holds("/metrics without the token", "HTTP/1.1 401");
    told.holds("snapshot shop/search", "depth");
    told.holds("explain shop/search", "Prometheus basic");
    told.holds("settings", "bearer-token-file");
    assert!(key.len() >= 2, "{} lines of the key", key.len());
    let key = key.iter().map(|line| ("the kubeconfig's key", line.as_str()));
    let secrets: Vec<(&str, &str)> = SECRETS.into_iter().chain(key).collect();
    for (place, text) in &told.0 {
        for (what, secret) in &secrets {
            let Some(at) = text.find(secret) else { continue };
            let around: String = text[..at]
                .chars()
                .rev()
                .take(300)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect();
            panic!("{what} stands in {place}, behind: {around}");
        }
    }
}

/// `settings` knows of no cluster.
fn known_by<'a>(command: &str, common: &'a [String; 2]) -> &'a [String] {
    if command == "settings" { &common[1..] } else { common }
}

/// The file, once it holds this.
fn wait_for_in(path: &Path, part: &str) -> PathBuf {
    wait_for(part, || {
        let text = std::fs::read(path).expect("it was made");
        String::from_utf8_lossy(&text).contains(part).then(String::new)
    });
    path.to_owned()
}

#[test]
fn a_secret_in_a_setting_that_is_wrong_is_not_repeated() {
    let folder = Folder::new("mistakes");
    let file = folder.file(
        "wrong.yaml",
        "prometheus:\n  main:\n    url: https://me:uRlSeCrEt@prometheus.example\n    headers: {Authorization: hEaDeRsEcReT}\n",
    );
    for arguments in [
        vec!["settings".to_owned(), format!("--config={file}")],
        vec![
            "settings".to_owned(),
            "--prometheus-url=https://me:uRlSeCrEt@prometheus.example".to_owned(),
        ],
    ] {
        let output = trimtab().args(&arguments).output().expect("trimtab starts");
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            !output.status.success() && text.contains("prometheus.example"),
            "{text}"
        );
        assert!(!text.contains("uRlSeCrEt") && !text.contains("hEaDeRsEcReT"), "{text}");
    }
}

/// kube itself would show the lines around a mistake, what a plug-in has printed, and the address of a proxy.
#[test]
fn a_secret_in_a_kubeconfig_that_cannot_be_used_is_not_repeated() {
    let folder = Folder::new("kubeconfigs");
    let config = |cluster: &str, user: &str| {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:1'{cluster}}}}}]\nusers:\n- name: u\n  user:\n{user}\n"
        )
    };
    let plugin = |script: &str| {
        format!(
            "    exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: ['-c', '{script}'], \
             interactiveMode: Never, env: [{{name: KEY, value: sEcReT}}]}}"
        )
    };
    for (text, told) in [
        (
            config("", "    token: sEcReT\n   - wrong"),
            "it is no kubeconfig (line ",
        ),
        (config("", "    sEcReT"), "it is no kubeconfig (line "),
        (
            config("", "    token: |\n      sEcReT\n"),
            "the user's token has a character that none can have",
        ),
        (
            config("", &plugin("echo $KEY; exit 3")),
            "plug-in ended with exit status: 3",
        ),
        (
            config("", &plugin("echo \"token [ $KEY\"")),
            "printed is no ExecCredential",
        ),
        (
            config(", proxy-url: 'socks5://me:sEcReT@127.0.0.1:1'", "    token: t"),
            "the proxy socks5://127.0.0.1 is",
        ),
        (
            config(", proxy-url: 'gopher://me:sEcReT@127.0.0.1:1'", "    token: t"),
            "the proxy gopher://127.0.0.1 is",
        ),
        (
            config("", "    client-key-data: sEcReT!\n    client-certificate-data: sEcReT!"),
            "client ",
        ),
    ] {
        let file = folder.file("kubeconfig", &text);
        let output = trimtab()
            .args(["once", "--kubeconfig", &file])
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .output()
            .expect("trimtab starts");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(told), "{text}\n{said}");
        assert!(!said.contains("sEcReT"), "{text}\n{said}");
    }
}

/// An API server that is never ready, and keeps the tokens that it was shown.
fn api_server_that_notes_tokens() -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("a port").to_string();
    let (shown, tokens) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let shown = shown.clone();
            std::thread::spawn(move || {
                let mut head = [0; 4096];
                let length = stream.read(&mut head).unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let token = head
                    .lines()
                    .find_map(|line| line.strip_prefix("authorization: Bearer "));
                let _ = shown.send(token.unwrap_or_default().to_owned());
                let _ = stream.write_all(b"HTTP/1.1 503 Not Ready\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            });
        }
    });
    (address, tokens)
}

/// Tokens of service accounts end within the hour. kube reads the file once a minute, so this waits that long.
#[test]
fn the_token_for_the_api_server_is_read_again_from_its_file() {
    let folder = Folder::new("token");
    let (address, tokens) = api_server_that_notes_tokens();
    let token_file = folder.file("token", "first");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://me:aDdReSsPaSsWoRd@{address}")}}],
        "users": [{"name": "u", "user": {"tokenFile": token_file}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    let kubeconfig = folder.file("kubeconfig", &config.to_string());
    let child = trimtab()
        .args(["run", "--listen=none", "--leader-elect=false"])
        .arg(format!("--kubeconfig={kubeconfig}"))
        .stderr(Stdio::null())
        .spawn()
        .expect("trimtab starts");
    let _running = Running(child);
    assert_eq!(tokens.recv_timeout(PATIENCE).as_deref(), Ok("first"));
    folder.file("token", "second");
    let began = Instant::now();
    while tokens.recv_timeout(PATIENCE).as_deref() != Ok("second") {
        assert!(began.elapsed() < 2 * PATIENCE, "the new token is not used");
    }
}
