//! Loads that were recorded: read from text with a time and a load in each line, as dashboards and `promtool` export them.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The largest file: what [`MOST_POINTS`] take where each has forty bytes.
pub const TRACE_MAX_BYTES: u64 = 4 << 20;

/// The most points: two months, one each minute.
pub const MOST_POINTS: usize = 100_000;

/// The largest load: in thousandths, and times the most pods, it is still a number that Kubernetes can add up.
pub const LARGEST_LOAD: f64 = 1e9;

/// The most characters of a field that an error repeats.
const SHOWN: usize = 40;

/// What was recorded somewhere: loads at times, with straight lines between; again from the first after the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Times since the beginning, each later than the one before, and loads.
    points: Vec<(Duration, f64)>,
    /// After this it begins anew.
    round: Duration,
}

/// A column of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The first one.
    Time,
    /// The second one.
    Load,
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Time => "time",
            Self::Load => "load",
        })
    }
}

/// Why a text is no trace, and what would help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// A line has more or fewer than two fields.
    #[error("line {line}: {found} fields where a time and a load are needed; write them as in 60,12.5")]
    Fields {
        /// Counted from 1.
        line: usize,
        /// How many fields it has.
        found: usize,
    },
    /// A field cannot be used.
    #[error("line {line}, {field}: {problem}")]
    Field {
        /// Counted from 1.
        line: usize,
        /// Which one.
        field: Field,
        /// What is wrong, and what would help.
        problem: String,
    },
    /// There are too many lines.
    #[error("line {line}: more than {MOST_POINTS} points; record one each minute, or a shorter time")]
    TooMany {
        /// The first one too many, counted from 1.
        line: usize,
    },
    /// There is nothing in it.
    #[error("no line with a time and a load; write them as in 60,12.5")]
    Empty,
}

/// When something was recorded: all times of a file are of one kind.
#[derive(Clone, Copy)]
enum Time {
    Seconds(f64),
    Date(Timestamp),
}

impl Trace {
    /// One value after the other, always the same time apart.
    pub fn even(every: Duration, values: &[f64]) -> Self {
        let at = |number: usize| every.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
        Self {
            points: values
                .iter()
                .enumerate()
                .map(|(number, load)| (at(number), *load))
                .collect(),
            round: at(values.len()),
        }
    }

    /// Reads a trace: in each line a time and a load, with a comma between. Times are seconds (`0`, `1767600000.5`) or dates
    /// (`2026-01-05T08:00:00Z`), and each is later than the one before; the first is the beginning. Loads are not below 0.
    /// Empty lines and those that begin with `#` count for nothing, nor does a first line with the columns' names; quotation
    /// marks around a field are left out.
    ///
    /// # Errors
    ///
    /// The first line that is none of this.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut points: Vec<(Duration, f64)> = Vec::new();
        let mut first = None;
        let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
        let lines = lines.map(|(at, text)| (at + 1, text.trim()));
        let mut may_be_names = true;
        for (line, text) in lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#')) {
            let fields: Vec<&str> = text.split(',').map(unquoted).collect();
            let &[time, load] = fields.as_slice() else {
                let found = fields.len();
                return Err(TraceError::Fields { line, found });
            };
            if std::mem::take(&mut may_be_names) && self::time(time).is_none() && load.parse::<f64>().is_err() {
                continue;
            }
            if points.len() == MOST_POINTS {
                return Err(TraceError::TooMany { line });
            }
            let wrong = |field, problem| TraceError::Field { line, field, problem };
            let at = since(&mut first, time).map_err(|problem| wrong(Field::Time, problem))?;
            if points.last().is_some_and(|(before, _)| *before >= at) {
                let problem = format!(
                    "{:?} is not later than the one before; sort the lines by time",
                    short(time)
                );
                return Err(wrong(Field::Time, problem));
            }
            points.push((at, self::load(load).map_err(|problem| wrong(Field::Load, problem))?));
        }
        let (Some((last, _)), before) = (points.last(), points.iter().rev().nth(1)) else {
            return Err(TraceError::Empty);
        };
        // As long from the last to the first as from the one before it to the last.
        let gap = before.map_or(Duration::ZERO, |(before, _)| last.saturating_sub(*before));
        let round = last.saturating_add(gap);
        Ok(Self { points, round })
    }

    /// The load at a time.
    pub fn at(&self, time: Duration) -> f64 {
        let time = super::into_round(time, self.round);
        let next = self.points.partition_point(|(at, _)| *at <= time);
        let Some((before, from)) = next.checked_sub(1).and_then(|before| self.points.get(before)) else {
            return self.points.first().map_or(0.0, |(_, load)| *load);
        };
        let (after, to) = match (self.points.get(next), self.points.first()) {
            (Some((after, to)), _) => (*after, *to),
            (None, first) => (self.round, first.map_or(*from, |(_, load)| *load)),
        };
        from + (to - from) * super::ratio(time.saturating_sub(*before), after.saturating_sub(*before)).min(1.0)
    }

    /// The largest load.
    pub fn peak(&self) -> f64 {
        self.points.iter().map(|(_, load)| *load).fold(0.0, f64::max)
    }
}

fn unquoted(field: &str) -> &str {
    let field = field.trim();
    let inner = field.strip_prefix('"').and_then(|field| field.strip_suffix('"'));
    inner.unwrap_or(field).trim()
}

fn short(field: &str) -> String {
    field.chars().take(SHOWN).collect()
}

