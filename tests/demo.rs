//! `trimtab demo` as a process: what it prints, what it serves, how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

fn demo(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_trimtab"))
        .arg("demo")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("trimtab starts")
}

/// Sends one request; gives the code and the body of the answer.
fn ask(address: &str, method: &str, path: &str, kind: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).expect("the demo listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a time-out");
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: {kind}\r\n");
    write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}").expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let code = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .expect("a status code");
    // Long answers come in chunks, each behind its length.
    let body: String = match head.to_lowercase().contains("chunked") {
        true => body.split("\r\n").skip(1).step_by(2).collect(),
        false => body.to_owned(),
    };
    (code, serde_json::from_str(&body).expect("the answer is JSON"))
}

/// A file of this test run.
fn file(name: &str, text: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("the folder is there");
    path.display().to_string()
}

#[test]
fn a_load_that_was_recorded_drives_a_workload_of_its_own() {
    // Nothing for half an hour, and then, as the demo's past ends, the peak.
    let trace = file("trace.csv", "time,load\n0,0\n1800,0\n3000,500\n9000,500\n");
    let output = demo(&["--speed=600", "--for=1s", "--trace", &trace]).wait_with_output();
    let output = output.expect("it ends");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let row = text.lines().find(|line| line.starts_with("shop/recorded "));
    let row = row.unwrap_or_else(|| panic!("no row:\n{text}"));
    // Its peak takes ten pods; the one or two more of its beginning are gone by then.
    assert!(row.split_whitespace().any(|word| word == "10"), "{row}");
    assert!(row.contains("recorded_load"), "{row}");
}

#[test]
fn a_trace_that_is_none_is_told_with_file_line_and_field() {
    let trace = file("broken.csv", "time,load\n0,1\n60,NaN\n");
    for (path, problem) in [
        (
            trace.as_str(),
            "broken.csv: line 3, load: NaN says nothing; leave the line out",
        ),
        ("/nowhere.csv", "error: /nowhere.csv: No such file"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_trimtab"))
            .args(["demo", "--for=1s", "--trace", path])
            .env_clear()
            .output()
            .expect("trimtab starts");
        let said = String::from_utf8(output.stderr).expect("it prints text");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(problem), "{said}");
    }
}

#[test]
fn it_begins_with_an_hour_behind_it_and_goes_as_fast_as_it_is_told() {
    let output = demo(&["--speed=600", "--for=2s"]).wait_with_output().expect("it ends");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let tables: Vec<&str> = text.split("AUTOSCALER").skip(1).collect();
    assert_eq!(tables.len(), 2, "one at the beginning, one at the end:\n{text}");
    for name in ["api", "batch", "checkout", "orders", "reports", "search", "web"] {
        let row = tables[0]
            .lines()
            .find(|line| line.starts_with(&format!("shop/{name} ")))
            .expect("each has a row");
        assert!(row.contains(['█', '▇']), "no plot in {row}");
        assert!(
            row.contains("asks for") || row.contains("ask for"),
            "no reason in {row}"
        );
    }
    assert!(tables[0].contains("a failed one forbids scaling down"), "{text}");
    // Twenty minutes in two seconds: a rush comes every 25, and fades for most of them.
    let changes = tables[0]
        .lines()
        .filter(|line| line.contains(" -> ") && line.starts_with(|c: char| c.is_ascii_digit()));
    assert!(changes.count() >= 3, "{text}");
}

