//! Prometheus behind TLS, client certificates and users, as its own web configuration has it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use trimtab::promql::Answers;
use trimtab::settings::sources::{ClientCertificate, Credentials, Endpoint};

use super::passes::{definition, endpoint, external, pass, prometheus};
use super::server::Server;

/// The password `sesame` as Prometheus' configuration has it: bcrypt.
const SESAME: &str = "$2y$04$PX9fwxz.S/Dcbwy2PGTA4ud2I1jWq8NkFaVzJ6gHklfA1IHrGZj1S";

/// A folder with an authority, and a certificate of it for `localhost` and one for us.
struct Certificates(PathBuf);

impl Certificates {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let folder = std::env::temp_dir().join(format!("trimtab-access-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let certificates = Self(folder);
        certificates.authority("ca");
        certificates.authority("other");
        certificates.signed("server", "subjectAltName=DNS:localhost");
        certificates.signed("client", "extendedKeyUsage=clientAuth");
        certificates
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn authority(&self, name: &str) {
        let (key, out) = (format!("{name}.key"), format!("{name}.crt"));
        self.openssl(
            &[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ],
            &["-keyout", &key, "-out", &out, "-subj", &format!("/CN={name}")],
        );
    }

    fn signed(&self, name: &str, extension: &str) {
        let (key, request, out) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        self.openssl(
            &["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
            &["-keyout", &key, "-out", &request, "-subj", &format!("/CN={name}")],
        );
        // rustls refuses certificates of version 1, which openssl makes of a request without extensions.
        self.write("extensions", extension);
        self.openssl(
            &["x509", "-req", "-CAcreateserial", "-days", "2"],
            &[
                "-in",
                &request,
                "-out",
                &out,
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-extfile",
                "extensions",
            ],
        );
    }

    fn openssl(&self, how: &[&str], what: &[&str]) {
        let output = Command::new("openssl")
            .args(how)
            .args(what)
            .current_dir(&self.0)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What an autoscaler is told through this endpoint, or how it failed.
fn reading(endpoint: Endpoint) -> String {
    let seven = definition("seven", Answers::External, "vector(7)");
    let prometheus = prometheus(endpoint, vec![seven], None);
    pass(&prometheus, &[("shop", &external("seven", json!({})), &[])]).remove(0)
}

fn trusting(server: &Server, ca_file: &Path) -> Endpoint {
    Endpoint {
        ca_file: Some(ca_file.to_owned()),
        ..endpoint(server.url())
    }
}

#[track_caller]
fn fails(endpoint: Endpoint, kind: &str, part: &str) {
    let reading = reading(endpoint);
    let start = format!("{kind}: unable to fetch metrics from Prometheus main: ");
    assert!(reading.starts_with(&start) && reading.contains(part), "{reading}");
    assert!(!reading.contains("sesame"), "{reading}");
}

#[test]
fn a_server_is_trusted_by_its_authority_and_name() {
    let files = Certificates::new();
    let web = files.write(
        "web.yaml",
        "tls_server_config: {cert_file: server.crt, key_file: server.key}\n",
    );
    let server = Server::guarded(&web);
    assert_eq!(reading(trusting(&server, &files.path("ca.crt"))), "7000");
    fails(
        trusting(&server, &files.path("other.crt")),
        "Unavailable",
        "does `ca-file` hold the authority",
    );
    // The system's authorities do not know it.
    fails(
        endpoint(server.url()),
        "Unavailable",
        "does `ca-file` hold the authority",
    );
    let by_address = server.url().replace("localhost", "127.0.0.1");
    let by_address = Endpoint {
        url: by_address,
        ..trusting(&server, &files.path("ca.crt"))
    };
    fails(by_address, "Unavailable", "is the `url`'s host a name of it?");
    let plain = server.url().replace("https", "http");
    fails(endpoint(&plain), "BadQuery", "400 Bad Request");
}

#[test]
fn our_certificate_is_shown_where_it_is_asked_for() {
    let files = Certificates::new();
    let web = files.write(
        "web.yaml",
        "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt, \
         client_auth_type: RequireAndVerifyClientCert}\n",
    );
    let server = Server::guarded(&web);
    let showing = |name: &str| Endpoint {
        client_certificate: Some(ClientCertificate {
            certificate_file: files.path(&format!("{name}.crt")),
            key_file: files.path(&format!("{name}.key")),
        }),
        ..trusting(&server, &files.path("ca.crt"))
    };
    assert_eq!(reading(showing("client")), "7000");
    fails(
        trusting(&server, &files.path("ca.crt")),
        "Unavailable",
        "does the server want a client certificate",
    );
    fails(
        showing("other"),
        "Unavailable",
        "does the server want a client certificate",
    );
}

#[test]
fn a_password_is_told_and_read_again_when_it_changes() {
    let files = Certificates::new();
    let web = files.write(
        "web.yaml",
        &format!(
            "tls_server_config: {{cert_file: server.crt, key_file: server.key}}\nbasic_auth_users: {{ali: '{SESAME}'}}\n"
        ),
    );
    let server = Server::guarded(&web);
    let password_file = files.write("password", "not sesame\n");
    let knowing = Endpoint {
        credentials: Credentials::Basic {
            username: "ali".into(),
            password_file: password_file.clone(),
        },
        ..trusting(&server, &files.path("ca.crt"))
    };
    fails(
        trusting(&server, &files.path("ca.crt")),
        "Forbidden",
        "401 Unauthorized (see `bearer-token-file`",
    );
    let seven = definition("seven", Answers::External, "vector(7)");
    let prometheus = prometheus(knowing, vec![seven], None);
    let source = external("seven", json!({}));
    let ask = || pass(&prometheus, &[("shop", &source, &[])]).remove(0);
    assert!(ask().starts_with("Forbidden: "));
    std::fs::write(password_file, "sesame\n").unwrap();
    let began = Instant::now();
    loop {
        let reading = ask();
        if reading == "7000" {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{reading}");
    }
}
