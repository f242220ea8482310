//! What kube-apiserver refuses: every problem with its field's path.
//!
//! Source: Kubernetes v1.36 `pkg/apis/autoscaling/validation/validation.go`, and for the options
//! `pkg/registry/autoscaling/horizontalpodautoscaler/strategy.go`.

mod behavior;
mod metrics;
mod names;

use serde_json::Value;

use super::fields::Findings;
use super::problem::Problem;
use super::written::{WrittenHpa, WrittenReference};

/// How strict to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// `minReplicas: 0` is allowed: the feature gate HPAScaleToZero is on, or the object was stored so.
    pub zero_allowed: bool,
    /// References' `apiVersion`s are looked at, as for new objects.
    pub api_versions_checked: bool,
}

/// A place in the object, and where to note what is wrong there.
#[derive(Clone)]
struct Place<'f> {
    path: String,
    findings: &'f Findings,
}

impl Place<'_> {
    fn child(&self, name: &str) -> Self {
        Self {
            path: format!("{}.{name}", self.path),
            findings: self.findings,
        }
    }

    fn item(&self, place: usize) -> Self {
        Self {
            path: format!("{}[{place}]", self.path),
            findings: self.findings,
        }
    }

    fn wrong(&self, found: impl Into<Value>, want: impl Into<String>) {
        self.findings
            .note(Problem::new(self.path.clone(), Some(&found.into()), want));
    }

    fn missing(&self, want: impl Into<String>) {
        self.findings.note(Problem::new(self.path.clone(), None, want));
    }

    /// Notes the text if it is empty or, by `problem`, not what it should be.
    fn text(&self, text: &str, want: &str, problem: impl Fn(&str) -> Option<String>) {
        if text.is_empty() {
            self.missing(want);
        } else if let Some(problem) = problem(text) {
            self.wrong(text, problem);
        }
    }
}

/// Notes all that is wrong with an autoscaler whose defaults are filled in.
pub(super) fn check(hpa: &WrittenHpa, rules: Rules, findings: &Findings) {
    let place = |path: &str| Place {
        path: path.into(),
        findings,
    };
    let metadata = place("metadata");
    metadata
        .child("name")
        .text(&hpa.name, "a name", names::subdomain_problem);
    metadata
        .child("namespace")
        .text(&hpa.namespace, "a namespace", names::label_problem);

    let spec = place("spec");
    let min = hpa.min_replicas.unwrap_or(1);
    let lowest = i32::from(!rules.zero_allowed);
    if min < lowest {
        let gate = if min == 0 {
            ", or the feature gate HPAScaleToZero"
        } else {
            ""
        };
        spec.child("minReplicas").wrong(min, format!("at least {lowest}{gate}"));
    }
    match hpa.max_replicas {
        0 => spec.child("maxReplicas").missing("at least 1"),
        max if max < 1 => spec.child("maxReplicas").wrong(max, "at least 1"),
        max if max < min => spec
            .child("maxReplicas")
            .wrong(max, format!("at least minReplicas, which is {min}")),
        _ => {}
    }
    // The one kind of the core group that can be scaled.
    let group_optional = hpa.scale_target.kind == "ReplicationController";
    check_reference(&hpa.scale_target, &spec.child("scaleTargetRef"), rules, group_optional);
    metrics::check(&hpa.metrics, min, rules, &spec.child("metrics"));
    if let Some(behavior) = &hpa.behavior {
        behavior::check(behavior, &spec.child("behavior"));
    }
}

fn check_reference(reference: &WrittenReference, place: &Place<'_>, rules: Rules, group_optional: bool) {
    place
        .child("kind")
        .text(&reference.kind, "a kind", names::path_segment_problem);
    place
        .child("name")
        .text(&reference.name, "a name", names::path_segment_problem);
    if !rules.api_versions_checked {
        return;
    }
    let place = place.child("apiVersion");
    match reference.api_version.trim_matches('/') {
        _ if reference.api_version.matches('/').count() > 1 => {
            place.wrong(reference.api_version.as_str(), "group/version, with one slash");
        }
        "" if !group_optional => place.missing("group/version, such as apps/v1"),
        _ if group_optional
            || reference
                .api_version
                .split_once('/')
                .is_some_and(|(group, _)| !group.is_empty()) => {}
        _ => place.wrong(
            reference.api_version.as_str(),
            "a group before the version, as in apps/v1",
        ),
    }
}
