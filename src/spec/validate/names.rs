//! What Kubernetes takes as names. Each function says what would be right, or nothing where the name is.

use crate::selector::{is_dns_subdomain, label_key_problem};

/// For whatever becomes a part of a URL's path.
pub(super) fn path_segment_problem(name: &str) -> Option<String> {
    let bad = matches!(name, "." | "..") || name.contains(['/', '%']);
    bad.then(|| "a name that is neither '.' nor '..' and has no '/' and no '%'".into())
}

/// For objects' names.
pub(super) fn subdomain_problem(name: &str) -> Option<String> {
    let want = "at most 253 of a-z, 0-9, '-' and '.', with a letter or digit around each '.' and at both ends";
    (!is_dns_subdomain(name)).then(|| want.into())
}

/// For namespaces and containers.
pub(super) fn label_problem(name: &str) -> Option<String> {
    let fits = name.len() <= 63 && is_dns_subdomain(name) && !name.contains('.');
    (!fits).then(|| "at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends".into())
}

/// For the resources that a container can request.
///
/// Source: Kubernetes v1.36 `pkg/apis/core/v1/validation/validation.go`, `ValidateContainerResourceName`.
pub(super) fn container_resource_problem(name: &str) -> Option<String> {
    if let Some(problem) = label_key_problem(name) {
        return Some(problem);
    }
    if !name.contains('/') {
        let standard = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
        let want = "cpu, memory, ephemeral-storage, hugepages-… or a resource with a domain, such as example.com/gpu";
        return (!standard).then(|| want.into());
    }
    // Quotas name such a resource with a prefix, under which it must be a name as well.
    let extended = !name.starts_with("requests.") && label_key_problem(&format!("requests.{name}")).is_none();
    let fits = name.contains("kubernetes.io/") || extended;
    (!fits).then(|| "a resource with a domain, such as example.com/gpu, that does not begin with requests.".into())
}
