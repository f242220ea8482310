//! A Prometheus of our own.

use std::collections::HashMap;
use std::fmt;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use trimtab::promql::Series;

use super::data;
use super::remote_write::{Written, body};

/// A Prometheus with an empty folder, on a free port of loopback. Ends with the value.
pub struct Server {
    process: Child,
    folder: PathBuf,
    url: String,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

/// Why a query was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    kind: String,
    message: String,
}

impl Failure {
    /// Whether Prometheus cannot read the query.
    pub fn is_syntax(&self) -> bool {
        self.kind == "bad_data"
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default, rename = "errorType")]
    error_type: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Sample>),
    Scalar((f64, String)),
}

#[derive(Deserialize)]
struct Sample {
    metric: HashMap<String, String>,
    value: (f64, String),
}

impl Server {
    /// One that knows all of [`data`].
    pub fn with_data() -> Self {
        let server = Self::start();
        server.write(&data::series());
        server
    }

    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// One that is served as a web configuration file says: TLS, users. Nothing can be written to it.
    pub fn guarded(web_configuration: &Path) -> Self {
        Self::start_with(Some(web_configuration))
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn start_with(web_configuration: Option<&Path>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .unwrap()
            .port();
        let folder = std::env::temp_dir().join(format!("trimtab-prometheus-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let configuration = folder.join("prometheus.yml");
        std::fs::write(&configuration, "global: {}\n").unwrap();
        // Where `tests/run` puts it if it is not installed.
        let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/bin");
        let path = format!("{}:{tools}", std::env::var("PATH").unwrap_or_default());
        let process = Command::new("prometheus")
            .env("PATH", path)
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(web_configuration.map(|file| format!("--web.config.file={}", file.display())))
            .args([
                "--web.enable-remote-write-receiver",
                "--storage.tsdb.retention.time=100y",
            ])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .expect("prometheus starts: `tests/run tools` installs it");
        let server = Self {
            process,
            url: match web_configuration {
                Some(_) => format!("https://localhost:{port}"),
                None => format!("http://127.0.0.1:{port}"),
            },
            folder,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        server.wait();
        server
    }

    fn wait(&self) {
        // It says so in its log, whoever may ask it.
        let ready = async {
            while !self.log().contains("Server is ready to receive web requests") {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = self
            .runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(60), ready).await });
        assert!(waited.is_ok(), "Prometheus is not ready within 60 s: {}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub fn write(&self, series: &[Written]) {
        let request = self
            .client
            .post(format!("{}/api/v1/write", self.url))
            .header("content-encoding", "snappy")
            .header("content-type", "application/x-protobuf")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .body(body(series));
        let response = self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            (response.status(), response.text().await.unwrap())
        });
        assert!(response.0.is_success(), "{response:?}");
    }

    /// The answer at [`data::NOW`].
    pub fn query(&self, text: &str) -> Result<Vec<Series>, Failure> {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let request = self
            .client
            .post(format!("{}/api/v1/query", self.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("time={}&query={encoded}", data::NOW));
        let reply = self
            .runtime
            .block_on(async { request.send().await.unwrap().bytes().await.unwrap() });
        let reply: Reply =
            serde_json::from_slice(&reply).unwrap_or_else(|e| panic!("{e}: {:?}", String::from_utf8_lossy(&reply)));
        match reply.data {
            Some(Data::Vector(samples)) => Ok(samples.into_iter().map(series).collect()),
            Some(Data::Scalar((_, value))) => Ok(vec![Series {
                labels: [].into(),
                value: number(&value),
            }]),
            None => Err(Failure {
                kind: reply.error_type,
                message: reply.error,
            }),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn series(sample: Sample) -> Series {
    let mut labels: Vec<(Arc<str>, Arc<str>)> = sample
        .metric
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    labels.sort();
    Series {
        labels: labels.into(),
        value: number(&sample.value.1),
    }
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|e| panic!("{text:?}: {e}"))
}
