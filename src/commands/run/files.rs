//! The configuration file and Prometheus Adapter's rules, while the controller runs: changed rules are taken over, a changed
//! configuration is told.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::beside::Beside;
use crate::clock::{Clock, SystemClock};
use crate::commands::configuration::{Files, RuleFile, read_text};
use crate::metrics::prometheus::Prometheus;
use crate::promql::adapter;
use crate::settings::{FILE_MAX_BYTES, Typed, resolve};
use crate::telemetry::FileVitals;

/// How often files are looked at, as a folder of manifests is.
const PERIOD: Duration = crate::manifests::follow::PERIOD;

/// Tells how the files are doing.
#[derive(Clone, Default)]
pub(super) struct FileWatches(Vec<(&'static str, Remark)>);

/// Why not what stands in a file holds, in a line.
type Remark = Arc<Mutex<Option<String>>>;

impl FileWatches {
    pub(super) fn vitals(&self) -> Vec<FileVitals> {
        let vitals = |(name, remark): &(&'static str, Remark)| FileVitals {
            name,
            remark: remark.lock().clone(),
        };
        self.0.iter().map(vitals).collect()
    }

    fn add(&mut self, name: &'static str) -> Remark {
        let remark = Remark::default();
        self.0.push((name, remark.clone()));
        remark
    }
}

/// Looks at the files that settings were read from, now and then.
pub(super) fn follow(files: Files, prometheus: Option<Prometheus>, beside: &mut Beside) -> FileWatches {
    let Files { typed, rules } = files;
    let mut watches = FileWatches::default();
    if let Some((path, text)) = &typed.file {
        let seen = Seen::new(path, text, FILE_MAX_BYTES, PERIOD);
        let remark = watches.add("configuration");
        beside.start("the reader of the configuration file", |end| {
            configuration(seen, typed, remark, end)
        });
    }
    if let (Some(file), Some(prometheus)) = (rules, prometheus) {
        let seen = Seen::new(&file.path, &file.text, adapter::FILE_MAX_BYTES, PERIOD);
        let remark = watches.add("adapter-rules");
        beside.start("the reader of Prometheus Adapter's rules", |end| {
            follow_rules(seen, file, prometheus, remark, end)
        });
    }
    watches
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

async fn configuration(mut seen: Seen, typed: Typed, remark: Remark, end: CancellationToken) {
    while seen.changes(&end).await.is_some() {
        let file = &seen.path;
        let said = match next_start(&seen, &typed) {
            NextStart::Same => {
                info!(file, "The configuration file is again as it was at the start");
                None
            }
            NextStart::Different => {
                warn!(file, "The configuration file has changed: a restart applies it");
                Some(format!("{file} has changed: a restart applies it"))
            }
            NextStart::Fails(problem) => {
                let failing = "The configuration file has changed, and a restart would fail";
                error!(
                    file,
                    error = problem,
                    "{failing}: what it said at the start stays in force"
                );
                Some(format!(
                    "{file} has changed, and a restart would fail: {}",
                    first_line(&problem)
                ))
            }
        };
        *remark.lock() = said;
    }
}

async fn follow_rules(mut seen: Seen, file: RuleFile, prometheus: Prometheus, remark: Remark, end: CancellationToken) {
    while seen.changes(&end).await.is_some() {
        let taken = end.run_until_cancelled(take_over(&mut seen, &file, &prometheus));
        let Some(said) = taken.await else { return };
        *remark.lock() = said;
    }
}

/// Has the file's rules answer, if they are right and others than those that do. Gives why they do not, in a line.
async fn take_over(seen: &mut Seen, file: &RuleFile, prometheus: &Prometheus) -> Option<String> {
    let path = &seen.path;
    let unusable = |problem: String| {
        let kept = "Prometheus Adapter's rules cannot be used: those before stay in force";
        error!(file = path, error = problem, "{kept}");
        Some(format!("{path} cannot be used: {}", first_line(&problem)))
    };
    let text = match &seen.last {
        Ok(text) if *text == seen.in_force => {
            info!(
                file = path,
                "Prometheus Adapter's rules are again those that are in force"
            );
            return None;
        }
        Ok(text) => text.clone(),
        Err(problem) => return unusable(problem.clone()),
    };
    let rules = match file.parse(&text) {
        Ok(rules) => Arc::new(rules),
        Err(mistakes) => return unusable(mistakes.to_string()),
    };
    if let Err(problem) = prometheus.replace_rules(rules.clone(), SystemClock.now()).await {
        let waits = "Prometheus Adapter's rules have changed, and wait until the names of series can be listed";
        let problem = problem.failure().message;
        let said = format!("{path} waits until the names of series can be listed: {problem}");
        if seen.waits.as_ref() != Some(&text) {
            warn!(file = path, error = problem, "{waits}");
            seen.waits = Some(text);
        }
        // So that the next look finds a change, whatever stands there by then.
        seen.last = Err(said.clone());
        return Some(said);
    }
    info!(file = path, "Prometheus Adapter's rules have changed");
    for warning in rules.warnings() {
        warn!(file = path, "{warning}");
    }
    seen.in_force = text;
    None
}

/// Health is told in lines.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
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
            let said = take_over(&mut seen, &file, &prometheus).await;
            assert_eq!(seen.in_force, in_force, "after {text}");
            assert_eq!(said.is_some(), text != in_force, "{said:?} after {text}");
        }
    }
}
