//! Autoscalers that stand in files, among those of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{info, warn};

use super::changes::What;
use super::stored::is_ours;
use super::{Autoscaler, Autoscalers, Known, Origin};
use crate::decide::reasons;
use crate::manifests::Manifest;
use crate::observe::{Condition, ConditionStatus, Status};
use crate::spec::{Key, Spec};

impl Autoscalers {
    /// From now on these autoscalers of files are served, and no others of files.
    ///
    /// Where the cluster has an object of the same name, that one holds: it is what `kubectl get hpa` shows.
    pub fn serve_manifests(&self, manifests: &BTreeMap<Key, Arc<Manifest>>) {
        let mut known = self.known.write();
        let before = std::mem::replace(&mut known.manifests, manifests.clone());
        for (key, manifest) in manifests {
            if before.get(key) != Some(manifest) {
                self.file(&mut known, key, manifest);
            }
        }
        for key in before.keys().filter(|key| !manifests.contains_key(*key)) {
            if known.in_force.get(key).is_some_and(|former| former.is_filed()) {
                known.in_force.remove(key);
                self.note(key, What::Deleted);
            }
        }
    }

    /// Takes a manifest in, unless an object of the cluster has its name.
    pub(super) fn file(&self, known: &mut Known, key: &Key, manifest: &Manifest) {
        let autoscaler = Autoscaler::from_manifest(key, manifest);
        match known.in_force.get(key) {
            Some(object) if !object.is_filed() => return warn_of_object(key, manifest),
            Some(former) if former.wants_the_same(&autoscaler) => {}
            Some(_) => self.note(key, What::SpecChanged),
            None => self.note(key, What::Added),
        }
        known.in_force.insert(key.clone(), Arc::new(autoscaler));
    }

    /// What an object of the cluster leaves behind: the manifest of its name takes its place.
    pub(super) fn unshadow(&self, known: &mut Known, key: &Key) -> bool {
        let Some(manifest) = known.manifests.get(key).cloned() else {
            return false;
        };
        info!(hpa = %key, manifest = %manifest.place, "The object is gone: the manifest of its name holds now");
        known
            .in_force
            .insert(key.clone(), Arc::new(Autoscaler::from_manifest(key, &manifest)));
        self.note(key, What::SpecChanged);
        true
    }
}

/// Says that the cluster's object holds and not the manifest.
pub(super) fn warn_of_object(key: &Key, manifest: &Manifest) {
    warn!(
        hpa = %key,
        manifest = %manifest.place,
        "The cluster has a HorizontalPodAutoscaler of this name: it holds, and the manifest does not"
    );
}

impl Autoscaler {
    fn from_manifest(key: &Key, manifest: &Manifest) -> Self {
        let ours = manifest.annotations.iter().filter(|(name, _)| is_ours(name));
        Self {
            key: key.clone(),
            origin: Origin::File(manifest.place.clone()),
            spec: Ok(manifest.spec.clone()),
            status: first_status(&manifest.spec),
            annotations: Arc::new(ours.map(|(name, value)| (name.clone(), value.clone())).collect()),
            wish: None,
        }
    }

    fn wants_the_same(&self, other: &Self) -> bool {
        let same_spec = matches!((&self.spec, &other.spec), (Ok(a), Ok(b)) if a == b);
        same_spec && self.annotations == other.annotations
    }
}

/// What is said about an autoscaler of a file before its first sync: there is no object that would remember.
///
/// That nothing was said yet, but for one thing: whoever may go to zero and is there counts as brought there by us. Nobody
/// could tell otherwise after a restart, and what never came back from zero would be the worse mistake. (Of objects,
/// Kubernetes' condition `ScaledToZero` tells the two apart.)
pub fn first_status(spec: &Spec) -> Status {
    let to_zero = (spec.min_replicas == 0).then(|| Condition {
        kind: reasons::SCALED_TO_ZERO.into(),
        status: ConditionStatus::True,
        reason: reasons::SCALED_TO_ZERO.into(),
        message: "the manifest allows zero replicas, and nothing says that someone else set them".into(),
        last_transition: None,
    });
    Status {
        conditions: to_zero.into_iter().collect(),
        ..Status::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{stored, web};
    use super::*;
    use crate::cluster::autoscalers::Change;
    use crate::cluster::watch::Store;
    use crate::manifests::{ReadOptions, read};

    /// A file with these autoscalers of namespace `shop`, and their highest counts.
    fn file(autoscalers: &[(&str, i32)]) -> BTreeMap<Key, Arc<Manifest>> {
        let documents = autoscalers.iter().map(|(name, max)| {
            format!(
                "apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
                 scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}\n  maxReplicas: {max}\n---\n"
            )
        });
        let content = read("a.yaml", &documents.collect::<String>(), &ReadOptions::default());
        assert_eq!(content.problems, []);
        let manifests = content.manifests.into_iter();
        manifests
            .map(|manifest| (manifest.spec.key.clone(), Arc::new(manifest)))
            .collect()
    }

    fn max_of(autoscalers: &Autoscalers, key: &Key) -> Option<i32> {
        Some(autoscalers.get(key)?.spec.as_ref().ok()?.max_replicas)
    }

    #[tokio::test]
    async fn autoscalers_of_files_come_change_and_go_as_objects_do() {
        let autoscalers = Autoscalers::default();
        autoscalers.serve_manifests(&file(&[("web", 3)]));
        assert_eq!(autoscalers.changes().await, [Change::Added(web())]);
        // Another line, the same wish.
        autoscalers.serve_manifests(&file(&[("api", 1), ("web", 3)]));
        assert_eq!(autoscalers.changes().await, [Change::Added(Key::new("shop", "api"))]);
        assert_eq!(autoscalers.get(&web()).unwrap().origin.to_string(), "a.yaml:8:1");
        autoscalers.serve_manifests(&file(&[("web", 4)]));
        let changes = [Change::Deleted(Key::new("shop", "api")), Change::SpecChanged(web())];
        assert_eq!(autoscalers.changes().await, changes);
        assert_eq!((autoscalers.len(), max_of(&autoscalers, &web())), (1, Some(4)));
    }

    #[tokio::test]
    async fn an_object_of_the_same_name_holds_for_as_long_as_there_is_one() {
        let autoscalers = Autoscalers::default();
        autoscalers.serve_manifests(&file(&[("web", 3)]));
        autoscalers.apply(stored("web", "1", 10, 3));
        assert_eq!(autoscalers.changes().await, [Change::Added(web())]);
        assert_eq!(max_of(&autoscalers, &web()), Some(10));
        autoscalers.serve_manifests(&file(&[("web", 4)]));
        assert_eq!(max_of(&autoscalers, &web()), Some(10));
        autoscalers.apply(stored("web", "2", 10, 4));
        assert_eq!(autoscalers.changes().await, [Change::StatusOnly(web())]);
        autoscalers.delete(stored("web", "3", 10, 4));
        assert_eq!(autoscalers.changes().await, [Change::SpecChanged(web())]);
        assert_eq!(max_of(&autoscalers, &web()), Some(4));
        // A list without the object takes nothing away that stands in a file.
        autoscalers.replace(None, Vec::new());
        autoscalers.replace(Some("shop"), vec![stored("web", "5", 11, 3)]);
        assert_eq!(autoscalers.changes().await, [Change::SpecChanged(web())]);
        autoscalers.serve_manifests(&BTreeMap::new());
        assert_eq!(max_of(&autoscalers, &web()), Some(11));
        autoscalers.replace(None, Vec::new());
        assert_eq!(autoscalers.changes().await, [Change::Deleted(web())]);
        assert!(autoscalers.is_empty());
    }
}
