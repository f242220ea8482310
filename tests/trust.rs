//! Whom we believe to be the API server: whom the kubeconfig says, and anyone only where it says so.
//!
//! The server is openssl's (`tests/run tools` installs it), which knows nothing of Kubernetes: whoever is believed is asked, and
//! answers nonsense.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// A folder with an authority, and a certificate of it for 127.0.0.1; gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = Self(std::env::temp_dir().join(format!("trimtab-trust-{}", std::process::id())));
        std::fs::create_dir_all(&folder.0).expect("a folder");
        std::fs::write(folder.0.join("names"), "subjectAltName=IP:127.0.0.1").expect("a file");
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        folder.openssl(&format!(
            "req -x509 {key} -days 2 -keyout ca.key -out ca.crt -subj /CN=ca"
        ));
        folder.openssl(&format!(
            "req {key} -keyout server.key -out server.csr -subj /CN=server"
        ));
        folder.openssl(
            "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt",
        );
        folder
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(&self.0)
            .output()
            .expect("openssl is there: `tests/run tools` installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server with that certificate, and its address; ends with the test.
struct Server(Child, String);

impl Server {
    fn start(folder: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("a port").to_string();
        drop(free);
        let child = Command::new("openssl")
            .args([
                "s_server",
                "-www",
                "-quiet",
                "-cert",
                "server.crt",
                "-key",
                "server.key",
                "-accept",
                &address,
            ])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl starts");
        let server = Self(child, address);
        for _ in 0..600 {
            if TcpStream::connect(&server.1).is_ok() {
                return server;
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
        panic!("openssl does not listen");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `explain` says of an API server that the kubeconfig describes so.
fn said(folder: &Path, server: &Server, further: Value) -> String {
    let mut cluster = json!({"server": format!("https://{}", server.1)});
    for (key, value) in further.as_object().into_iter().flatten() {
        cluster[key] = value.clone();
    }
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    let file = folder.join("kubeconfig");
    std::fs::write(&file, config.to_string()).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_trimtab"))
        .args(["explain", "shop/web", "--request-timeout=60s", "--kubeconfig"])
        .arg(&file)
        .env_clear()
        .output()
        .expect("trimtab starts");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_api_server_is_believed_only_with_a_certificate_of_the_kubeconfigs_authority() {
    let folder = Folder::new();
    let server = Server::start(&folder.0);
    let authority = folder.0.join("ca.crt");
    let believed = "decode the answer";
    for (further, expected) in [
        (json!({"certificate-authority": authority}), believed),
        (json!({}), "UnknownIssuer"),
        (
            json!({"certificate-authority": authority, "tls-server-name": "elsewhere.example"}),
            "certificate not valid for name",
        ),
        (json!({"insecure-skip-tls-verify": true}), believed),
    ] {
        let said = said(&folder.0, &server, further.clone());
        assert!(said.contains(expected), "{further}: {said}");
    }
}