fn time(field: &str) -> Option<Time> {
    let seconds = field.parse::<f64>().ok().filter(|seconds| seconds.is_finite());
    let date = || field.parse().ok().map(Time::Date);
    seconds.map(Time::Seconds).or_else(date)
}

/// The time since the first one.
fn since(first: &mut Option<Time>, field: &str) -> Result<Duration, String> {
    let shown = short(field);
    let Some(time) = time(field) else {
        return Err(format!(
            "{shown:?} is neither seconds nor a date with its zone; write it as 60 or as 2026-01-05T08:01:00Z"
        ));
    };
    let since = match (*first.get_or_insert(time), time) {
        (Time::Seconds(first), Time::Seconds(time)) => Duration::try_from_secs_f64(time - first).ok(),
        (Time::Date(first), Time::Date(time)) => time.duration_since(first).try_into().ok(),
        _ => {
            return Err(format!(
                "{shown:?} is not of the first line's kind; write all as seconds, or all as dates"
            ));
        }
    };
    since.ok_or_else(|| format!("{shown:?} is before the first line's; sort the lines by time"))
}

fn load(field: &str) -> Result<f64, String> {
    let shown = short(field);
    match field.parse::<f64>() {
        Ok(load) if (0.0..=LARGEST_LOAD).contains(&load) => Ok(load),
        Ok(load) if load.is_finite() => Err(format!(
            "{shown} is not from 0 to {LARGEST_LOAD}; record it in another unit"
        )),
        Ok(_) => Err(format!(
            "{shown} says nothing; leave the line out, and the load goes straight over it"
        )),
        Err(_) => Err(format!(
            "{shown:?} is no number; write it as 12.5, or leave the line out where nothing was recorded"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn loads_go_straight_from_one_point_to_the_next_and_round_again() {
        let text = "# of a Tuesday\n\"Time\", \"Requests\"\n100,10\n\n 160.0 , 40\n\"280\",\"0\"\n";
        let trace = Trace::parse(text).unwrap();
        // The last 120 s again, back to where it began: a round of 300 s.
        for (at, load) in [
            (0, 10.0),
            (30, 25.0),
            (60, 40.0),
            (120, 20.0),
            (180, 0.0),
            (240, 5.0),
            (300, 10.0),
            (330, 25.0),
        ] {
            assert_eq!(trace.at(seconds(at)), load, "at {at} s");
        }
        assert_eq!(trace.peak(), 40.0);
        let dates = "2026-01-05T08:00:00Z,10\n2026-01-05T09:01:00+01:00,40\n2026-01-05T08:03:00Z,0";
        assert_eq!(Trace::parse(dates), Ok(trace));
        assert_eq!(Trace::parse("7,3").unwrap().at(seconds(99)), 3.0);
        let even = Trace::even(seconds(60), &[0.0, 10.0]);
        assert_eq!(
            [0, 30, 60, 90, 120].map(|at| even.at(seconds(at))),
            [0.0, 5.0, 10.0, 5.0, 0.0]
        );
        assert_eq!(Trace::even(seconds(60), &[]).at(seconds(9)), 0.0);
    }

    #[test]
    fn mistakes_are_told_with_line_field_and_remedy() {
        for (text, expected) in [
            ("", "no line with a time and a load; write them as in 60,12.5"),
            (
                "time,load\n",
                "no line with a time and a load; write them as in 60,12.5",
            ),
            (
                "0;1",
                "line 1: 1 fields where a time and a load are needed; write them as in 60,12.5",
            ),
            (
                "0,1\n2,3,4",
                "line 2: 3 fields where a time and a load are needed; write them as in 60,12.5",
            ),
            (
                "time,load\nsoon,1",
                "line 2, time: \"soon\" is neither seconds nor a date with its zone; write it as 60 or as 2026-01-05T08:01:00Z",
            ),
            (
                "0,1\n2026-01-05T08:00:00Z,1",
                "line 2, time: \"2026-01-05T08:00:00Z\" is not of the first line's kind; write all as seconds, or all as dates",
            ),
            (
                "5,1\n4,1",
                "line 2, time: \"4\" is before the first line's; sort the lines by time",
            ),
            (
                "0,1\n5,1\n5,1",
                "line 3, time: \"5\" is not later than the one before; sort the lines by time",
            ),
            (
                "0,x\n",
                "line 1, load: \"x\" is no number; write it as 12.5, or leave the line out where nothing was recorded",
            ),
            (
                "0,1\n# gap\n9,NaN",
                "line 3, load: NaN says nothing; leave the line out, and the load goes straight over it",
            ),
            (
                "0,-1",
                "line 1, load: -1 is not from 0 to 1000000000; record it in another unit",
            ),
            (
                "0,1e10",
                "line 1, load: 1e10 is not from 0 to 1000000000; record it in another unit",
            ),
        ] {
            assert_eq!(Trace::parse(text).unwrap_err().to_string(), expected, "{text:?}");
        }
    }

    #[test]
    fn no_trace_has_more_points_than_it_may() {
        let lines = |count: usize| (0..count).map(|at| format!("{at},1\n")).collect::<String>();
        assert!(Trace::parse(&lines(MOST_POINTS)).is_ok());
        let line = MOST_POINTS + 1;
        assert_eq!(Trace::parse(&lines(line)), Err(TraceError::TooMany { line }));
        assert!((lines(MOST_POINTS).len() as u64) < TRACE_MAX_BYTES);
    }
}