#[test]
fn the_cluster_can_be_reached_and_changed_and_a_signal_ends_it_in_order() {
    let mut child = demo(&["--serve-api=0"]);
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut next = || lines.next().expect("it prints").expect("it prints text");
    let address = loop {
        let line = next();
        if let Some(rest) = line.strip_prefix("kubectl --server=http://") {
            break rest.split(' ').next().unwrap_or_default().to_owned();
        }
    };
    let autoscalers = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers";
    let (code, list) = ask(&address, "GET", autoscalers, "", "");
    assert_eq!((code, list["items"].as_array().map(Vec::len)), (200, Some(7)));
    let statuses = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| &item["status"]["conditions"]);
    assert!(statuses.clone().all(|conditions| conditions.is_array()), "{list}");
    // Its Prometheus is reached as in a real cluster.
    let proxy = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query";
    let query = format!("{proxy}?query=count(rate(orders_total[1m]))%3E0");
    let (code, answer) = ask(&address, "GET", &query, "", "");
    assert_eq!(
        (code, &answer["data"]["resultType"]),
        (200, &json!("vector")),
        "{answer}"
    );
    assert!(answer["data"]["result"][0]["value"][1].is_string(), "{answer}");
    // It is elected and keeps its memory in the cluster, as `trimtab run` does.
    let (_, lease) = ask(
        &address,
        "GET",
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/trimtab",
        "",
        "",
    );
    assert_eq!(lease["spec"]["holderIdentity"], "trimtab-demo", "{lease}");
    let (_, stored) = ask(&address, "GET", "/api/v1/namespaces/kube-system/configmaps", "", "");
    assert_ne!(stored["items"].as_array().map(Vec::len), Some(0), "{stored}");
    // The controller sees an edit at once, not only when its time has come.
    let patch = json!({ "spec": { "minReplicas": 11, "maxReplicas": 11 } }).to_string();
    let path = format!("{autoscalers}/search");
    let (code, _) = ask(&address, "PATCH", &path, "application/merge-patch+json", &patch);
    assert_eq!(code, 200);
    let change = loop {
        let line = next();
        if line.contains("shop/search") && line.contains("-> 11 (") {
            break line;
        }
    };
    assert!(change.contains("below minReplicas"), "{change}");

    let signalled = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(signalled.expect("kill is there").success());
    let rest: Vec<String> = lines.map(|line| line.expect("it prints text")).collect();
    assert!(
        rest.iter().any(|line| line.starts_with("shop/search ")),
        "the last table: {rest:?}"
    );
    assert!(child.wait().expect("it ends").success());
}

/// As the demo's terminal shows it: each frame begins at its upper left.
const FRAME: &str = "\x1b[H";

#[test]
fn a_terminal_shows_a_live_table_and_is_given_back_on_ctrl_c() {
    // A terminal that does not say how wide it is, by the `script` of util-linux.
    let command = format!("exec '{}' demo --speed=60", env!("CARGO_BIN_EXE_trimtab"));
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script starts");
    let mut keyboard = child.stdin.take().expect("it is piped");
    let mut screen = child.stdout.take().expect("it is piped");
    let mut shown = Vec::new();
    let text = |shown: &[u8]| String::from_utf8_lossy(shown).into_owned();
    while text(&shown).matches(FRAME).count() < 4 {
        let mut some = [0; 4096];
        let read = screen.read(&mut some).expect("it shows something");
        assert_ne!(read, 0, "it ended:\n{}", text(&shown));
        shown.extend_from_slice(&some[..read]);
    }
    keyboard.write_all(b"\x03").expect("it takes Ctrl-C");
    screen.read_to_end(&mut shown).expect("it ends");
    assert!(child.wait().expect("it ends").success());
    let all = text(&shown);
    let (live, left) = all
        .split_once("\x1b[?25h\x1b[?1049l")
        .expect("the terminal is given back, with its cursor");
    assert!(
        live.contains("\x1b[?1049h\x1b[?25l"),
        "another screen, without a cursor"
    );
    let frames: Vec<&str> = live.split(FRAME).skip(1).collect();
    for part in ["REPLICAS", "TARGETS", "LAST CHANGE", "WHY", "shop/web ", "Last changes"] {
        assert!(frames[0].contains(part), "no {part} in {:?}", frames[0]);
    }
    assert_ne!(frames[0], frames[2], "it lives");
    assert!(left.contains("shop/web "), "the last table stays: {left}");
}
