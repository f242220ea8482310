//! What a dry run says, a line each on standard output.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::commands::output;
use crate::controller::act::DryRunWord;
use crate::controller::compare::{Difference, Tally};
use crate::render::summary::Summary;
use crate::settings::Format;

/// Lines that wait for a slow reader: the first pass of ten thousand autoscalers. Further ones are lost, and that is logged.
const LINES: usize = 10_000;

/// The time for lines that wait when the process ends.
const FLUSH: Duration = Duration::from_millis(200);

/// Takes what a dry run says; never waits for the reader of standard output.
#[derive(Clone)]
pub(super) struct Printer {
    format: Format,
    lines: SyncSender<String>,
    tally: Arc<Mutex<Option<Tally>>>,
}

/// The thread that prints.
pub(super) struct Printing(JoinHandle<()>);

/// A printer and its thread; where nobody reads standard output any more, `stop` is cancelled.
pub(super) fn printer(format: Format, stop: CancellationToken) -> (Printer, Printing) {
    let (lines, queue) = sync_channel(LINES);
    let printing = Printing(std::thread::spawn(move || print_all(&queue, &stop)));
    (
        Printer {
            format,
            lines,
            tally: Arc::default(),
        },
        printing,
    )
}

fn print_all(queue: &Receiver<String>, stop: &CancellationToken) {
    for line in queue {
        if let Err(problem) = output::print(&line) {
            if !problem.is_broken_pipe() {
                error!(
                    error = &problem as &dyn std::error::Error,
                    "Decisions cannot be printed"
                );
            }
            stop.cancel();
            return;
        }
    }
}

impl Printer {
    /// Prints a word, unless it repeats the last tally.
    pub(super) fn say(&self, word: &DryRunWord) {
        if let DryRunWord::Tally(tally) = word
            && self.tally.lock().replace(*tally) == Some(*tally)
        {
            return;
        }
        let line = match self.format {
            Format::Text => as_text(word),
            Format::Json => as_json(word).to_string(),
        };
        if let Err(TrySendError::Full(_)) = self.lines.try_send(line + "\n") {
            warn!("A decision was not printed: nobody reads standard output");
        }
    }
}

impl Printing {
    /// Waits a little for what is left to print. All printers must be gone.
    pub(super) async fn end(self) {
        let joined = tokio::task::spawn_blocking(move || self.0.join());
        if timeout(FLUSH, joined).await.is_err() {
            warn!("Not all decisions were printed");
        }
    }
}

fn as_text(word: &DryRunWord) -> String {
    match word {
        DryRunWord::Decided(at, summary) => format!("{at:.0} {}", change(summary)),
        DryRunWord::Differs(Difference {
            at,
            autoscaler,
            from,
            trimtab,
            other,
            early,
        }) => {
            let early = if *early {
                " (in the first stabilization window)"
            } else {
                ""
            };
            format!(
                "{at:.0} {autoscaler}: differs: from {from}, trimtab goes to {trimtab}, the other to {other}{early}"
            )
        }
        DryRunWord::Tally(Tally {
            agreements,
            differences,
            early_differences,
        }) => {
            format!(
                "so far: {agreements} agreements, {differences} differences, {early_differences} in the first window"
            )
        }
    }
}

fn change(summary: &Summary) -> String {
    let Summary {
        namespace,
        name,
        scale_target,
        spec_replicas,
        desired_replicas,
        metrics,
        why,
    } = summary;
    let count = match (spec_replicas, desired_replicas) {
        (Some(from), Some(to)) if from == to => format!("stays {from}"),
        (Some(from), Some(to)) => format!("{from} -> {to}"),
        (Some(from), None) => format!("stays {from}, undecided"),
        (None, _) => "not known".to_owned(),
    };
    let metrics = if metrics.is_empty() {
        String::new()
    } else {
        format!(" ({})", metrics.join(", "))
    };
    let why = if why.is_empty() {
        String::new()
    } else {
        format!(": {why}")
    };
    format!("{namespace}/{name} {scale_target} {count}{metrics}{why}")
}

fn as_json(word: &DryRunWord) -> Value {
    let of_kind = |kind: &str, mut value: Value| {
        value["type"] = kind.into();
        value
    };
    match word {
        DryRunWord::Decided(at, summary) => {
            let mut value = of_kind("decision", json!(summary));
            value["at"] = at.to_string().into();
            value["autoscaler"] = format!("{}/{}", summary.namespace, summary.name).into();
            value
        }
        DryRunWord::Differs(difference) => {
            let mut value = of_kind("difference", json!(difference));
            value["autoscaler"] = difference.autoscaler.to_string().into();
            value
        }
        DryRunWord::Tally(tally) => of_kind("tally", json!(tally)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided() -> DryRunWord {
        let summary = Summary {
            namespace: "shop".into(),
            name: "web".into(),
            scale_target: "Deployment/web".into(),
            spec_replicas: Some(3),
            desired_replicas: Some(6),
            metrics: vec!["cpu 100%/50%".into()],
            why: "cpu asks for 6".into(),
        };
        DryRunWord::Decided("2026-01-05T08:00:33Z".parse().expect("it is a time"), summary)
    }

    #[test]
    fn a_decision_is_one_line_for_people() {
        assert_eq!(
            as_text(&decided()),
            "2026-01-05T08:00:33Z shop/web Deployment/web 3 -> 6 (cpu 100%/50%): cpu asks for 6"
        );
    }

    #[test]
    fn a_decision_is_one_object_for_machines() {
        let value = as_json(&decided());
        assert_eq!(
            (&value["type"], &value["at"]),
            (&json!("decision"), &json!("2026-01-05T08:00:33Z"))
        );
        assert_eq!(
            (&value["specReplicas"], &value["desiredReplicas"]),
            (&json!(3), &json!(6))
        );
    }

    #[test]
    fn a_tally_that_stands_still_is_said_once() {
        let (lines, queue) = sync_channel(10);
        let printer = Printer {
            format: Format::Text,
            lines,
            tally: Arc::default(),
        };
        for agreements in [1, 1, 2] {
            printer.say(&DryRunWord::Tally(Tally {
                agreements,
                ..Tally::default()
            }));
        }
        assert_eq!(queue.try_iter().count(), 2);
    }
}
