//! Whether the way to the API server leads through a proxy.

use std::net::IpAddr;

/// Whether `host` is reached without the proxy that `$HTTPS_PROXY` names, by the rules that kubectl has: never for
/// this machine, and not for what `no_proxy` (`$NO_PROXY`) lists, comma-separated: hosts, domains, addresses, networks
/// such as `10.0.0.0/8`, or `*`.
///
/// kube compares the list with the proxy's own address instead of the server's (seen in kube 5.0.0).
pub(super) fn is_bypassed(host: &str, no_proxy: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    no_proxy
        .split(',')
        .map(|entry| entry.trim().to_lowercase())
        .filter(|entry| !entry.is_empty())
        .any(|entry| match (address, entry.as_str()) {
            (_, "*") => true,
            (Some(address), entry) => is_within(address, entry),
            (None, entry) => {
                let domain = entry.trim_start_matches("*.").trim_start_matches('.');
                let beyond = host.strip_suffix(domain);
                beyond.is_some_and(|beyond| (beyond.is_empty() && !entry.starts_with('.')) || beyond.ends_with('.'))
            }
        })
}

fn is_within(address: IpAddr, entry: &str) -> bool {
    let (network, length) = match entry.split_once('/') {
        Some((network, length)) => (network, length.parse::<u32>().ok()),
        None => (entry, Some(128)),
    };
    let shifted = |bits: u128, width: u32| {
        let rest = width - length.unwrap_or(width).min(width);
        bits.checked_shr(rest).unwrap_or(0)
    };
    match (address, network.parse::<IpAddr>()) {
        (IpAddr::V4(own), Ok(IpAddr::V4(network))) if length.is_some() => {
            shifted(own.to_bits().into(), 32) == shifted(network.to_bits().into(), 32)
        }
        (IpAddr::V6(own), Ok(IpAddr::V6(network))) if length.is_some() => {
            shifted(own.to_bits(), 128) == shifted(network.to_bits(), 128)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_reached_directly_where_the_list_says_so() {
        for (host, no_proxy, expected) in [
            ("127.0.0.1", "", true),
            ("localhost", "", true),
            ("[::1]", "", true),
            ("api.example.com", "", false),
            ("api.example.com", "example.com", true),
            ("api.example.com", " .example.com , other", true),
            ("example.com", ".example.com", false),
            ("badexample.com", "example.com", false),
            ("API.example.com", "api.EXAMPLE.com", true),
            ("api.example.com", "*", true),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("10.1.2.3", "0.0.0.0/0", true),
            ("10.1.2.3", "10.0.0.0/x", false),
            ("fd00::1", "fd00::/8", true),
            ("fe00::1", "fd00::/8", false),
        ] {
            assert_eq!(is_bypassed(host, no_proxy), expected, "{host} {no_proxy:?}");
        }
    }
}
