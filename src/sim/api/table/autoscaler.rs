//! The targets of an autoscaler, as `kubectl get hpa` shows them.

use serde_json::Value;

/// Metrics that are shown before the rest is counted.
const SHOWN: usize = 2;

/// `cpu: 45%/70%, 12/10`, or `<unknown>` for what is not known.
pub(super) fn targets(spec: &Value, status: &Value) -> String {
    let wanted = spec["metrics"].as_array().map_or(&[][..], Vec::as_slice);
    if wanted.is_empty() {
        return "<none>".to_owned();
    }
    let shown = wanted.iter().enumerate().take(SHOWN);
    let mut text: Vec<String> = shown
        .map(|(at, metric)| target(metric, &status["currentMetrics"][at]))
        .collect();
    if wanted.len() > SHOWN {
        text.push(format!("{} more...", wanted.len() - SHOWN));
    }
    text.join(", ")
}

fn target(metric: &Value, current: &Value) -> String {
    let source = match metric["type"].as_str().unwrap_or_default() {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => return "<unknown type>".to_owned(),
    };
    let (wish, current) = (&metric[source], &current[source]["current"]);
    let name = match source {
        "resource" | "containerResource" => format!("{}: ", wish["name"].as_str().unwrap_or_default()),
        _ => String::new(),
    };
    let wish = &wish["target"];
    let unknown = || "<unknown>".to_owned();
    if !wish["averageUtilization"].is_null() {
        let percent = |value: &Value| value.as_i64().map_or_else(unknown, |percent| format!("{percent}%"));
        let (has, wants) = (
            percent(&current["averageUtilization"]),
            percent(&wish["averageUtilization"]),
        );
        return format!("{name}{has}/{wants}");
    }
    let quantity = |value: &Value| value.as_str().map_or_else(unknown, str::to_owned);
    match (source, &wish["averageValue"]) {
        (_, Value::Null) => format!("{name}{}/{}", quantity(&current["value"]), quantity(&wish["value"])),
        ("object" | "external", wish) => {
            format!("{name}{}/{} (avg)", quantity(&current["averageValue"]), quantity(wish))
        }
        (_, wish) => format!("{name}{}/{}", quantity(&current["averageValue"]), quantity(wish)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_target_is_shown_and_the_third_is_counted() {
        let cpu = json!({ "type": "Resource", "resource": { "name": "cpu",
            "target": { "type": "Utilization", "averageUtilization": 60 } } });
        let queue = json!({ "type": "External", "external": { "metric": { "name": "q" },
            "target": { "type": "AverageValue", "averageValue": "30" } } });
        let qps = json!({ "type": "Pods", "pods": { "target": { "type": "AverageValue", "averageValue": "10" } } });
        let status = json!({ "currentMetrics": [
            { "type": "Resource", "resource": { "name": "cpu", "current": { "averageUtilization": 45 } } }] });
        assert_eq!(
            targets(&json!({ "metrics": [cpu, queue, qps] }), &status),
            "cpu: 45%/60%, <unknown>/30 (avg), 1 more..."
        );
        assert_eq!(targets(&json!({}), &json!({})), "<none>");
    }
}
