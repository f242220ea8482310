//! Rooms import only upward, and core rooms know nothing of the world outside.
//!
//! Reads `src/**/*.rs` as tokens: every path that leaves its room (`crate::room`, `super::…` past the room's own top) is an
//! arrow, and arrows go to rooms further up in [`ROOMS`]. Comments and strings are no code.

#[path = "arrows/paths.rs"]
mod paths;
#[path = "arrows/tokens.rs"]
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};

use paths::{Arrow, arrows};
use tokens::{Token, tokens};

/// The rooms, topmost first. Those of one line do not know each other.
const ROOMS: &[&[&str]] = &[
    &["quantity"],
    &["duration"],
    &["selector"],
    &["yaml"],
    &["spec"],
    &["observe"],
    &["memory"],
    &["decide"],
    &["render"],
    &["promql"],
    &["shards"],
    &["settings"],
    // Below here: the outside world.
    &["clock"],
    &["files"],
    &["manifests"],
    &["wire"],
    &["metrics", "cluster"],
    &["controller"],
    &["telemetry"],
    &["sim"],
    &["commands"],
];

/// The rooms of pure values.
const CORE: &[&str] = &[
    "quantity", "duration", "selector", "yaml", "spec", "observe", "memory", "decide", "render", "promql", "shards",
    "settings",
];

/// What core rooms must not name, as paths of identifiers.
const OUTSIDE: &[&[&str]] = &[
    &["tokio"],
    &["kube"],
    &["tracing"],
    &["axum"],
    &["reqwest"],
    &["rand"],
    &["clap"],
    &["async"],
    &["await"],
    &["SystemTime"],
    &["Instant"],
    &["Timestamp", "now"],
    &["Zoned", "now"],
    &["std", "env"],
    &["std", "fs"],
    &["std", "thread"],
    &["println"],
    &["eprintln"],
];

/// What is wrong with one file, as `path:line: message`.
fn offences(path: &str, source: &str) -> Vec<String> {
    let Some(module) = module_of(path) else {
        return Vec::new();
    };
    let Some(room) = module.first() else { return Vec::new() };
    let tokens = tokens(source);
    let Some(own) = rank(room) else {
        return vec![format!(
            "{path}:1: room {room} has no place in the order of tests/arrows.rs"
        )];
    };
    let mut offences = Vec::new();
    for Arrow { to, line } in arrows(&tokens, &module) {
        match rank(&to) {
            Some(rank) if to != *room && rank >= own => {
                offences.push(format!(
                    "{path}:{line}: {room} must not use {to}, which is not above it"
                ));
            }
            _ => {}
        }
    }
    if CORE.contains(&room.as_str()) {
        offences.extend(OUTSIDE.iter().flat_map(|named| {
            let lines = lines_naming(&tokens, named);
            let name = named.join("::");
            lines
                .into_iter()
                .map(move |line| format!("{path}:{line}: core room names {name}"))
        }));
    } else if room != "commands" {
        let lines = lines_naming(&tokens, &["anyhow"]);
        offences.extend(
            lines
                .into_iter()
                .map(|line| format!("{path}:{line}: anyhow is for main and commands")),
        );
    }
    offences
}

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|line| line.contains(&room))
}

/// `src/decide/pods.rs` is `decide::pods`; the binary and the library's root are in no room.
fn module_of(path: &str) -> Option<Vec<String>> {
    let module = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    Some(
        module
            .split('/')
            .map(str::to_owned)
            .filter(|name| !matches!(name.as_str(), "lib" | "main"))
            .collect(),
    )
}

fn lines_naming(tokens: &[Token<'_>], named: &[&str]) -> Vec<usize> {
    let spelled: Vec<&str> = named
        .iter()
        .enumerate()
        .flat_map(|(at, word)| if at == 0 { vec![*word] } else { vec![":", ":", word] })
        .collect();
    let windows = tokens.windows(spelled.len());
    windows
        .filter(|window| window.iter().map(|token| token.text).eq(spelled.iter().copied()))
        .map(|window| window[0].line)
        .collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src can be read") {
        let path = entry.expect("src can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn rooms_import_only_upward() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    files.sort();
    let offences: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let path = file
                .strip_prefix(root)
                .expect("it was found below")
                .to_string_lossy()
                .replace('\\', "/");
            offences(&path, &fs::read_to_string(file).expect("src can be read"))
        })
        .collect();
    assert!(files.len() > 10, "only {} source files were found", files.len());
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn a_wrong_arrow_is_refused_however_it_is_written() {
    for source in [
        "use crate::controller::Pass;",
        "use crate::{\n    quantity::Milli, cluster::{pods::Store, scale},\n};",
        "fn f() -> crate::telemetry::Report { todo!() }",
        "use super::super::metrics::Source;",
        "use super::super::{observe::Pod, metrics};",
        "mod tests {\n    use super::super::super::sim;\n}",
        "use crate::render;",
    ] {
        assert_eq!(offences("src/decide/pods.rs", source).len(), 1, "{source}");
    }
    assert_eq!(
        offences("src/metrics.rs", "use crate::wire;\nuse crate::cluster::pods;"),
        ["src/metrics.rs:2: metrics must not use cluster, which is not above it"]
    );
}

#[test]
fn a_right_arrow_passes() {
    for source in [
        "use crate::observe::{Pod, PodPhase};",
        "use super::usage;\nmod tests { use super::*; use super::super::usage; }",
        "use crate::decide::derivation;",
        "// crate::controller\n/* crate::sim */\nconst TEXT: &str = \"crate::cluster tokio::spawn\";",
        "/// See [`crate::controller`].\nfn f<'a>(c: char) -> bool { c == '\"' || c == '\\'' }",
        "const RAW: &str = r#\"use crate::sim; \"quoted\" \"#;",
    ] {
        assert_eq!(offences("src/decide/pods.rs", source), [""; 0], "{source}");
    }
}

#[test]
fn the_outside_world_is_refused_in_the_core_alone() {
    for source in [
        "use tokio::sync;",
        "let now = jiff::Timestamp::now();",
        "let started = std::time::Instant::now();",
        "let home = std::env::var(\"HOME\");",
        "async fn f() {}",
        "tracing::info!(\"x\");",
    ] {
        assert_eq!(offences("src/decide.rs", source).len(), 1, "{source}");
        assert_eq!(offences("src/controller.rs", source), [""; 0], "{source}");
    }
    assert_eq!(offences("src/wire.rs", "use anyhow::Context;").len(), 1);
    assert_eq!(offences("src/commands/run.rs", "use anyhow::Context;"), [""; 0]);
}

#[test]
fn a_room_that_nobody_placed_is_refused() {
    assert_eq!(offences("src/utils.rs", "fn f() {}").len(), 1);
    assert_eq!(offences("src/lib.rs", "pub mod sim;"), [""; 0]);
}
