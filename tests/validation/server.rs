//! A running kube-apiserver, asked without changing anything.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::Answer;

/// The server of a cluster that tests/cluster/up started.
pub struct Server {
    /// The cluster's state folder.
    run: String,
    port: String,
}

impl Server {
    /// The cluster whose state folder TRIMTAB_RECORD_VALIDATION names.
    pub fn from_environment() -> Option<Self> {
        let run = std::env::var("TRIMTAB_RECORD_VALIDATION").ok()?;
        let port = std::fs::read_to_string(format!("{run}/port")).unwrap();
        Some(Self {
            run,
            port: port.trim().to_owned(),
        })
    }

    /// What the server says of a manifest, as strict as `kubectl create`.
    pub fn ask(&self, manifest: &Value) -> Answer {
        let (run, port) = (&self.run, &self.port);
        let version = manifest["apiVersion"].as_str().unwrap();
        let path = format!("apis/{version}/namespaces/default/horizontalpodautoscalers");
        let mut curl = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "10", "--json", "@-"])
            .args([
                "--cacert",
                &format!("{run}/pki/ca.crt"),
                "--cert",
                &format!("{run}/pki/admin.crt"),
            ])
            .args(["--key", &format!("{run}/pki/admin.key")])
            .arg(format!(
                "https://127.0.0.1:{port}/{path}?dryRun=All&fieldValidation=Strict"
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        curl.stdin
            .take()
            .unwrap()
            .write_all(manifest.to_string().as_bytes())
            .unwrap();
        let output = curl.wait_with_output().unwrap();
        assert!(output.status.success(), "curl: {}", output.status);
        answer(serde_json::from_slice(&output.stdout).unwrap())
    }
}

fn answer(mut body: Value) -> Answer {
    if body["kind"] != "Status" {
        // Of the rest, every run would change something.
        let metadata = &mut body["metadata"];
        for name in ["uid", "creationTimestamp", "managedFields", "resourceVersion"] {
            metadata.as_object_mut().unwrap().remove(name);
        }
        return Answer::Accepted(body);
    }
    if body["reason"] == "Invalid" {
        let causes = body["details"]["causes"].as_array().unwrap();
        return Answer::Refused(causes.iter().map(|c| c["field"].as_str().unwrap().to_owned()).collect());
    }
    assert!(body["code"] == 400, "{body}");
    Answer::Undecodable(body["message"].as_str().unwrap().to_owned())
}
