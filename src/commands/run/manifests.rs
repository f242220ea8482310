//! The folder of manifests, while the controller runs.

use std::sync::Arc;

use super::beside::Beside;
use crate::cluster::Cluster;
use crate::manifests::folder::Folder;
use crate::manifests::follow::{FolderWatch, Follower, PERIOD};

/// Has the folder's autoscalers served, now and whenever they change.
pub(super) fn follow(folder: Folder, cluster: &Arc<Cluster>, beside: &mut Beside) -> FolderWatch {
    let autoscalers = cluster.autoscalers.clone();
    autoscalers.serve_manifests(folder.manifests());
    let (follower, watch) = Follower::new(folder);
    beside.start("the reader of manifests", move |end| {
        follower.run(PERIOD, end, move |manifests| autoscalers.serve_manifests(manifests))
    });
    watch
}
