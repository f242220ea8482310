//! Alive and ready, and why not. Pure but for the pulse's one cell.

use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Vitals;
use crate::cluster::claims::ClaimHealth;
use crate::cluster::watch::{Need, WatchHealth};
use crate::manifests::follow::FolderHealth;
use crate::metrics::guard::{GuardCounts, SourceHealth, Trouble};

/// A watch that has been down for longer than this makes the process not ready: what it knows may be wrong by now. A
/// server's restart takes less.
const TROUBLE: Duration = Duration::from_secs(60);

/// The answer to a probe, with one line for each thing that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What was looked at, and what is wrong with it.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: String,
    /// What is wrong with it, and makes the answer no.
    pub problem: Option<String>,
    /// What is wrong with it, and does not.
    pub remark: Option<String>,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.checks.iter().all(|check| check.problem.is_none())
    }
}

/// In Kubernetes' form: `[+]pods ok`, `[-]pods failed: …`, a line each; and `[!]…` for a remark.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { name, problem, remark } in &self.checks {
            match (problem, remark) {
                (None, None) => writeln!(f, "[+]{name} ok")?,
                (None, Some(remark)) => writeln!(f, "[!]{name} {remark}")?,
                (Some(problem), _) => writeln!(f, "[-]{name} failed: {problem}")?,
            }
        }
        f.write_str(if self.is_good() {
            "check passed\n"
        } else {
            "check failed\n"
        })
    }
}

/// Tells whether a loop still goes round.
#[derive(Debug)]
pub struct Pulse {
    stuck_after: Duration,
    last: Mutex<Instant>,
}

impl Pulse {
    /// A pulse that has beaten at `now` for the first time.
    pub fn new(stuck_after: Duration, now: Instant) -> Self {
        Self {
            stuck_after,
            last: Mutex::new(now),
        }
    }

    /// The loop went round.
    pub fn beat(&self, now: Instant) {
        *self.last.lock() = now;
    }

    /// Whether the last beat is recent, and that of the loops of shards, if there are any.
    pub fn verdict(&self, now: Instant, of_shards: Option<Instant>) -> Verdict {
        let last = *self.last.lock();
        let silent = now.saturating_duration_since(of_shards.map_or(last, |of_shards| of_shards.min(last)));
        let problem = (silent > self.stuck_after)
            .then(|| format!("the controller's loop has not gone round for {} s", silent.as_secs()));
        Verdict {
            checks: vec![Check {
                name: "loop".to_owned(),
                problem,
                remark: None,
            }],
        }
    }
}

/// Whether every cache is full and kept up to date; beside that, how the metric sources, the folder of manifests and the
/// files of settings are.
///
/// A source that does not answer makes nobody less ready: another replica would ask the same one, and writes go on.
/// Manifests that cannot be used do no harm to the others, and of a file that has changed what was read before holds.
pub fn ready(vitals: &Vitals) -> Verdict {
    let checks = vitals.watches.iter().map(|watch| Check {
        name: name_of(watch),
        problem: problem_of(watch),
        remark: None,
    });
    let mut checks: Vec<Check> = checks.collect();
    checks.extend(vitals.shards.iter().map(|shards| Check {
        name: "shards".to_owned(),
        problem: None,
        remark: remark_on_shards(shards),
    }));
    if checks.is_empty() {
        checks.push(Check {
            name: "watches".to_owned(),
            problem: Some("not started yet".to_owned()),
            remark: None,
        });
    }
    // One that nobody has asked yet is not known to be well.
    let asked = vitals
        .sources
        .iter()
        .filter(|source| source.health.counts != GuardCounts::default());
    checks.extend(asked.map(|source| Check {
        name: format!("metric source {}", source.name),
        problem: None,
        remark: remark_on(&source.health),
    }));
    checks.extend(vitals.manifests.iter().map(|folder| Check {
        name: "manifests".to_owned(),
        problem: None,
        remark: note_of(folder),
    }));
    checks.extend(vitals.files.iter().map(|file| Check {
        name: file.name.to_owned(),
        problem: None,
        remark: file.remark.clone(),
    }));
    Verdict { checks }
}

