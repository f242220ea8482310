//! `trimtab` as a child process.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{Cluster, Namespace, output_of};

/// A running `trimtab run`; killed when dropped. Its log goes into the test's folder.
pub struct Controller {
    child: Child,
    log: PathBuf,
}

impl Controller {
    /// On the test's own namespace, as the administrator, with a sync every 2 s and no leader election; `flags` are added.
    ///
    /// With `TEST_CONTROLLER=kubernetes` nothing is started: the same tests then show what Kubernetes' own
    /// autoscaler does, on a cluster that has it.
    pub fn on(namespace: &Namespace, flags: &[&str]) -> Controller {
        let kubeconfig = namespace.cluster.kubeconfig();
        let mine = ["--namespace", &namespace.name, "--leader-elect=false"];
        Controller::start(namespace, &kubeconfig, &[&mine, flags].concat())
    }

    /// With nothing but the kubeconfig and a sync period of 2 s, unless another is told; it listens nowhere unless told to.
    pub fn start(namespace: &Namespace, kubeconfig: &Path, flags: &[&str]) -> Controller {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let log = namespace
            .folder()
            .join(format!("controller-{}.log", COUNT.fetch_add(1, Ordering::Relaxed)));
        let file = File::create(&log).expect("create the controller's log");
        let mut command = match std::env::var("TEST_CONTROLLER").as_deref() {
            Ok("kubernetes") => still(),
            _ => run(kubeconfig, flags),
        };
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Controller { child, log }
    }

    pub fn log(&self) -> String {
        let mut text = String::new();
        File::open(&self.log)
            .and_then(|mut file| file.read_to_string(&mut text))
            .expect("read the controller's log");
        text
    }

    /// SIGKILL, at once.
    pub fn kill(mut self) {
        self.child.kill().expect("kill the controller");
        self.child.wait().expect("wait for the controller");
    }

    /// SIGTERM; gives the exit status and how long it took.
    pub fn terminate(mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.signal("-TERM");
        let status = self.child.wait().expect("wait for the controller");
        (status, start.elapsed())
    }

    /// SIGSTOP: it stands still as on a machine that has no time for it, until [`Self::go_on`].
    pub fn stand_still(&self) {
        self.signal("-STOP");
    }

    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().expect("run kill");
        assert!(sent.success(), "the controller had ended before:\n{}", self.log());
    }

    /// That it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("ask for the controller").is_none()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let last: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("the end of {}:", self.log.display());
            last.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}

fn run(kubeconfig: &Path, flags: &[&str]) -> Command {
    let mut command = program();
    command.arg("run").arg("--kubeconfig").arg(kubeconfig);
    command.arg("--log-filter=info,trimtab=debug");
    for usual in ["--horizontal-pod-autoscaler-sync-period=2s", "--listen=none"] {
        let name = usual.split('=').next().unwrap_or(usual);
        if !flags.iter().any(|flag| flag.starts_with(name)) {
            command.arg(usual);
        }
    }
    command.args(flags);
    command
}

fn still() -> Command {
    let mut command = Command::new("sleep");
    command.arg("3600");
    command
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_trimtab"))
}

/// Another command of trimtab, on this cluster; it has to succeed. Gives what it prints.
pub fn trimtab(cluster: &Cluster, arguments: &[&str]) -> String {
    output_of(
        program()
            .args(arguments)
            .env("KUBECONFIG", cluster.kubeconfig())
            .stdin(Stdio::null()),
    )
}
