//! `trimtab demo`: a simulated cluster with load, the real controller on it, and a live table.

mod board;
mod screen;
mod serve;
mod workloads;

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Arg, ArgMatches, Command, value_parser};
use jiff::SignedDuration;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, output, signals};
use crate::clock::{Clock, SystemClock};
use crate::controller::Listener;
use crate::controller::report::PassReport;
use crate::files;
use crate::sim::api::Prometheus;
use crate::sim::control::{Process, ProcessOptions};
use crate::sim::load::trace::{TRACE_MAX_BYTES, Trace};
use crate::sim::pace::Pace;
use crate::sim::simulated::Simulated;
use board::Board;
use screen::Screen;

/// The demo begins so far in its own past, so that windows, plots and decisions are there at once.
const PAST: Duration = Duration::from_secs(60 * 60);

/// Between two looks at the table.
const REFRESH: Duration = Duration::from_millis(500);

/// How fast it can be told to go. A machine that cannot keep up goes as fast as it can.
const FASTEST: f64 = 10_000.0;

pub(super) fn definition() -> Command {
    let speed = Arg::new("speed")
        .long("speed")
        .value_name("TIMES")
        .default_value("1")
        .value_parser(speed)
        .help("How many times as fast as real time");
    let serve_api = Arg::new("serve-api")
        .long("serve-api")
        .value_name("PORT")
        .value_parser(address)
        .help("Let kubectl talk to the simulated cluster, on this port of 127.0.0.1, or on ADDRESS:PORT; 0 takes a free one");
    let ends_after = Arg::new("for")
        .long("for")
        .value_name("DURATION")
        .value_parser(|text: &str| humantime::parse_duration(text))
        .help("End by itself after so much real time, such as 30s");
    let seed = Arg::new("seed")
        .long("seed")
        .value_name("NUMBER")
        .default_value("1")
        .value_parser(value_parser!(u64))
        .help("With another number pods start and load wanders otherwise");
    let trace = Arg::new("trace")
        .long("trace")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Add a workload whose load was recorded: a time and a load in each line, as in 60,12.5");
    Command::new("demo")
        .about("Show the controller at work on a simulated cluster: no cluster needed")
        .long_about(
            "Show the controller at work on a simulated cluster: no cluster needed.\n\n\
             The cluster is in memory: seven workloads under load, their pods, a metrics server, a Prometheus, an API server. The controller is \
             the one of `trimtab run`. Where standard output is a terminal it shows a live table, else it prints each \
             change of a count as a line. It begins an hour in its own past. Ctrl-C ends it.\n\n\
             A file of --trace has a time (seconds, or dates such as 2026-01-05T08:00:00Z) and a load in each line, with a comma \
             between, in whatever unit. It begins where the demo begins, and again when it is over; at its peak the workload \
             wants ten pods.",
        )
        .args([speed, serve_api, ends_after, seed, trace])
}

/// Everyone who reaches the address may change the simulated cluster: so only this machine does, unless another one is named.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let address = text.parse();
    address.map_err(|_| "a port, or an address with a port such as 0.0.0.0:8001".to_owned())
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed > 0.0 && speed <= FASTEST => Ok(speed),
        _ => Err(format!("a number above 0, and {FASTEST} at most")),
    }
}

pub(super) fn execute(matches: &ArgMatches) -> Result<Exit, Failure> {
    // One thread: virtual time is that of a runtime with one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .context("start the runtime")?;
    runtime.block_on(run(matches))
}

/// Nobody reads the demo's reports of passes: it looks on as decisions are made.
struct Unread;

impl Listener for Unread {
    fn pass(&self, _: PassReport) {}
    fn beat(&self) {}
}

async fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let stop = CancellationToken::new();
    let live = std::io::stdout().is_terminal();
    signals::cancel_and(&stop, move || screen::leave(live))?;
    let speed = *matches.get_one::<f64>("speed").expect("it has a default");
    let seed = *matches.get_one::<u64>("seed").expect("it has a default");
    let trace = match matches.get_one::<PathBuf>("trace") {
        Some(path) => Some(recorded(path)?),
        None => None,
    };
    let listener = match matches.get_one::<SocketAddr>("serve-api") {
        Some(address) => Some(listen(*address).await?),
        None => None,
    };
    let address = match &listener {
        Some(listener) => Some(listener.local_addr().context("look up the port")?),
        None => None,
    };

    let past = SignedDuration::try_from(PAST).unwrap_or_default();
    let epoch = SystemClock.now().saturating_sub(past).unwrap_or_default();
    let simulated = Simulated::new(epoch, seed);
    simulated.api.prometheus.start();
    workloads::deploy(&simulated, seed, trace).map_err(|refusal| anyhow::anyhow!(refusal.message))?;
    let board = Arc::new(Mutex::new(Board::default()));
    let looks_on = board.clone();
    let options = ProcessOptions {
        onlooker: Some(Arc::new(move |spec, decision| looks_on.lock().decided(spec, decision))),
        prometheus: Some(Arc::new(Prometheus::sources(workloads::metrics()))),
        elected_as: Some("trimtab-demo".to_owned()),
        seed,
        ..ProcessOptions::default()
    };
    let process = Process::start(&simulated.api, &simulated.clock, options, Arc::new(Unread));
    let mut screen = Screen::new(live, speed, address);

    let cluster = simulated.clone();
    let sampled = (simulated.clone(), board.clone());
    let outcome = tokio::select! {
        () = cluster.fleet.run() => unreachable!("it runs until it is dropped"),
        () = board::sample(sampled.0, sampled.1) => unreachable!("it runs until it is dropped"),
        () = serve::serve(listener, simulated.api.clone(), stop.clone()) => Ok(()),
        shown = show(matches, &simulated, &board, &mut screen, &stop) => shown,
    };
    // First, so that the terminal is given back whatever comes.
    screen.end(&simulated, &board.lock())?;
    process.stop().await;
    outcome.map(|()| Exit::Done)
}

/// The load that a file has recorded.
fn recorded(path: &Path) -> Result<Trace, Failure> {
    let file = || path.display().to_string();
    let text = files::read_text(path, TRACE_MAX_BYTES).with_context(file);
    let trace = text.and_then(|text| Trace::parse(&text).with_context(file));
    trace.map_err(Failure::unusable)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).await;
    Ok(listener.with_context(|| format!("listen on {address}"))?)
}

/// Lets the past go by, then shows the present until `stop`.
async fn show(
    matches: &ArgMatches,
    simulated: &Simulated,
    board: &Mutex<Board>,
    screen: &mut Screen,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    if stop.run_until_cancelled(sleep(PAST)).await.is_none() {
        return Ok(());
    }
    let ends_after = matches.get_one::<Duration>("for").copied();
    let speed = *matches.get_one::<f64>("speed").expect("it has a default");
    let mut pace = Pace::new(speed);
    let (mut passed, mut drawn) = (Duration::ZERO, None);
    while !stop.is_cancelled() && ends_after.is_none_or(|end| passed < end) {
        if drawn.is_none_or(|drawn| passed.saturating_sub(drawn) >= REFRESH) {
            screen.show(simulated, &mut board.lock())?;
            drawn = Some(passed);
        }
        passed += match stop.run_until_cancelled(pace.step()).await {
            Some(step) => step,
            None => break,
        };
    }
    Ok(())
}

/// Prints what the demo has to say, which steers the terminal.
fn print(text: &str) -> Result<(), output::NotPrinted> {
    output::print_exact(text)
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn the_demo_listens_on_this_machine_alone_unless_it_is_told_otherwise() {
        for (typed, expected) in [
            ("8001", Some("127.0.0.1:8001")),
            ("0", Some("127.0.0.1:0")),
            ("0.0.0.0:8001", Some("0.0.0.0:8001")),
            ("[::1]:8001", Some("[::1]:8001")),
            (":8001", None),
            ("70000", None),
            ("somewhere", None),
        ] {
            let found = address(typed).ok().map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{typed}");
        }
    }
}