/// One that waits is ready: it is there to take over, and a rollout that changes the number of shards must be able to go on.
fn remark_on_shards(shards: &ClaimHealth) -> Option<String> {
    match (&shards.shut_out, shards.held.as_slice(), shards.seated) {
        (Some(leader), ..) => Some(format!(
            "waiting: {leader:?} holds the Lease, and this process counts {} shards",
            shards.shards
        )),
        (None, [], false) => Some("standing by: as many other replicas run as there are shards".to_owned()),
        _ => None,
    }
}

fn remark_on(health: &SourceHealth) -> Option<String> {
    let resting = if health.resting { ", resting" } else { "" };
    match &health.trouble {
        Some(Trouble { message, lasts }) => Some(format!("failing for {} s{resting}: {message}", lasts.as_secs())),
        None => health.resting.then(|| "resting".to_owned()),
    }
}

fn note_of(folder: &FolderHealth) -> Option<String> {
    let (first, others) = folder.problems.split_first()?;
    Some(match others.len() {
        0 => first.to_string(),
        others => format!("{first}; and {others} more problems"),
    })
}

fn name_of(watch: &WatchHealth) -> String {
    match &watch.namespace {
        None => watch.resource.clone(),
        Some(namespace) => format!("{} in {namespace}", watch.resource),
    }
}

