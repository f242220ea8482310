//! The live table, or lines where nobody looks at a terminal.

use std::fmt::Write as _;
use std::net::SocketAddr;

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde_json::Value;

use super::board::{Board, Change, PLOT, autoscalers, deployment};
use super::print;
use super::workloads::story;
use crate::clock::Clock;
use crate::commands::output::{NotPrinted, tamed};
use crate::sim::simulated::Simulated;

/// Changes below the table.
const CHANGES: usize = 6;

/// The other screen of a terminal, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// To the upper left, and the rest of each line and of the screen cleared.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K\n";
const CLEAR_REST: &str = "\x1b[J";

/// A terminal that does not say how wide it is, or says 0.
const WIDTH: u16 = 160;

/// Gives a terminal back, where it is one, in a process that ends at once.
pub(super) fn leave(live: bool) {
    if live {
        // Nobody is left who could be told of a terminal that is gone.
        let _ = print(LEAVE);
    }
}

/// Where the demo is shown.
pub(super) struct Screen {
    live: bool,
    speed: f64,
    address: Option<SocketAddr>,
    begun: bool,
    /// Changes that were printed as lines.
    printed: usize,
}

impl Screen {
    /// A terminal, or a stream of lines.
    pub(super) fn new(live: bool, speed: f64, address: Option<SocketAddr>) -> Self {
        Self {
            live,
            speed,
            address,
            begun: false,
            printed: 0,
        }
    }

    /// Shows how things stand.
    ///
    /// # Errors
    ///
    /// Standard output takes nothing any more.
    pub(super) fn show(&mut self, simulated: &Simulated, board: &mut Board) -> Result<(), NotPrinted> {
        let first = !std::mem::replace(&mut self.begun, true);
        if !self.live {
            return self.print_lines(simulated, board, first);
        }
        let width = Table::new().width().filter(|width| *width > 0);
        let width = usize::from(width.unwrap_or(WIDTH));
        let mut frame = String::from(if first { ENTER } else { "" });
        frame.push_str(HOME);
        for line in tamed(&self.page(simulated, board)).lines() {
            frame.extend(line.chars().take(width));
            frame.push_str(CLEAR_LINE);
        }
        frame.push_str(CLEAR_REST);
        print(&frame)
    }

    /// Gives the terminal back; what was last shown stays to be read.
    ///
    /// # Errors
    ///
    /// As [`show`](Self::show).
    pub(super) fn end(&mut self, simulated: &Simulated, board: &Board) -> Result<(), NotPrinted> {
        if !self.begun {
            return Ok(());
        }
        match self.live {
            true => print(&format!("{LEAVE}{}", tamed(&table(simulated, board)))),
            false => print(&format!("\n{}", tamed(&table(simulated, board)))),
        }
    }

    fn print_lines(&mut self, simulated: &Simulated, board: &Board, first: bool) -> Result<(), NotPrinted> {
        let mut text = String::new();
        if first {
            text = format!("{}\n{}\n", self.heading(simulated), table(simulated, board));
            self.printed = board.changes_after(0).1;
        }
        let (changes, all) = board.changes_after(self.printed);
        changes.for_each(|change| {
            let _ = writeln!(text, "{}", line(change));
        });
        self.printed = all;
        if text.is_empty() { Ok(()) } else { print(&tamed(&text)) }
    }

    fn page(&self, simulated: &Simulated, board: &Board) -> String {
        let mut page = format!("{}\n\n{}\n", self.heading(simulated), table(simulated, board));
        page.push_str("Last changes\n");
        for change in board.last_changes(CHANGES) {
            let _ = writeln!(page, "  {}", line(change));
        }
        page
    }

    fn heading(&self, simulated: &Simulated) -> String {
        let now = clock_time(simulated.clock.now());
        let mut text = format!(
            "trimtab on a simulated cluster  {now}  {} times as fast  Ctrl-C ends it",
            self.speed
        );
        if let Some(address) = self.address {
            let _ = write!(
                text,
                "\nkubectl --server=http://{address} --namespace=shop get hpa,deploy,pods"
            );
        }
        text
    }
}

