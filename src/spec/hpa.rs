//! From a HorizontalPodAutoscaler object to a [`Spec`].

use serde_json::Value;

use super::fields::{Fields, Findings, Names};
use super::problem::{Problem, SpecError};
use super::written::WrittenHpa;
use super::{Key, Spec, defaults, resolve, v1, v2, v2beta1, validate};

/// The kind that is read.
const KIND: &str = "HorizontalPodAutoscaler";

/// How manifests are read.
#[derive(Clone, Debug)]
pub struct ManifestOptions {
    /// The feature gate HPAScaleToZero: `minReplicas: 0` is allowed.
    pub scale_to_zero: bool,
    /// The namespace of manifests that name none; `default` by default, as for kubectl.
    pub default_namespace: String,
}

impl Default for ManifestOptions {
    fn default() -> Self {
        Self {
            scale_to_zero: false,
            default_namespace: "default".into(),
        }
    }
}

/// Where an object comes from, which decides how strictly it is read.
enum Origin<'o> {
    Cluster,
    Manifest(&'o ManifestOptions),
}

impl Spec {
    /// The wish of an autoscaler as an API server gives it; where it names no version, as in lists, autoscaling/v2.
    ///
    /// What was let in once stays allowed: `minReplicas: 0` without the gate, references whose `apiVersion` does not
    /// parse, unknown fields.
    ///
    /// # Errors
    /// All fields that Kubernetes v1.36 would refuse.
    pub fn from_stored(object: &Value) -> Result<Self, SpecError> {
        read(object, &Origin::Cluster)
    }

    /// The wish of an autoscaler as someone writes it, in `autoscaling/v2`, `v1`, `v2beta2` or `v2beta1`.
    ///
    /// The same wish gives the same `Spec`, whatever its version; autoscaling/v1 and v2beta1 carry what they have no
    /// fields for in Kubernetes' annotations.
    ///
    /// # Errors
    /// All fields that Kubernetes v1.36 would refuse from `kubectl create`, unknown ones included.
    pub fn from_manifest(object: &Value, options: &ManifestOptions) -> Result<Self, SpecError> {
        read(object, &Origin::Manifest(options))
    }
}

fn read(object: &Value, origin: &Origin<'_>) -> Result<Spec, SpecError> {
    let names = match origin {
        Origin::Cluster => Names::Lenient,
        Origin::Manifest(_) => Names::Known,
    };
    let findings = Findings::new(names);
    let fields = Fields::of(object, "", &findings);
    let mut written = written(&fields, origin, &findings);
    let spec = written.as_mut().map(|written| {
        let rules = match origin {
            Origin::Cluster => validate::Rules {
                zero_allowed: true,
                api_versions_checked: false,
            },
            Origin::Manifest(options) => validate::Rules {
                zero_allowed: options.scale_to_zero,
                api_versions_checked: true,
            },
        };
        validate::check(written, rules, &findings);
        defaults::fill_behavior(written);
        resolve::spec(written)
    });
    let object = match &spec {
        Some(spec) => format!("{KIND} {}", spec.key),
        None => KIND.to_owned(),
    };
    let problems = findings.into_problems();
    match spec {
        Some(spec) if problems.is_empty() => Ok(spec),
        _ => Err(SpecError { object, problems }),
    }
}

/// Reads the object's version into the shape of autoscaling/v2, and fills in its defaults.
fn written(fields: &Fields<'_>, origin: &Origin<'_>, findings: &Findings) -> Option<WrittenHpa> {
    let key = key(fields, origin);
    let kind = fields
        .text("kind")
        .or(matches!(origin, Origin::Cluster).then_some(KIND));
    if kind != Some(KIND) {
        findings.note(Problem::new("kind", fields.value("kind"), KIND));
        return None;
    }
    let stored_version = matches!(origin, Origin::Cluster).then_some("autoscaling/v2");
    let version = fields.text("apiVersion").or(stored_version).unwrap_or_default();
    let metadata = fields.object_or_empty("metadata");
    let spec = fields.object_or_empty("spec");
    fields.value("status");
    fields.end();
    let mut hpa = match version {
        "autoscaling/v2" => v2::read(&spec, v2::Tolerances::Known),
        "autoscaling/v2beta2" => v2::read(&spec, v2::Tolerances::Unknown),
        "autoscaling/v2beta1" => v2beta1::read(&metadata, &spec),
        "autoscaling/v1" => v1::read(&metadata, &spec),
        _ => {
            let want = "autoscaling/v2, autoscaling/v1, autoscaling/v2beta2 or autoscaling/v2beta1";
            findings.note(Problem::new("apiVersion", fields.value("apiVersion"), want));
            return None;
        }
    };
    hpa.namespace = key.namespace.to_string();
    hpa.name = key.name.to_string();
    defaults::fill(&mut hpa);
    // A behavior from annotations must be whole: Kubernetes fills it only after it has let it in.
    if matches!(version, "autoscaling/v2" | "autoscaling/v2beta2") {
        defaults::fill_behavior(&mut hpa);
    }
    Some(hpa)
}

/// The object's name, which its errors repeat.
fn key(fields: &Fields<'_>, origin: &Origin<'_>) -> Key {
    let metadata = fields.object_or_empty("metadata");
    let namespace = metadata.text("namespace").unwrap_or_default();
    let namespace = match origin {
        Origin::Manifest(options) if namespace.is_empty() => &options.default_namespace,
        _ => namespace,
    };
    Key::new(namespace, metadata.text("name").unwrap_or_default())
}

#[cfg(test)]
mod tests;
