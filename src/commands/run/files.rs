//! The configuration file and Prometheus Adapter's rules, while the controller runs: changed rules are taken over, a changed
//! configuration is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::beside::Beside;
use crate::clock::{Clock, SystemClock};
use crate::commands::configuration::{Files, RuleFile, read_text};
use crate::metrics::prometheus::Prometheus;
use crate::promql::adapter;
use crate::settings::{FILE_MAX_BYTES, Typed, resolve};

/// How often files are looked at, as a folder of manifests is.
const PERIOD: Duration = crate::manifests::follow::PERIOD;

/// Looks at the files that settings were read from, now and then.
pub(super) fn follow(files: Files, prometheus: Option<Prometheus>, beside: &mut Beside) {
    let Files { typed, rules } = files;
    if let Some((path, text)) = &typed.file {
        let seen = Seen::new(path, text, FILE_MAX_BYTES, PERIOD);
        beside.start("the reader of the configuration file", |end| {
            configuration(seen, typed, end)
        });
    }
    if let (Some(file), Some(prometheus)) = (rules, prometheus) {
        let seen = Seen::new(&file.path, &file.text, adapter::FILE_MAX_BYTES, PERIOD);
        beside.start("the reader of Prometheus Adapter's rules", |end| {
            follow_rules(seen, file, prometheus, end)
        });
    }
}

/// A file, as it was seen last.
struct Seen {
    path: String,
    /// The text that holds.
    in_force: String,
    /// What stands there: the text, or why it cannot be read.
    last: Result<String, String>,
    /// A text that could not be taken over yet, which was said.
    waits: Option<String>,
    max_bytes: u64,
    period: Duration,
}

impl Seen {
    fn new(path: &str, text: &str, max_bytes: u64, period: Duration) -> Self {
        Self {
            path: path.to_owned(),
            last: Ok(text.to_owned()),
            in_force: text.to_owned(),
            waits: None,
            max_bytes,
            period,
        }
    }

    /// Waits until the file is not as it was seen last; `None`: it is time to end.
    async fn changes(&mut self, end: &CancellationToken) -> Option<()> {
        loop {
            end.run_until_cancelled(sleep(self.period)).await?;
            let (path, max_bytes) = (self.path.clone(), self.max_bytes);
            // File systems may hang, and the event loop must not.
            let read = tokio::task::spawn_blocking(move || read_text(&path, max_bytes));
            let now = match end.run_until_cancelled(read).await? {
                Ok(read) => read.map_err(|error| format!("{error:#}")),
                Err(broken) => Err(broken.to_string()),
            };
            if now != self.last {
                self.last = now;
                return Some(());
            }
        }
    }
}

/// What a changed configuration file means for the next start.
#[derive(Debug, PartialEq)]
enum NextStart {
    Same,
    Different,
    Fails(String),
}

fn next_start(seen: &Seen, typed: &Typed) -> NextStart {
    let text = match &seen.last {
        Ok(text) if *text == seen.in_force => return NextStart::Same,
        Ok(text) => text.clone(),
        Err(problem) => return NextStart::Fails(problem.clone()),
    };
    let typed = Typed {
        file: Some((seen.path.clone(), text)),
        ..typed.clone()
    };
    match resolve(&typed) {
        Ok(_) => NextStart::Different,
        Err(mistakes) => NextStart::Fails(mistakes.to_string()),
    }
}

async fn configuration(mut seen: Seen, typed: Typed, end: CancellationToken) {
    while seen.changes(&end).await.is_some() {
        let file = &seen.path;
        match next_start(&seen, &typed) {
            NextStart::Same => info!(file, "The configuration file is again as it was at the start"),
            NextStart::Different => warn!(file, "The configuration file has changed: a restart applies it"),
            NextStart::Fails(problem) => error!(
                file,
                error = problem,
                "The configuration file has changed, and a restart would fail: what it said at the start stays in force"
            ),
        }
    }
}

async fn follow_rules(mut seen: Seen, file: RuleFile, prometheus: Prometheus, end: CancellationToken) {
    while seen.changes(&end).await.is_some() {
        if end
            .run_until_cancelled(take_over(&mut seen, &file, &prometheus))
            .await
            .is_none()
        {
            return;
        }
    }
}

