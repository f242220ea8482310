//! Where the API server's address and our credentials come from.

use std::env;
use std::path::PathBuf;

use http::{HeaderValue, Uri};
use kube::Config;
use kube::config::{AuthInfo, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use secrecy::ExposeSecret;
use thiserror::Error;

use super::proxy::is_bypassed;

/// Where the API server's address and our credentials come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The kubeconfig file. `None`: those that `$KUBECONFIG` names, else `~/.kube/config`, else, within a pod, the pod's
    /// service account.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; `None`: its current one. Where one is named, the service account is not tried.
    pub context: Option<String>,
}

/// Why there is no address, or there are no credentials.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A kubeconfig cannot be read.
    #[error("read {origin}: {message}")]
    Unreadable {
        /// The file, or where it was looked for.
        origin: String,
        /// What is wrong.
        message: String,
    },
    /// The context that was asked for is not there.
    #[error("{origin} has no context {context:?}; it has {known}")]
    NoContext {
        /// The file.
        origin: String,
        /// The context that was asked for.
        context: String,
        /// Those that there are.
        known: String,
    },
    /// No context was asked for, and none is current.
    #[error("{origin} has no current context: name one with --context, or set it with `kubectl config use-context`")]
    NoCurrentContext {
        /// The file.
        origin: String,
    },
    /// There is neither a kubeconfig nor a service account.
    #[error(
        "no cluster to talk to: neither $KUBECONFIG nor ~/.kube/config names a file that exists, and this is not a pod \
         ({0}); name a file with --kubeconfig"
    )]
    Nowhere(#[source] InClusterError),
    /// This is a pod, but its service account cannot be read.
    #[error("use the pod's service account; is automountServiceAccountToken off?")]
    ServiceAccount(#[source] InClusterError),
}

impl Source {
    /// The configuration, and a name for where it is from.
    pub(super) async fn load(&self) -> Result<(Config, String), ConfigError> {
        let origin = self.origin();
        let kubeconfig = match self.read() {
            Ok(kubeconfig) => kubeconfig,
            Err(error) if self.may_be_pod() && is_absent(&error) => return in_cluster(),
            Err(error) => {
                return Err(ConfigError::Unreadable {
                    origin,
                    message: problem(&error),
                });
            }
        };
        self.check_context(&kubeconfig, &origin)?;
        let names_proxy = kubeconfig
            .clusters
            .iter()
            .filter_map(|named| named.cluster.as_ref()?.proxy_url.clone());
        let proxies: Vec<String> = names_proxy.collect();
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        match Config::from_custom_kubeconfig(kubeconfig, &options).await {
            // kube would panic.
            Ok(config) if has_unsendable_token(&config.auth_info) => Err(ConfigError::Unreadable {
                origin,
                message: "the user's token has a character that none can have, such as a line break".into(),
            }),
            Ok(mut config) => {
                let host = config.cluster_url.host().unwrap_or_default();
                let from_environment = config
                    .proxy_url
                    .as_ref()
                    .is_some_and(|proxy| !proxies.iter().any(|p| same(p, proxy)));
                if from_environment && is_bypassed(host, &no_proxy()) {
                    config.proxy_url = None;
                }
                Ok((config, origin))
            }
            Err(error) => Err(ConfigError::Unreadable {
                origin,
                message: problem(&error),
            }),
        }
    }

    fn read(&self) -> Result<Kubeconfig, KubeconfigError> {
        match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        }
    }

    fn origin(&self) -> String {
        match (&self.kubeconfig, env::var("KUBECONFIG")) {
            (Some(path), _) => format!("kubeconfig {}", path.display()),
            (None, Ok(paths)) if !paths.is_empty() => {
                format!("kubeconfig {paths} (from $KUBECONFIG)")
            }
            (None, _) => "kubeconfig ~/.kube/config".to_owned(),
        }
    }

    /// Whoever names a file or a context does not want to end up in another cluster.
    fn may_be_pod(&self) -> bool {
        self.kubeconfig.is_none() && self.context.is_none()
    }

    fn check_context(&self, kubeconfig: &Kubeconfig, origin: &str) -> Result<(), ConfigError> {
        let Some(context) = self
            .context
            .as_ref()
            .or(kubeconfig.current_context.as_ref().filter(|c| !c.is_empty()))
        else {
            return Err(ConfigError::NoCurrentContext {
                origin: origin.to_owned(),
            });
        };
        if kubeconfig.contexts.iter().any(|named| named.name == *context) {
            return Ok(());
        }
        let mut known: Vec<_> = kubeconfig.contexts.iter().map(|named| named.name.as_str()).collect();
        known.sort_unstable();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        Err(ConfigError::NoContext {
            origin: origin.to_owned(),
            context: context.clone(),
            known,
        })
    }
}

