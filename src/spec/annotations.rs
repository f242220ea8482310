//! The annotations in which versions without a field for it carry a part of the wish.
//!
//! What does not parse is ignored, as Kubernetes does.
//!
//! Source: Kubernetes v1.36 `pkg/apis/autoscaling/annotations.go` and `v1/conversion.go`.

use serde_json::Value;

use super::fields::{Fields, Findings, Names};
use super::v2::{self, Tolerances};
use super::v2beta1;
use super::written::{WrittenBehavior, WrittenMetric};

/// The metrics, in the shape of autoscaling/v2beta1.
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";

/// The behavior, with Go's names of its fields.
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// The metrics that the object's annotations carry.
pub(super) fn metrics(metadata: &Fields<'_>) -> Vec<WrittenMetric> {
    // A list is read as a field, so that it has one place to be read from.
    let list = |text: &str| Ok(serde_json::json!({ "metrics": serde_json::from_str::<Value>(text)? }));
    read(metadata, METRICS, list, v2beta1::metrics).unwrap_or_default()
}

/// The behavior that the object's annotations carry; one that says nothing counts as none.
pub(super) fn behavior(metadata: &Fields<'_>) -> Option<WrittenBehavior> {
    let parse = |text: &str| serde_json::from_str(text);
    let behavior = read(metadata, BEHAVIOR, parse, |fields| {
        v2::behavior(fields, Tolerances::Known)
    });
    behavior.filter(|b| *b != WrittenBehavior::default())
}

fn read<T>(
    metadata: &Fields<'_>,
    annotation: &'static str,
    parse: impl Fn(&str) -> Result<Value, serde_json::Error>,
    convert: fn(&Fields<'_>) -> T,
) -> Option<T> {
    let annotations = metadata.object("annotations")?;
    let value = parse(annotations.text(annotation)?).ok()?;
    let findings = Findings::new(Names::AnyCase);
    let converted = convert(&Fields::of(&value, "", &findings));
    findings.into_problems().is_empty().then_some(converted)
}
