//! Instructions, counted by callgrind: the same on a busy machine as on a quiet one.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use crate::cases::{Case, Named};
use crate::measure::prepared;

/// Has the program run each case once, for [`count`].
pub const ARGUMENT: &str = "under-callgrind";

/// Instructions of each case that is counted and has `wanted` in its name, in their order; there are `cases` of them.
pub fn count(wanted: &str, cases: usize) -> Result<Vec<u64>, String> {
    let program = std::env::current_exe().map_err(|e| format!("finding this program: {e}"))?;
    let folder = program.with_extension(format!("callgrind.{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| format!("creating {}: {e}", folder.display()))?;
    let counts = run(&program, &folder, wanted).and_then(|()| (1..=cases).map(|n| total(&folder, n)).collect());
    // The counts are all that is wanted of it.
    let _ = std::fs::remove_dir_all(&folder);
    counts
}

fn run(program: &Path, folder: &Path, wanted: &str) -> Result<(), String> {
    // Collecting begins where the function is entered; where it is left, what was collected is written to a file.
    let function = concat!(module_path!(), "::one_counted_run");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={function}"))
        .arg(format!("--dump-after={function}"))
        .arg(format!("--callgrind-out-file={}", folder.join("counts").display()))
        .arg(program)
        .args([ARGUMENT, wanted])
        .output()
        .map_err(|e| format!("starting valgrind (Debian's package of this name): {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "valgrind: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// The sum in the n-th file.
fn total(folder: &Path, n: usize) -> Result<u64, String> {
    let path = folder.join(format!("counts.{n}"));
    let text = std::fs::read_to_string(&path).map_err(|e| format!("reading {}: {e}", path.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("totals: "));
    line.and_then(|total| total.trim().parse().ok())
        .filter(|total| *total > 0)
        .ok_or_else(|| format!("{} has no total", path.display()))
}

/// What runs under callgrind: each case, once warm.
pub fn run_counted(cases: &[Named]) {
    for named in cases {
        let mut case = (named.make)();
        prepared(&mut *case);
        case.prepare();
        one_counted_run(&mut *case);
    }
}

/// Callgrind finds it by its name.
#[inline(never)]
fn one_counted_run(case: &mut dyn Case) {
    case.run();
    // Nothing may be called last: callgrind would not see the end of a function that jumps on.
    black_box(());
}