/// What is wrong with a kubeconfig. Of what is no kubeconfig kube would show the lines around the mistake, where tokens stand.
fn problem(error: &KubeconfigError) -> String {
    let KubeconfigError::Parse(error) = error else {
        return error.to_string();
    };
    let place = error.without_snippet().location();
    let place = place.map(|at| format!(" (line {}, column {})", at.line(), at.column()));
    format!(
        "it is no kubeconfig{}; what stands there is not repeated, since it may be secret",
        place.unwrap_or_default()
    )
}

fn same(written: &str, proxy: &Uri) -> bool {
    written.parse::<Uri>().is_ok_and(|written| written == *proxy)
}

fn no_proxy() -> String {
    let either = env::var("NO_PROXY").or_else(|_| env::var("no_proxy"));
    either.unwrap_or_default()
}

fn is_absent(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::ReadConfig(error, _) => error.kind() == std::io::ErrorKind::NotFound,
        KubeconfigError::FindPath => true,
        _ => false,
    }
}

fn in_cluster() -> Result<(Config, String), ConfigError> {
    match Config::incluster() {
        Ok(config) => Ok((config, "the pod's service account".to_owned())),
        Err(error @ InClusterError::ReadEnvironmentVariable(_)) => Err(ConfigError::Nowhere(error)),
        Err(error) => Err(ConfigError::ServiceAccount(error)),
    }
}

/// Whether a token stands there that no header can carry.
fn has_unsendable_token(user: &AuthInfo) -> bool {
    let token = user.token.as_ref().map(ExposeSecret::expose_secret);
    token.is_some_and(|token| HeaderValue::from_bytes(token.as_bytes()).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_CONTEXTS: &str = "
apiVersion: v1
kind: Config
contexts:
- {name: test, context: {cluster: c, user: u}}
- {name: live, context: {cluster: c, user: u}}
clusters:
- {name: c, cluster: {server: 'https://127.0.0.1:1'}}
users:
- {name: u, user: {}}
";

    fn refusal(yaml: &str, context: Option<&str>) -> Option<String> {
        let source = Source {
            kubeconfig: None,
            context: context.map(str::to_owned),
        };
        let kubeconfig = Kubeconfig::from_yaml(yaml).unwrap();
        source
            .check_context(&kubeconfig, "kubeconfig x")
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn a_context_that_is_not_there_is_refused_with_those_that_are() {
        assert_eq!(refusal(TWO_CONTEXTS, Some("live")), None);
        let text = refusal(TWO_CONTEXTS, Some("prod")).unwrap();
        assert_eq!(text, "kubeconfig x has no context \"prod\"; it has live, test");
        let text = refusal(TWO_CONTEXTS, None).unwrap();
        assert!(
            text.starts_with("kubeconfig x has no current context: name one with --context"),
            "{text}"
        );
        let current = TWO_CONTEXTS.to_owned() + "current-context: test\n";
        assert_eq!(refusal(&current, None), None);
    }

    #[test]
    fn what_is_no_kubeconfig_is_not_repeated() {
        for wrong in [
            "users:\n- name: u\n  user:\n    token: sEcReT\n   - broken",
            "users:\n- name: u\n  user: sEcReT\n",
            "users:\n- name: u\n  user: {token: sEcReT, exec: sEcReT}\n",
            "token: sEcReT\nusers: [",
        ] {
            let error = Kubeconfig::from_yaml(wrong).unwrap_err();
            assert!(
                error.to_string().contains("sEcReT"),
                "kube says no more of {wrong:?} than {error}"
            );
            let told = problem(&error);
            assert!(
                told.starts_with("it is no kubeconfig (line ") && !told.contains("sEcReT"),
                "{told}"
            );
        }
    }

    #[tokio::test]
    async fn a_file_that_is_named_and_not_there_is_an_error_also_in_a_pod() {
        let source = Source {
            kubeconfig: Some("/nowhere/config".into()),
            context: None,
        };
        let text = source.load().await.unwrap_err().to_string();
        assert!(text.starts_with("read kubeconfig /nowhere/config: "), "{text}");
    }
}
