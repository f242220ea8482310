//! The command line: one file a command, and what they share.
//!
//! Results go to standard output, everything else to standard error.

mod assembly;
mod check;
mod configuration;
mod demo;
mod explain;
mod flags;
mod name;
mod once;
mod output;
mod query;
mod replay;
mod run;
mod settings;
mod signals;
mod snapshot;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use clap::{ArgMatches, Command};

/// How a command ended, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// It was done, or what was asked holds: 0.
    Done,
    /// It failed, or what was asked does not hold: 1.
    Failed,
    /// The command line, a setting or an input cannot be used: 2.
    Unusable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::FAILURE,
            Exit::Unusable => Self::from(2),
        }
    }
}

/// Why a command ended early.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    /// What was given cannot be used.
    fn unusable(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Unusable,
            error: error.into(),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            exit: Exit::Failed,
            error: error.into(),
        }
    }
}

/// Runs what `arguments` (the program's name first) ask for, with `variables` as the environment.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Exit {
    let matches = match command_line().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            // Nobody is left to be told where this does not print.
            let _ = error.print();
            return if error.use_stderr() { Exit::Unusable } else { Exit::Done };
        }
    };
    let variables = text_pairs(variables);
    match execute(&matches, &variables) {
        Ok(exit) => exit,
        Err(failure) if output::is_broken_pipe(&failure.error) => Exit::Done,
        Err(failure) => {
            output::report(&failure.error);
            failure.exit
        }
    }
}

fn execute(matches: &ArgMatches, variables: &[(String, String)]) -> Result<Exit, Failure> {
    match matches.subcommand() {
        Some(("demo", matches)) => demo::execute(matches),
        Some(("check", matches)) => check::execute(matches, variables),
        Some(("replay", matches)) => replay::execute(matches),
        Some(("run", matches)) => wait(as_task(run::execute(matches.clone(), variables.to_vec()))),
        Some(("once", matches)) => wait(once::execute(matches, variables)),
        Some(("explain", matches)) => wait(explain::execute(matches, variables)),
        Some(("query", matches)) => wait(query::execute(matches, variables)),
        Some(("settings", matches)) => settings::execute(matches, variables),
        Some(("snapshot", matches)) => wait(snapshot::execute(matches, variables)),
        other => unreachable!("clap knows no other command: {other:?}"),
    }
}

/// Threads that tasks run on. Ten thousand autoscalers keep one busy for a twentieth of its time. A second one costs memory, since
/// glibc gives each thread a heap of its own, and each grows to what the busiest moment needs that falls to it (docs/soak.md); and CPU,
/// to wake it.
const WORKERS: usize = 1;

/// The stack of each thread, of which only what is touched takes memory: as large as a process's first one. YAML may be nested 64
/// levels deep, which takes 2 MiB in builds that are not optimised.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// Runs a command that talks to a cluster.
fn wait(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(command)
}

/// Runs a command as a task, on the threads that its other tasks run on. Else it runs on the thread that waits, which is woken
/// for each task that tells it something: a tenth of the controller's CPU where syncs end one by one.
async fn as_task(command: impl Future<Output = Result<Exit, Failure>> + Send + 'static) -> Result<Exit, Failure> {
    match tokio::spawn(command).await {
        Ok(outcome) => outcome,
        Err(broken) => match broken.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(given_up) => Err(anyhow::Error::new(given_up).into()),
        },
    }
}

/// The whole command line, as clap knows it.
pub fn command_line() -> Command {
    let commands = [
        demo::definition(),
        run::definition(),
        once::definition(),
        explain::definition(),
        query::definition(),
        snapshot::definition(),
        replay::definition(),
        check::definition(),
        settings::definition(),
    ];
    Command::new("trimtab")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Steers the replica counts of Kubernetes workloads, in the place of the Horizontal Pod Autoscaler")
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .max_term_width(100)
        .subcommands(commands.map(|command| command.after_help(EXIT_CODES)))
}

const EXIT_CODES: &str = "\
Exit codes:
  0  it was done, or what was asked holds
  1  it failed, or what was asked does not hold
  2  the command line, a setting or an input cannot be used";

/// Pairs that are text; settings are, and what is not text is none of ours.
fn text_pairs(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<(String, String)> {
    let pair = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    variables.into_iter().filter_map(pair).collect()
}
