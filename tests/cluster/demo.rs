//! kubectl on `trimtab demo`. It needs kubectl, which is why it is here, and no cluster.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{seconds, wait_until};

/// A demo that is ended with the test.
struct Demo {
    child: Child,
    server: String,
}

impl Demo {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_trimtab"))
            .args(["demo", "--serve-api=0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("trimtab starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let server = loop {
            let line = lines.next().expect("it prints").expect("it prints text");
            if let Some(rest) = line.strip_prefix("kubectl --server=") {
                break rest.split(' ').next().unwrap_or_default().to_owned();
            }
        };
        // Read on, so that it can go on printing.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, server }
    }

    /// What kubectl prints; it has to succeed.
    fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_with(arguments, None)
    }

    fn kubectl_with(&self, arguments: &[&str], editor: Option<&Path>) -> String {
        let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/bin");
        let program = std::env::var_os("BIN").map_or(own, PathBuf::from).join("kubectl");
        let mut command = Command::new(program);
        command
            .args(["--kubeconfig=/dev/null", "--namespace=shop", "--server", &self.server])
            .args(arguments);
        if let Some(editor) = editor {
            command.env("KUBE_EDITOR", editor);
        }
        let output = command.output().expect("kubectl starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {problem}{text}");
        text
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_works_on_the_demo() {
    let demo = Demo::start();
    let all = demo.kubectl(&["get", "hpa,deploy,pods"]);
    for part in [
        "horizontalpodautoscaler.autoscaling/web",
        "deployment.apps/web",
        "pod/web-",
        "Running",
        "cpu: ",
    ] {
        assert!(all.contains(part), "no {part} in\n{all}");
    }
    let described = demo.kubectl(&["describe", "hpa", "reports"]);
    for part in [
        "FailedGetPodsMetric",
        "ScalingActive",
        "resource cpu on pods  (as a percentage of request)",
        "Events:",
    ] {
        assert!(described.contains(part), "no {part} in\n{described}");
    }
    assert!(demo.kubectl(&["top", "pods"]).contains("64Mi"));
    demo.kubectl(&["describe", "deployment", "web"]);

    // A workload of one's own: made, scaled by hand, and given to the controller.
    demo.kubectl(&["create", "deployment", "mine", "--image=x", "--replicas=1"]);
    demo.kubectl(&["scale", "deployment", "mine", "--replicas=3"]);
    demo.kubectl(&["rollout", "status", "deployment", "mine", "--timeout=120s"]);
    demo.kubectl(&["autoscale", "deployment", "mine", "--min=5", "--max=7"]);
    wait_until(
        "the controller has raised it to its minimum",
        seconds(60),
        async || match demo.kubectl(&["get", "deployment", "mine", "--output=jsonpath={.spec.replicas}"]) {
            count if count == "5" => Ok(()),
            count => Err(count),
        },
    )
    .await;

    // An editor that is a script.
    let editor = std::env::temp_dir().join(format!("trimtab-demo-editor-{}", std::process::id()));
    std::fs::write(&editor, "#!/bin/sh\nsed -i 's/minReplicas: 5/minReplicas: 6/' \"$1\"\n").expect("write the editor");
    Command::new("chmod")
        .arg("+x")
        .arg(&editor)
        .status()
        .expect("chmod is there");
    demo.kubectl_with(&["edit", "hpa", "mine"], Some(&editor));
    let _ = std::fs::remove_file(&editor);
    assert_eq!(
        demo.kubectl(&["get", "hpa", "mine", "--output=jsonpath={.spec.minReplicas}"]),
        "6"
    );
    let owned = demo.kubectl(&["get", "replicasets", "--output=name"]);
    assert!(owned.contains("replicaset.apps/web-"), "{owned}");
    // Applied by the server, made and changed.
    for max in [4, 9] {
        let manifest = std::env::temp_dir().join(format!("trimtab-demo-apply-{}", std::process::id()));
        let text = format!(
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: applied}}\nspec:\n  maxReplicas: {max}\n  \
             scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: mine}}\n"
        );
        std::fs::write(&manifest, text).expect("write the manifest");
        let path = manifest.to_string_lossy();
        demo.kubectl(&["apply", "--server-side", &format!("--filename={path}")]);
        let _ = std::fs::remove_file(&manifest);
        let found = demo.kubectl(&["get", "hpa", "applied", "--output=jsonpath={.spec.maxReplicas}"]);
        assert_eq!(found, max.to_string());
    }
    let proxy = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query";
    let counted = demo.kubectl(&["get", "--raw", &format!("{proxy}?query=sum(rate(orders_total[1m]))")]);
    assert!(counted.contains("\"status\":\"success\""), "{counted}");
    demo.kubectl(&["delete", "hpa", "applied"]);
    demo.kubectl(&["delete", "hpa,deployment", "mine"]);
}