/// Has the file's rules answer, if they are right and others than those that do.
async fn take_over(seen: &mut Seen, file: &RuleFile, prometheus: &Prometheus) {
    let path = &seen.path;
    let kept = "Prometheus Adapter's rules cannot be used: those before stay in force";
    let text = match &seen.last {
        Ok(text) if *text == seen.in_force => {
            return info!(
                file = path,
                "Prometheus Adapter's rules are again those that are in force"
            );
        }
        Ok(text) => text.clone(),
        Err(problem) => return error!(file = path, error = problem, "{kept}"),
    };
    let rules = match file.parse(&text) {
        Ok(rules) => rules,
        Err(mistakes) => return error!(file = path, error = %mistakes, "{kept}"),
    };
    let rules = Arc::new(rules);
    match prometheus.replace_rules(rules.clone(), SystemClock.now()).await {
        Ok(()) => {
            info!(file = path, "Prometheus Adapter's rules have changed");
            for warning in rules.warnings() {
                warn!(file = path, "{warning}");
            }
            seen.in_force = text;
        }
        Err(problem) => {
            if seen.waits.as_ref() != Some(&text) {
                let problem = problem.failure().message;
                let waits = "Prometheus Adapter's rules have changed, and wait until the names of series can be listed";
                warn!(file = path, error = problem, "{waits}");
                seen.waits = Some(text);
            }
            // So that the next look finds a change again.
            seen.last = Ok(seen.in_force.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::guard::BreakerSettings;
    use crate::settings::sources::Sources;

    fn seen(last: Result<&str, &str>) -> Seen {
        Seen {
            last: last.map(str::to_owned).map_err(str::to_owned),
            ..Seen::new("trimtab.yaml", "sync-timeout: 20s\n", FILE_MAX_BYTES, PERIOD)
        }
    }

    #[test]
    fn of_a_changed_configuration_it_is_told_what_a_restart_would_do() {
        let next = |last| next_start(&seen(last), &Typed::default());
        assert_eq!(next(Ok("sync-timeout: 20s\n")), NextStart::Same);
        assert_eq!(next(Ok("sync-timeout: 25s\n")), NextStart::Different);
        assert_eq!(next(Err("no such file")), NextStart::Fails("no such file".into()));
        let NextStart::Fails(mistake) = next(Ok("sync-timeout: soon\n")) else {
            panic!("it would start");
        };
        assert!(mistake.starts_with("trimtab.yaml:1:15: "), "{mistake}");
    }

    #[tokio::test]
    async fn a_change_of_a_file_is_seen_once_and_its_end_too() {
        let path = std::env::temp_dir().join(format!("trimtab-{}-files.yaml", std::process::id()));
        let name = path.to_str().unwrap();
        std::fs::write(&path, "a").unwrap();
        let mut seen = Seen::new(name, "a", 10, Duration::from_millis(1));
        let end = CancellationToken::new();
        let nothing = tokio::time::timeout(Duration::from_millis(50), seen.changes(&end)).await;
        assert!(nothing.is_err());
        std::fs::write(&path, "b").unwrap();
        seen.changes(&end).await.unwrap();
        assert_eq!(seen.last.as_deref(), Ok("b"));
        std::fs::remove_file(&path).unwrap();
        seen.changes(&end).await.unwrap();
        assert!(seen.last.unwrap_err().contains(name));
        end.cancel();
        assert!(Seen::new(name, "", 10, PERIOD).changes(&end).await.is_none());
    }

    const RULES: &str = "resourceRules: {cpu: {containerLabel: c, containerQuery: 'x{<<.LabelMatchers>>}', \
                         resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}}}\n";

    #[tokio::test]
    async fn wrong_rules_are_not_taken_over_and_right_ones_are() {
        let file = RuleFile {
            path: "rules.yaml".into(),
            text: RULES.into(),
            endpoint: "main".into(),
        };
        // No endpoint, so that no names are listed.
        let prometheus = Prometheus::new(&Sources::default(), BreakerSettings::default(), 1).unwrap();
        let mut seen = Seen::new("rules.yaml", RULES, 1000, PERIOD);
        let edited = format!("{RULES}# edited");
        for (text, in_force) in [
            ("rules: 7", RULES),
            (&edited, &edited),
            ("rules: [", &edited),
            (RULES, RULES),
        ] {
            seen.last = Ok(text.into());
            take_over(&mut seen, &file, &prometheus).await;
            assert_eq!(seen.in_force, in_force, "after {text}");
        }
    }
}
