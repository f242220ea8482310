//! Sessions with the command line, kept in `tests/cli/*.session` and played again.
//!
//! A line `$ NAME=value trimtab …` is a command, played in `tests/cli`; what follows is what it printed: `> ` before a line
//! of standard output, `! ` before one of standard error, then the exit code. `#` begins a comment.

#[path = "support/expect.rs"]
mod expect;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use expect::expect_file;

const TRIMTAB: &str = env!("CARGO_BIN_EXE_trimtab");

/// Plays every command of a session and writes it down anew.
fn played(session: &str) -> String {
    let mut text = String::new();
    for line in session.lines() {
        if line.starts_with("> ") || line.starts_with("! ") || line.starts_with("exit ") || line == ">" || line == "!" {
            continue;
        }
        let _ = writeln!(text, "{line}");
        if let Some(words) = line.strip_prefix("$ ") {
            play(words, &mut text);
        }
    }
    text
}

fn play(words: &str, text: &mut String) {
    let mut words = words.split_whitespace().peekable();
    let mut command = Command::new(TRIMTAB);
    command
        .env_clear()
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli"))
        .stdin(Stdio::null());
    while let Some((name, value)) = words.peek().and_then(|word| word.split_once('=')) {
        command.env(name, value);
        words.next();
    }
    assert_eq!(words.next(), Some("trimtab"), "a session plays trimtab alone");
    let output = command.args(words).output().expect("trimtab starts");
    for (mark, bytes) in [('>', &output.stdout), ('!', &output.stderr)] {
        for line in String::from_utf8_lossy(bytes).lines() {
            let _ = writeln!(text, "{}", format!("{mark} {line}").trim_end());
        }
    }
    let _ = writeln!(
        text,
        "exit {}",
        output
            .status
            .code()
            .map_or("by a signal".to_owned(), |code| code.to_string())
    );
}

#[test]
fn sessions_go_as_they_are_kept() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("tests/cli can be read")
        .map(|entry| {
            entry
                .expect("tests/cli can be read")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with(".session"))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    let differences: Vec<String> = names
        .iter()
        .filter_map(|name| {
            let path = format!("tests/cli/{name}");
            let kept = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).expect("it was listed");
            expect_file(&path, &played(&kept)).err()
        })
        .collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let (reader, writer) = io::pipe().expect("the system has pipes");
    drop(reader);
    let output = Command::new(TRIMTAB)
        .arg("settings")
        .env_clear()
        .stdout(writer)
        .output()
        .expect("trimtab starts");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_settings_prints_gives_the_same_settings() {
    let settings = |arguments: &[&str]| {
        let output = Command::new(TRIMTAB)
            .arg("settings")
            .args(arguments)
            .env_clear()
            .output()
            .expect("trimtab starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("settings are text")
    };
    let typed = [
        "--namespace=shop,web",
        "--feature-gates=HPAScaleToZero=true",
        "--tolerance=0.25",
        "--listen=none",
    ];
    let first = settings(&typed);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("settings.yaml");
    fs::write(&file, &first).expect("the folder for tests can be written");
    let again = settings(&["--config", &file.to_string_lossy()]);
    let values = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split(" #").next().unwrap_or_default().trim_end().to_owned())
            .collect()
    };
    assert_eq!(values(&first), values(&again));
}

#[test]
fn every_example_configuration_is_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(root.join("config")).expect("config can be read");
    let paths = entries.map(|entry| entry.expect("config can be read").path());
    let mut count = 0;
    for path in paths.chain([root.join("manifests/configuration/trimtab.yaml")]) {
        // Rules are read with the configuration that names them; a test of their own looks at what they give.
        if path.is_dir() || path.to_string_lossy().ends_with(".rules.yaml") {
            continue;
        }
        let output = Command::new(TRIMTAB)
            .arg("settings")
            .arg("--config")
            .arg(&path)
            .env_clear()
            .output()
            .expect("trimtab starts");
        assert!(
            output.status.success(),
            "{}: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            output.stderr.is_empty(),
            "{}: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        count += 1;
    }
    assert!(count >= 3, "only {count} examples");
}