fn problem_of(watch: &WatchHealth) -> Option<String> {
    match &watch.trouble {
        _ if watch.need == Need::Optional => None,
        Some(trouble) if !watch.is_ready() => Some(format!("not read yet: {}", trouble.message)),
        None if !watch.is_ready() => Some("not read yet".to_owned()),
        Some(trouble) if trouble.lasts > TROUBLE => {
            Some(format!("down for {} s: {}", trouble.lasts.as_secs(), trouble.message))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FileVitals, SourceVitals};
    use super::*;
    use crate::cluster::watch::WatchTrouble;
    use crate::manifests::{Place, Problem};

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn pods(ready: bool, down_for: Option<u64>) -> WatchHealth {
        let trouble = |lasts| WatchTrouble {
            reason: "Connection",
            message: "no route".to_owned(),
            lasts: seconds(lasts),
        };
        WatchHealth {
            resource: "pods".to_owned(),
            namespace: Some("shop".into()),
            need: Need::Required,
            ready_for: ready.then_some(seconds(5)),
            heard_ago: Some(seconds(1)),
            trouble: down_for.map(trouble),
            unreadable: 0,
            lists: 1,
        }
    }

    #[test]
    fn a_loop_that_stands_still_is_not_alive() {
        let now = Instant::now();
        let pulse = Pulse::new(seconds(60), now);
        assert!(pulse.verdict(now + seconds(60), None).is_good());
        assert!(!pulse.verdict(now + seconds(61), None).is_good());
        pulse.beat(now + seconds(61));
        assert!(pulse.verdict(now + seconds(100), None).is_good());
    }

    #[test]
    fn caches_must_be_full_and_watches_not_down_for_long() {
        let text = |watches: &[WatchHealth]| {
            let vitals = Vitals {
                watches: watches.to_vec(),
                ..Vitals::default()
            };
            ready(&vitals).to_string()
        };
        assert_eq!(text(&[pods(true, None)]), "[+]pods in shop ok\ncheck passed\n");
        assert_eq!(text(&[pods(true, Some(60))]), "[+]pods in shop ok\ncheck passed\n");
        assert_eq!(
            text(&[pods(true, Some(61))]),
            "[-]pods in shop failed: down for 61 s: no route\ncheck failed\n"
        );
        assert_eq!(
            text(&[pods(false, None)]),
            "[-]pods in shop failed: not read yet\ncheck failed\n"
        );
        assert_eq!(
            text(&[pods(false, Some(1))]),
            "[-]pods in shop failed: not read yet: no route\ncheck failed\n"
        );
        let optional = WatchHealth {
            need: Need::Optional,
            ..pods(false, Some(61))
        };
        assert_eq!(text(&[optional]), "[+]pods in shop ok\ncheck passed\n");
        assert_eq!(text(&[]), "[-]watches failed: not started yet\ncheck failed\n");
    }

    #[test]
    fn a_source_that_does_not_answer_is_told_of_and_makes_nobody_less_ready() {
        let source = |name: &str, answered, resting, message: Option<&str>| SourceVitals {
            name: name.to_owned(),
            health: SourceHealth {
                counts: GuardCounts {
                    answered,
                    ..GuardCounts::default()
                },
                resting,
                trouble: message.map(|message| Trouble {
                    message: message.to_owned(),
                    lasts: seconds(35),
                }),
            },
        };
        let sources = [
            source("resource", 5, false, None),
            source("custom", 5, true, Some("no answer within 10s")),
            source("external", 0, false, None),
            source("prometheus/main", 5, false, Some("503")),
        ];
        let vitals = Vitals {
            watches: vec![pods(true, None)],
            sources: sources.to_vec(),
            ..Vitals::default()
        };
        assert_eq!(
            ready(&vitals).to_string(),
            "[+]pods in shop ok\n\
             [+]metric source resource ok\n\
             [!]metric source custom failing for 35 s, resting: no answer within 10s\n\
             [!]metric source prometheus/main failing for 35 s: 503\n\
             check passed\n"
        );
    }

    #[test]
    fn manifests_that_cannot_be_used_are_told_and_do_not_make_the_process_unready() {
        let problem = |file: &str| Problem {
            place: Place::file(file),
            text: "cannot be read: no".to_owned(),
        };
        let mut folder = FolderHealth::default();
        let text = |folder: &FolderHealth| {
            let vitals = Vitals {
                watches: vec![pods(true, None)],
                manifests: Some(folder.clone()),
                ..Vitals::default()
            };
            ready(&vitals).to_string()
        };
        assert_eq!(text(&folder), "[+]pods in shop ok\n[+]manifests ok\ncheck passed\n");
        folder.problems = vec![problem("a.yaml"), problem("b.yaml")];
        assert_eq!(
            text(&folder),
            "[+]pods in shop ok\n[!]manifests a.yaml: cannot be read: no; and 1 more problems\ncheck passed\n"
        );
    }

    #[test]
    fn a_file_that_has_changed_is_told_and_does_not_make_the_process_unready() {
        let file = |name, remark: Option<&str>| FileVitals {
            name,
            remark: remark.map(str::to_owned),
        };
        let vitals = Vitals {
            watches: vec![pods(true, None)],
            files: vec![
                file("configuration", Some("a.yaml has changed")),
                file("adapter-rules", None),
            ],
            ..Vitals::default()
        };
        assert_eq!(
            ready(&vitals).to_string(),
            "[+]pods in shop ok\n[!]configuration a.yaml has changed\n[+]adapter-rules ok\ncheck passed\n"
        );
    }

    #[test]
    fn a_process_that_waits_for_shards_is_ready_and_says_so() {
        let text = |shards: ClaimHealth| {
            let vitals = Vitals {
                shards: Some(shards),
                ..Vitals::default()
            };
            ready(&vitals).to_string()
        };
        let holds = ClaimHealth {
            shards: 3,
            held: vec![1],
            shut_out: None,
            seated: true,
        };
        assert_eq!(text(holds.clone()), "[+]shards ok\ncheck passed\n");
        let stands_by = ClaimHealth {
            held: Vec::new(),
            seated: false,
            ..holds.clone()
        };
        assert_eq!(
            text(stands_by),
            "[!]shards standing by: as many other replicas run as there are shards\ncheck passed\n"
        );
        let shut_out = ClaimHealth {
            held: Vec::new(),
            shut_out: Some("4 shards".into()),
            ..holds
        };
        assert_eq!(
            text(shut_out),
            "[!]shards waiting: \"4 shards\" holds the Lease, and this process counts 3 shards\ncheck passed\n"
        );
    }
}
