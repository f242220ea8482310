//! What a newcomer runs first.

use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn one_command_brings_a_clone_to_a_scaling_workload() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = root.join("tests/cluster/run-alone-try");
    let mut command = Command::new(root.join("try"));
    command.args(["--for", "90"]).env("RUN", run).stdin(Stdio::null());
    let output = command.output().expect("run ./try");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    for who in ["trimtab |", "kubectl |", "load    |"] {
        assert!(
            said.lines().any(|line| line.starts_with(who)),
            "nothing of '{who}':\n{said}"
        );
    }
}
