//! Files that change while trimtab runs: Prometheus Adapter's rules, and the configuration.

use std::fs;

use serde_json::json;

use crate::commands::get;
use crate::harness::{Autoscaler, Cluster, Controller, Workload, free_port, seconds, wait_until};

/// Rules for one series of the simulated kubelets, which becomes a metric of this name.
fn rules(name: &str) -> String {
    let rule = json!({
        "seriesQuery": "{__name__=~\"^container_memory_working_set_.*\",pod!=\"\"}",
        "resources": {"overrides": {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}},
        "name": {"matches": "^.*$", "as": name},
        "metricsQuery": "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
    });
    json!({"rules": [rule]}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn edited_rules_are_taken_over_wrong_ones_are_not_and_an_edited_configuration_is_told() {
    let namespace = Cluster::main().await.namespace("rules").await;
    let web = Workload::deployment(&namespace, "web", 1);
    let spec = |metric: &str| {
        json!({
            "minReplicas": 1, "maxReplicas": 3,
            "metrics": [{"type": "Pods", "pods": {
                "metric": {"name": metric}, "target": {"type": "AverageValue", "averageValue": "1Gi"},
            }}],
        })
    };
    let first = Autoscaler::of(&web, "web", spec("memory_in_use"));
    let other = Workload::deployment(&namespace, "other", 1);
    let second = Autoscaler::of(&other, "other", spec("memory_used"));
    let file = namespace.file("rules.yaml", &rules("memory_in_use"));
    let config = namespace.file("trimtab.yaml", "sync-timeout: 20s\n");
    let address = format!("127.0.0.1:{}", free_port());
    let controller = Controller::on(
        &namespace,
        &[
            &format!("--config={}", config.display()),
            &format!("--prometheus-url={}", namespace.cluster.url("prometheus")),
            &format!("--adapter-rules={}", file.display()),
            "--adapter-rules-relist-interval=2s",
            &format!("--listen={address}"),
        ],
    );
    let (found, failed) = ("True/ValidMetricFound", "False/FailedGetPodsMetric");
    first.says("ScalingActive", found, seconds(90)).await;
    second.says("ScalingActive", failed, seconds(30)).await;
    let logs = async |words: &str| {
        wait_until(&format!("the log says {words:?}"), seconds(30), async || {
            let log = controller.log();
            if log.contains(words) { Ok(()) } else { Err(log) }
        })
        .await;
    };

    let is_ready = async |words: &str| {
        wait_until(&format!("/readyz says {words:?}"), seconds(30), async || {
            let ready = get(&address, "/readyz")?;
            if ready.contains(words) { Ok(()) } else { Err(ready) }
        })
        .await;
    };
    is_ready("[+]adapter-rules ok").await;

    fs::write(&file, "rules: [{seriesQuery: 'x{'}]").expect("break the rules");
    logs("Prometheus Adapter's rules cannot be used: those before stay in force").await;
    is_ready("[!]adapter-rules ").await;
    first.says("ScalingActive", found, seconds(10)).await;
    fs::write(&file, rules("memory_used")).expect("edit the rules");
    logs("Prometheus Adapter's rules have changed").await;
    is_ready("[+]adapter-rules ok").await;
    second.says("ScalingActive", found, seconds(30)).await;
    first.says("ScalingActive", failed, seconds(30)).await;

    fs::write(&config, "sync-timeout: soon\n").expect("break the configuration");
    logs("a restart would fail").await;
    fs::write(&config, "sync-timeout: 25s\n").expect("edit the configuration");
    logs("The configuration file has changed: a restart applies it").await;
    is_ready("[!]configuration ").await;
    let metrics = get(&address, "/metrics").expect("the port serves metrics");
    for line in [
        r#"trimtab_changed_files{file="configuration"} 1"#,
        r#"trimtab_changed_files{file="adapter-rules"} 0"#,
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
}
