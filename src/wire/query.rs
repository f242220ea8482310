//! Parameters in a URL.

use std::fmt::Write;

/// `path` with `query` behind it, form-encoded as Kubernetes' clients do it (a space is `+`).
///
/// Parameters with empty values are left out, as by Kubernetes' clients. `path` is taken as it is.
pub fn path_and_query(path: &str, query: &[(&str, &str)]) -> String {
    let mut target = path.to_owned();
    let mut separator = '?';
    for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        target.push(separator);
        encode(&mut target, name);
        target.push('=');
        encode(&mut target, value);
        separator = '&';
    }
    target
}

fn encode(target: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => target.push(byte.into()),
            b' ' => target.push('+'),
            _ => write!(target, "%{byte:02X}").expect("writing to a String does not fail"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_encoded_as_kubernetes_does_it() {
        let query = [
            ("labelSelector", "app=web,!canary,tier in (a,b)"),
            ("metricLabelSelector", ""),
        ];
        let expected = "/apis/x?labelSelector=app%3Dweb%2C%21canary%2Ctier+in+%28a%2Cb%29";
        assert_eq!(path_and_query("/apis/x", &query), expected);
        assert_eq!(path_and_query("/x", &[("a", "1"), ("b", "é")]), "/x?a=1&b=%C3%A9");
        assert_eq!(path_and_query("/x", &[]), "/x");
    }
}
