//! Feature gates: the part of Kubernetes v1.36's that touches a horizontal autoscaler.

use serde_json::json;

use super::value::{Shape, Value, parse_bool};
use crate::yaml::nearest;

/// The feature gates that decisions depend on. The default is Kubernetes v1.36's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureGates {
    /// HPAScaleToZero (alpha): `minReplicas: 0` counts. Off by default.
    pub scale_to_zero: bool,
    /// HPAConfigurableTolerance (beta): the `tolerance` fields of an HPA count. On by default.
    pub configurable_tolerance: bool,
    /// PodLevelResources (beta): requests of a pod as a whole count. On by default.
    pub pod_level_resources: bool,
}

impl Default for FeatureGates {
    fn default() -> Self {
        Self {
            scale_to_zero: false,
            configurable_tolerance: true,
            pod_level_resources: true,
        }
    }
}

const NAMES: [&str; 5] = [
    "HPAScaleToZero",
    "HPAConfigurableTolerance",
    "PodLevelResources",
    "AllAlpha",
    "AllBeta",
];

impl Value for FeatureGates {
    const SHAPE: Shape = Shape::Many;
    const PLACEHOLDER: &'static str = "GATE=BOOL,…";
    const ALLOWED: &'static str =
        "GATE=true or GATE=false, of HPAScaleToZero, HPAConfigurableTolerance, PodLevelResources, AllAlpha, AllBeta";

    fn read(items: &[&str]) -> Result<Self, (usize, String)> {
        let mut gates = Self::default();
        let mut said = Vec::new();
        for (index, item) in items.iter().enumerate() {
            said.push(parse_gate(item).map_err(|problem| (index, problem))?);
        }
        // A gate that is named wins over AllAlpha and AllBeta, in whatever order they stand (component-base's featuregate).
        said.sort_by_key(|(name, _)| !name.starts_with("All"));
        for (name, on) in said {
            match name {
                "HPAScaleToZero" | "AllAlpha" => gates.scale_to_zero = on,
                "HPAConfigurableTolerance" => gates.configurable_tolerance = on,
                "PodLevelResources" => gates.pod_level_resources = on,
                _ => (gates.configurable_tolerance, gates.pod_level_resources) = (on, on),
            }
        }
        Ok(gates)
    }

    fn shown(&self) -> serde_json::Value {
        json!({
            "HPAScaleToZero": self.scale_to_zero,
            "HPAConfigurableTolerance": self.configurable_tolerance,
            "PodLevelResources": self.pod_level_resources,
        })
    }
}

fn parse_gate(item: &str) -> Result<(&'static str, bool), String> {
    let (name, on) = item.split_once('=').ok_or("is not of the form GATE=true")?;
    let known = NAMES
        .into_iter()
        .find(|known| *known == name.trim())
        .ok_or_else(|| match nearest(name, NAMES) {
            Some(near) => format!("names a gate that trimtab does not know ({near}?)"),
            None => "names a gate that trimtab does not know".to_owned(),
        })?;
    Ok((known, parse_bool(on.trim()).ok_or("is neither true nor false")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_gate_wins_over_all_alpha() {
        let gates = FeatureGates::read(&["HPAScaleToZero=false", "AllAlpha=true"]).expect("both are known");
        assert!(!gates.scale_to_zero);
        assert!(
            FeatureGates::read(&["AllAlpha=true"])
                .expect("it is known")
                .scale_to_zero
        );
    }

    #[test]
    fn a_mistyped_gate_finds_its_name() {
        let (index, problem) = FeatureGates::read(&["PodLevelResources=true", "HPAScaleToZer0=true"]).unwrap_err();
        assert_eq!(index, 1);
        assert_eq!(problem, "names a gate that trimtab does not know (HPAScaleToZero?)");
        assert!(FeatureGates::read(&["HPAScaleToZero"]).is_err());
        assert!(FeatureGates::read(&["HPAScaleToZero=maybe"]).is_err());
    }
}
