//! What a request is about: its path and its parameters.

use super::prometheus;
use super::refusal::Refusal;
use super::resources::{Resource, find};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A document about the API itself, by its path.
    Document(String),
    /// All objects of a resource, in a namespace or in all.
    Collection(&'static Resource, Option<String>),
    /// One object, or a part of it.
    Object(&'static Resource, String, String, Part),
    /// A metric of objects: namespace, resource, object (or `*`) and metric.
    Custom {
        version: String,
        namespace: String,
        resource: String,
        object: String,
        metric: String,
    },
    /// A path below the address of the cluster's Prometheus.
    Prometheus(Vec<String>),
    /// A metric of nothing in the cluster.
    External { namespace: String, metric: String },
}

/// Which part of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Status,
    Scale,
}

/// The group of custom metrics.
pub(super) const CUSTOM: &str = "custom.metrics.k8s.io";

/// The group of external metrics.
pub(super) const EXTERNAL: &str = "external.metrics.k8s.io";

impl Target {
    /// # Errors
    ///
    /// 404 where nothing has this path.
    pub(super) fn parse(path: &str) -> Result<Self, Refusal> {
        let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let text = |text: &str| text.to_owned();
        match parts.as_slice() {
            ["apis", CUSTOM, version, "namespaces", namespace, "metrics", metric] => Ok(Self::Custom {
                version: text(version),
                namespace: text(namespace),
                resource: text("namespaces"),
                object: text(namespace),
                metric: text(metric),
            }),
            [
                "apis",
                CUSTOM,
                version,
                "namespaces",
                namespace,
                resource,
                object,
                metric,
            ] => Ok(Self::Custom {
                version: text(version),
                namespace: text(namespace),
                resource: text(resource),
                object: text(object),
                metric: text(metric),
            }),
            ["apis", EXTERNAL, "v1beta1", "namespaces", namespace, metric] => Ok(Self::External {
                namespace: text(namespace),
                metric: text(metric),
            }),
            [
                "api",
                "v1",
                "namespaces",
                prometheus::NAMESPACE,
                "services",
                service,
                "proxy",
                rest @ ..,
            ] if prometheus::SERVICES.contains(service) => {
                Ok(Self::Prometheus(rest.iter().copied().map(str::to_owned).collect()))
            }
            ["api", version, rest @ ..] if !rest.is_empty() => in_group("", version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => in_group(group, version, rest),
            _ => Ok(Self::Document(format!("/{}", parts.join("/")))),
        }
    }
}

fn in_group(group: &str, version: &str, rest: &[&str]) -> Result<Target, Refusal> {
    let resource = |plural: &str, namespaced: bool| {
        find(group, version, plural)
            .filter(|resource| resource.namespaced == namespaced)
            .ok_or_else(Refusal::no_such_path)
    };
    let part = |resource: &'static Resource, name: &str| match name {
        "status" if resource.has_status => Ok(Part::Status),
        "scale" if resource.has_scale => Ok(Part::Scale),
        _ => Err(Refusal::no_such_path()),
    };
    match rest {
        ["namespaces", namespace, plural] if *plural != "status" => Ok(Target::Collection(
            resource(plural, true)?,
            Some((*namespace).to_owned()),
        )),
        ["namespaces", namespace, plural, name, of @ ..] if of.len() <= 1 => {
            let resource = resource(plural, true)?;
            let part = of.first().map_or(Ok(Part::Whole), |of| part(resource, of))?;
            Ok(Target::Object(
                resource,
                (*namespace).to_owned(),
                (*name).to_owned(),
                part,
            ))
        }
        [plural] => {
            let resource = find(group, version, plural).ok_or_else(Refusal::no_such_path)?;
            Ok(Target::Collection(resource, None))
        }
        [plural, name, of @ ..] if of.len() <= 1 => {
            let resource = resource(plural, false)?;
            let part = of.first().map_or(Ok(Part::Whole), |of| part(resource, of))?;
            Ok(Target::Object(resource, String::new(), (*name).to_owned(), part))
        }
        _ => Err(Refusal::no_such_path()),
    }
}

/// The parameters of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let spaced = |text: &str| decode(&text.replace('+', " "));
            (spaced(name), spaced(value))
        };
        Self(pairs.map(pair).collect())
    }

    /// The parameter's value; empty where it is not given.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(given, _)| given == name)
            .map_or("", |(_, value)| value)
    }

    /// All values of a parameter that may be given several times.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let given = self.0.iter().filter(move |(given, _)| given == name);
        given.map(|(_, value)| value.as_str())
    }

    pub(super) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        matches!(self.get(name), "1" | "t" | "true" | "True" | "TRUE")
    }

    /// A whole number.
    ///
    /// # Errors
    ///
    /// 400 where it is none.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        match self.get(name) {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| Refusal::bad_request(format!("{name}: {text:?} is no number"))),
        }
    }
}

/// `text` with `%41` read as `A`; what is no escape stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::resources::{AUTOSCALERS, DEPLOYMENTS, NAMESPACES, POD_METRICS, PODS};
    use super::*;

    #[test]
    fn each_path_names_what_it_does_in_kubernetes() {
        let text = |text: &str| text.to_owned();
        for (path, expected) in [
            ("/api/v1/pods", Target::Collection(&PODS, None)),
            (
                "/api/v1/namespaces/shop/pods",
                Target::Collection(&PODS, Some(text("shop"))),
            ),
            ("/api/v1/namespaces", Target::Collection(&NAMESPACES, None)),
            (
                "/api/v1/namespaces/shop",
                Target::Object(&NAMESPACES, text(""), text("shop"), Part::Whole),
            ),
            (
                "/apis/metrics.k8s.io/v1beta1/pods",
                Target::Collection(&POD_METRICS, None),
            ),
            (
                "/apis/apps/v1/namespaces/shop/deployments/web/scale",
                Target::Object(&DEPLOYMENTS, text("shop"), text("web"), Part::Scale),
            ),
            (
                "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/web/status",
                Target::Object(&AUTOSCALERS, text("shop"), text("web"), Part::Status),
            ),
            ("/apis/apps/v1", Target::Document(text("/apis/apps/v1"))),
            (
                "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/%2A/qps",
                Target::Custom {
                    version: text("v1beta2"),
                    namespace: text("shop"),
                    resource: text("pods"),
                    object: text("*"),
                    metric: text("qps"),
                },
            ),
        ] {
            assert_eq!(Target::parse(path), Ok(expected), "{path}");
        }
        for path in [
            "/api/v1/nodes",
            "/apis/apps/v1/namespaces/shop/deployments/web/log",
            "/api/v1/pods/a",
        ] {
            assert_eq!(Target::parse(path).map_err(|refusal| refusal.code), Err(404), "{path}");
        }
    }

    #[test]
    fn parameters_are_decoded() {
        let parameters = Parameters::parse("labelSelector=app%3Dweb%2Ctier+in+%28a%29&watch=1&limit=x");
        assert_eq!(parameters.get("labelSelector"), "app=web,tier in (a)");
        assert!(parameters.is_true("watch") && !parameters.is_true("allowWatchBookmarks"));
        assert_eq!(parameters.number("limit").map_err(|refusal| refusal.code), Err(400));
        assert_eq!(parameters.number("timeoutSeconds"), Ok(None));
    }
}
