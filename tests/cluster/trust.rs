//! Whom we believe to be the API server: whom the kubeconfig says, and anyone only where it says so.

use std::path::Path;
use std::process::Command;

use kube::config::{Cluster as ClusterEntry, Kubeconfig};

use crate::harness::Cluster;

/// What `once` says with a kubeconfig that is changed so; `None` where it succeeds.
fn refused(cluster: &Cluster, folder: &Path, name: &str, change: impl Fn(&mut ClusterEntry)) -> Option<String> {
    let mut config = Kubeconfig::read_from(cluster.kubeconfig()).expect("a kubeconfig");
    for named in &mut config.clusters {
        change(named.cluster.as_mut().expect("it names a cluster"));
    }
    let file = folder.join(name);
    let text = serde_json::to_string(&config).expect("it can be written");
    std::fs::write(&file, text).expect("it can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_trimtab"))
        .args(["once", "--namespace=default", "--kubeconfig"])
        .arg(&file)
        .output()
        .expect("trimtab starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then_some(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_is_believed_only_with_a_certificate_of_the_kubeconfigs_authority() {
    let cluster = Cluster::main().await;
    let namespace = cluster.namespace("trust").await;
    let folder = &namespace.folder();
    let cluster = &cluster;
    let distrusts = |name: &str, change: &dyn Fn(&mut ClusterEntry)| {
        let said = refused(cluster, folder, name, change).expect("it must not be believed");
        assert!(said.to_lowercase().contains("certificate"), "{name}: {said}");
    };
    assert_eq!(refused(cluster, folder, "as-it-is", |_| {}), None);
    distrusts("without-the-authority", &|entry| {
        (entry.certificate_authority, entry.certificate_authority_data) = (None, None);
    });
    distrusts("another-name", &|entry| {
        entry.tls_server_name = Some("elsewhere.example".to_owned())
    });
    let insecure = refused(cluster, folder, "insecure", |entry| {
        (entry.certificate_authority, entry.certificate_authority_data) = (None, None);
        entry.insecure_skip_tls_verify = Some(true);
    });
    assert_eq!(insecure, None, "the kubeconfig says not to look");
}
