//! What settings must fulfil together.

use super::declared::Settings;
use super::duration::print;
use super::layers::{Effective, Origin};
use super::mistake::Mistakes;
use super::sources::Credentials;

pub(super) fn check(effective: &Effective, mistakes: &mut Mistakes) {
    let settings = &effective.settings;
    if settings.leader_elect {
        let (lease, renew) = (
            settings.leader_elect_lease_duration,
            settings.leader_elect_renew_deadline,
        );
        let retry = settings.leader_elect_retry_period;
        if lease <= renew {
            let (lease, renew) = (print(lease), print(renew));
            clash(
                effective,
                mistakes,
                ("leader-elect-lease-duration", &lease),
                "must be longer than",
                ("leader-elect-renew-deadline", &renew),
            );
        }
        // client-go's leaderelection.go: JitterFactor is 1.2.
        if renew <= retry.mul_f64(1.2) {
            let (renew, retry) = (print(renew), print(retry));
            clash(
                effective,
                mistakes,
                ("leader-elect-renew-deadline", &renew),
                "must be longer than 1.2 times",
                ("leader-elect-retry-period", &retry),
            );
        }
    }
    if settings.shards.get() > 1 && !settings.leader_elect {
        clash(
            effective,
            mistakes,
            ("shards", &settings.shards.to_string()),
            "needs leader-elect, or every replica would decide for every shard:",
            ("leader-elect", "false"),
        );
    }
    if settings.compare && !settings.dry_run {
        clash(
            effective,
            mistakes,
            ("compare", "true"),
            "needs dry-run, which is not set:",
            ("dry-run", "false"),
        );
    }
    check_adapter_rules(effective, mistakes);
}

/// The adapter's rules need one endpoint to ask.
fn check_adapter_rules(effective: &Effective, mistakes: &mut Mistakes) {
    let settings = &effective.settings;
    let names: Vec<&str> = settings.sources.prometheus.keys().map(|name| &**name).collect();
    let (setting, problem) = match (&settings.adapter_rules, &settings.adapter_rules_prometheus) {
        (None, None) => return,
        (None, Some(_)) => (
            "adapter-rules-prometheus",
            "does nothing without adapter-rules".to_owned(),
        ),
        (Some(_), Some(name)) if names.contains(&name.as_str()) => return,
        (Some(_), None) if names.len() == 1 => return,
        (Some(_), Some(name)) => (
            "adapter-rules-prometheus",
            format!("{name:?} is not an endpoint; {}", known_endpoints(&names)),
        ),
        (Some(_), None) if names.is_empty() => (
            "adapter-rules",
            "needs a Prometheus to ask: set prometheus-url, or the block prometheus in the configuration file"
                .to_owned(),
        ),
        (Some(_), None) => (
            "adapter-rules",
            format!(
                "there are several endpoints ({}): say which one to ask with adapter-rules-prometheus",
                names.join(", ")
            ),
        ),
    };
    mistakes.add(effective.origin(setting).clone(), Some(setting), problem);
}

/// The end of a sentence about an endpoint that there is not.
pub(super) fn known_endpoints(names: &[&str]) -> String {
    if names.is_empty() {
        "there is none: set prometheus-url, or the block prometheus in the configuration file".to_owned()
    } else {
        format!("known are {}", names.join(", "))
    }
}

pub(super) fn warnings(effective: &Effective) -> Vec<String> {
    let settings = &effective.settings;
    let mut warnings = Vec::new();
    if settings.kube_api_qps == 0 && settings.kube_api_burst != Settings::default().kube_api_burst {
        let origin = effective.origin("kube-api-burst");
        warnings.push(format!("{origin}: kube-api-burst does nothing while kube-api-qps is 0"));
    }
    for metric in &settings.sources.metrics {
        if metric.answers.pod_label().is_some() && !metric.template.names_namespace() {
            warnings.push(format!(
                "metrics.{}: without namespace=\"$namespace\" in the query, pods of one name in several namespaces are mixed",
                metric.name
            ));
        }
    }
    for (name, endpoint) in &settings.sources.prometheus {
        if endpoint.credentials != Credentials::None && endpoint.url.starts_with("http:") {
            warnings.push(format!(
                "prometheus.{name}: credentials are sent unencrypted, since the url begins with http:"
            ));
        }
    }
    warnings
}

/// Two settings that do not go together: the mistake stands where the first of them was given that was given at all.
fn clash(
    effective: &Effective,
    mistakes: &mut Mistakes,
    (first, first_value): (&'static str, &str),
    relation: &str,
    (second, second_value): (&'static str, &str),
) {
    let place = match effective.origin(first) {
        Origin::Default => effective.origin(second),
        given => given,
    };
    let second_origin = effective.origin(second);
    let problem = format!(
        "{first} ({first_value}, {}) {relation} {second} ({second_value}, {second_origin})",
        effective.origin(first)
    );
    mistakes.add(place.clone(), None, problem);
}

#[cfg(test)]
mod tests {
    use crate::settings::{Typed, resolve};

    fn check(flags: &[(&str, &str)]) -> String {
        let flags = flags
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        match resolve(&Typed {
            flags,
            ..Typed::default()
        }) {
            Ok(_) => String::new(),
            Err(mistakes) => mistakes.to_string(),
        }
    }

    #[test]
    fn a_lease_outlasts_its_renewal() {
        assert_eq!(
            check(&[("leader-elect-lease-duration", "5s")]),
            "flag --leader-elect-lease-duration: leader-elect-lease-duration (5s, flag --leader-elect-lease-duration) \
             must be longer than leader-elect-renew-deadline (5s, default)"
        );
        assert!(check(&[("leader-elect-retry-period", "6s")]).contains("1.2 times leader-elect-retry-period (6s,"));
        assert_eq!(
            check(&[("leader-elect-retry-period", "6s"), ("leader-elect", "false")]),
            ""
        );
    }

    #[test]
    fn comparing_needs_a_dry_run() {
        assert!(check(&[("compare", "true")]).contains("needs dry-run"));
        assert_eq!(check(&[("compare", "true"), ("dry-run", "true")]), "");
    }

    #[test]
    fn what_is_odd_in_the_blocks_is_said_and_not_refused() {
        let text = "prometheus:\n  a:\n    url: http://a.example\n    bearer-token-file: token\n\
                    metrics:\n  load: {type: Pods, query: 'load{pod=~\"$pods\"}'}\n";
        let effective = resolve(&Typed {
            file: Some(("t.yaml".into(), text.into())),
            ..Typed::default()
        });
        assert_eq!(
            effective.expect("it is allowed").warnings,
            [
                "metrics.load: without namespace=\"$namespace\" in the query, pods of one name in several namespaces are \
                 mixed",
                "prometheus.a: credentials are sent unencrypted, since the url begins with http:"
            ]
        );
    }
}
