//! Looking at a folder again and again, and saying what is wrong with it once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::folder::Folder;
use super::{Manifest, Problem};
use crate::spec::Key;

/// How often a folder is looked at. The kubelet takes a minute to bring a changed ConfigMap; people who edit a file wait.
pub const PERIOD: Duration = Duration::from_secs(5);

/// How a folder is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderHealth {
    /// How many files it has.
    pub files: usize,
    /// How many autoscalers it gives.
    pub autoscalers: usize,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

/// Looks at a folder for as long as it runs.
#[derive(Debug)]
pub struct Follower {
    folder: Folder,
    health: Arc<Mutex<FolderHealth>>,
}

/// Tells how a followed folder is doing.
#[derive(Clone, Debug)]
pub struct FolderWatch(Arc<Mutex<FolderHealth>>);

impl FolderWatch {
    /// As it was when it was last looked at.
    pub fn health(&self) -> FolderHealth {
        self.0.lock().clone()
    }
}

impl Follower {
    /// A follower of a folder that was looked at before.
    pub fn new(folder: Folder) -> (Self, FolderWatch) {
        let health = Arc::new(Mutex::new(health(&folder)));
        let watch = FolderWatch(health.clone());
        warn_of_empty(&BTreeSet::new(), &empty_files(&folder));
        (Self { folder, health }, watch)
    }

    /// Gives `serve` the folder's autoscalers whenever they change, until `stop`. Ends before only where looking panics.
    pub async fn run(
        mut self,
        period: Duration,
        stop: CancellationToken,
        serve: impl Fn(&BTreeMap<Key, Arc<Manifest>>) + Send,
    ) {
        while stop.run_until_cancelled(sleep(period)).await.is_some() {
            let (problems, empty) = (self.folder.problems().to_vec(), empty_files(&self.folder));
            // File systems may hang, and the event loop must not.
            let looked = tokio::task::spawn_blocking(move || {
                let changed = self.folder.look();
                (self, changed)
            });
            let Some(looked) = stop.run_until_cancelled(looked).await else {
                return;
            };
            let changed = match looked {
                Ok((follower, changed)) => {
                    self = follower;
                    changed
                }
                Err(problem) => {
                    error!(error = %problem, "The folder of manifests cannot be looked at");
                    return;
                }
            };
            if changed {
                tell(&problems, self.folder.problems());
                warn_of_empty(&empty, &empty_files(&self.folder));
                *self.health.lock() = health(&self.folder);
                let (files, autoscalers) = (self.folder.files(), self.folder.manifests().len());
                info!(files, autoscalers, "Manifests have changed");
                serve(self.folder.manifests());
            }
        }
    }
}

fn health(folder: &Folder) -> FolderHealth {
    FolderHealth {
        files: folder.files(),
        autoscalers: folder.manifests().len(),
        problems: folder.problems().to_vec(),
    }
}

fn empty_files(folder: &Folder) -> BTreeSet<Arc<str>> {
    folder.empty_files().cloned().collect()
}

/// Most likely the kind is misspelled, or the file is in the wrong folder.
fn warn_of_empty(before: &BTreeSet<Arc<str>>, now: &BTreeSet<Arc<str>>) {
    for file in now.difference(before) {
        warn!(file = %file, "A file of the folder of autoscalers has no HorizontalPodAutoscaler");
    }
}

/// Says what is wrong now and was not before, and what is no longer.
fn tell(before: &[Problem], now: &[Problem]) {
    for problem in now.iter().filter(|problem| !before.contains(problem)) {
        error!(
            place = %problem.place,
            error = problem.text,
            "A manifest cannot be used: what stood there before stays in force"
        );
    }
    if now.is_empty() && !before.is_empty() {
        info!("All manifests are as they should be again");
    }
}

#[cfg(test)]
mod tests {
    use super::super::ReadOptions;
    use super::super::folder::tests::{Scratch, hpa};
    use super::*;

    #[tokio::test]
    async fn changes_are_served_and_problems_kept_in_mind() {
        let scratch = Scratch::new("follow");
        scratch.write("a.yaml", &hpa("a", "3"));
        let folder = Folder::open(&scratch.0, ReadOptions::default()).unwrap();
        let (follower, watch) = Follower::new(folder);
        assert_eq!((watch.health().files, watch.health().autoscalers), (1, 1));
        let stop = CancellationToken::new();
        let (sender, mut served) = tokio::sync::mpsc::unbounded_channel();
        let running = tokio::spawn(follower.run(Duration::from_millis(1), stop.clone(), move |manifests| {
            let counts: Vec<i32> = manifests.values().map(|manifest| manifest.spec.max_replicas).collect();
            sender.send(counts).unwrap();
        }));
        scratch.write("a.yaml.new", &hpa("a", "4"));
        std::fs::rename(scratch.0.join("a.yaml.new"), scratch.0.join("a.yaml")).unwrap();
        assert_eq!(served.recv().await, Some(vec![4]));
        scratch.write("b.yaml", "kind: [");
        assert_eq!(served.recv().await, Some(vec![4]));
        assert_eq!(watch.health().problems.len(), 1);
        stop.cancel();
        running.await.unwrap();
        assert_eq!(served.recv().await, None);
    }
}