fn table(simulated: &Simulated, board: &Board) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([
        "AUTOSCALER",
        "LOAD",
        "REPLICAS",
        "TARGETS",
        "LAST HOUR",
        "LAST CHANGE",
        "WHY",
    ]);
    for (key, autoscaler) in autoscalers(simulated) {
        let deployment = deployment(simulated, &key, &autoscaler);
        let row = board.row(&key);
        let summary = row.and_then(|row| row.summary.as_ref());
        let change = row.and_then(|row| row.change.as_ref());
        table.add_row([
            key.to_string(),
            story(&key).to_owned(),
            deployment.as_deref().map_or_else(|| "?".to_owned(), replicas),
            summary.map_or_else(String::new, |summary| summary.metrics.join(", ")),
            plot(row.map(|row| row.counts.iter().copied()).into_iter().flatten()),
            change.map_or_else(String::new, |change| ago(change, simulated.clock.now())),
            summary.map_or_else(String::new, |summary| short(&summary.why)),
        ]);
    }
    table
        .lines()
        .map(|line| format!("{}\n", line.trim_end().strip_prefix(' ').unwrap_or_default()))
        .collect()
}

/// How many are wanted, and how many are ready where that differs.
fn replicas(deployment: &Value) -> String {
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(0);
    match deployment["status"]["readyReplicas"].as_i64().unwrap_or(0) {
        ready if ready == wanted => wanted.to_string(),
        ready => format!("{wanted} ({ready} ready)"),
    }
}

/// Counts as bars; the tallest is the largest.
fn plot(counts: impl Iterator<Item = i64>) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let counts: Vec<i64> = counts.collect();
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let bar = |count: &i64| BARS[usize::try_from((count * 8 - 1).max(0) / most).unwrap_or(0).min(7)];
    let bars: String = counts.iter().map(bar).collect();
    format!("{bars:>PLOT$}")
}

fn ago(change: &Change, now: Timestamp) -> String {
    let seconds = now.duration_since(change.at).as_secs().max(0);
    let since = match seconds {
        0..120 => format!("{seconds} s"),
        _ => format!("{} min", seconds / 60),
    };
    format!("{} -> {}, {since} ago", change.from, change.to)
}

fn line(change: &Change) -> String {
    let Change {
        key,
        at,
        from,
        to,
        metrics,
        why,
    } = change;
    format!("{} {key} {from} -> {to} ({metrics}): {}", clock_time(*at), short(why))
}

/// Without what every line of a narrow screen would repeat.
fn short(why: &str) -> String {
    why.replace(" resource utilization (percentage of request)", "")
}

/// The time of day, in UTC.
fn clock_time(at: Timestamp) -> String {
    let text = at.to_string();
    let time = text.split('T').nth(1).unwrap_or_default();
    time.chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Key;

    #[test]
    fn a_plot_has_a_bar_for_each_count() {
        assert_eq!(plot([1, 2, 4, 8].into_iter()).trim_start(), "▁▂▄█");
        assert_eq!(plot([0, 0].into_iter()).trim_start(), "▁▁");
        assert_eq!(plot(std::iter::empty()).chars().count(), PLOT);
    }

    #[test]
    fn a_change_is_a_line_with_its_time() {
        let change = Change {
            key: Key::new("shop", "web"),
            at: "2026-01-05T08:00:15.4Z".parse().unwrap(),
            from: 2,
            to: 5,
            metrics: "cpu 120%/60%".into(),
            why: "cpu resource utilization (percentage of request) asks for 5".into(),
        };
        assert_eq!(line(&change), "08:00:15 shop/web 2 -> 5 (cpu 120%/60%): cpu asks for 5");
        let now = "2026-01-05T08:04:00Z".parse().unwrap();
        assert_eq!(ago(&change, now), "2 -> 5, 3 min ago");
    }
}
