//! What the pages for people name is there: files, headings, commands, flags, exported metrics.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use trimtab::cluster::watch::{Need, WatchHealth};
use trimtab::controller::report::{
    Action, ErrorClass, MetricReport, PassReport, ScaleWriteReport, StatusWriteReport, SyncReport,
};
use trimtab::metrics::guard::SourceHealth;
use trimtab::spec::Key;
use trimtab::telemetry::exports::Exports;
use trimtab::telemetry::{SourceVitals, Vitals};

const PAGES: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "THREATS.md",
    "docs/capacity.md",
    "docs/extended.md",
    "docs/fuzzing.md",
    "docs/metrics.md",
    "docs/traces.md",
    "benches/cluster/README.md",
    "manifests/README.md",
    "tests/cluster/README.md",
    "tests/conformance/FORMAT.md",
    "tests/conformance/oracle/README.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("read {page}: {error}"))
}

/// A page as prose, and as code: spans between backquotes, and lines of fences without their prompts.
fn parts(page: &str) -> (String, Vec<String>) {
    let (mut prose, mut code, mut fenced) = (String::new(), Vec::new(), false);
    for line in page.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            code.push(line.trim_start_matches("$ ").to_owned());
        } else {
            // Split over lines, a span would not be seen as one here.
            assert!(
                line.matches('`').count() % 2 == 0,
                "a span of code does not end: {line}"
            );
            for (at, part) in line.split('`').enumerate() {
                match at % 2 {
                    0 => prose.push_str(part),
                    _ => code.push(part.to_owned()),
                }
            }
            prose.push('\n');
        }
    }
    (prose, code)
}

/// Headings as the anchors that they make.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let text = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        text.chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
            .collect()
    };
    headings.map(anchor).collect()
}

/// The links of the page at `path` that lead nowhere.
fn broken_links(path: &str, page: &str) -> Vec<String> {
    let folder = root().join(path).parent().expect("a page has a folder").to_owned();
    let (prose, _) = parts(page);
    let links = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let leads_somewhere = |link: &str| {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        match file {
            "" => anchors(page).contains(anchor),
            file if anchor.is_empty() => folder.join(file).exists(),
            file => fs::read_to_string(folder.join(file)).is_ok_and(|page| anchors(&page).contains(anchor)),
        }
    };
    links
        .map(|(link, _)| link)
        .filter(|link| !link.contains("://") && !leads_somewhere(link))
        .map(str::to_owned)
        .collect()
}

/// The paths of the repository that a page names and that are not there. Those that git ignores come and go.
fn missing_paths(page: &str) -> Vec<String> {
    let ignored = read(".gitignore");
    let is_ignored = |path: &str| {
        ignored
            .lines()
            .map(|line| line.trim_matches(['/', '*']))
            .any(|line| path.starts_with(line))
    };
    let is_ours = |path: &str| {
        let tops = ["src/", "tests/", "manifests/", "config/", "docs/", "fuzz/", "benches/"];
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
        tops.iter().any(|top| path.starts_with(top)) && path.chars().all(plain)
    };
    let (_, code) = parts(page);
    let words = code.iter().filter_map(|code| code.split(' ').next());
    words
        .filter(|path| is_ours(path) && !is_ignored(path) && !root().join(path).exists())
        .map(str::to_owned)
        .collect()
}

/// The tests that a page names, as `FILE::NAME`, and those of them that are not there.
fn tests(page: &str) -> (usize, Vec<String>) {
    let (_, code) = parts(page);
    let named = code.iter().filter_map(|code| code.split_once(".rs::"));
    let (mut count, mut missing) = (0, Vec::new());
    for (file, test) in named {
        count += 1;
        let text = fs::read_to_string(root().join(format!("{file}.rs"))).unwrap_or_default();
        let at = text.find(&format!("fn {test}("));
        // Its attribute stands before it: on the line above, or with a comment between.
        let is_test = at.is_some_and(|at| text[..at].lines().rev().take(4).any(|line| line.contains("test")));
        if !is_test {
            missing.push(format!("{file}.rs::{test}"));
        }
    }
    (count, missing)
}

/// Commands, and flags of commands, that a page names and that are not there; and the commands that it names.
fn commands(page: &str) -> (Vec<String>, BTreeSet<String>) {
    let line = trimtab::commands::command_line();
    let (mut unknown, mut named) = (Vec::new(), BTreeSet::new());
    let (_, code) = parts(page);
    for words in code.iter().filter_map(|code| code.strip_prefix("trimtab ")) {
        let name = words.split(' ').next().unwrap_or_default();
        let Some(command) = line.find_subcommand(name) else {
            if name.starts_with(|c: char| c.is_ascii_lowercase()) {
                unknown.push(name.to_owned());
            }
            continue;
        };
        named.insert(name.to_owned());
        let flags = words.split(' ').filter_map(|word| word.strip_prefix("--"));
        let flags = flags.map(|flag| flag.split('=').next().unwrap_or(flag));
        let is_flag = |flag: &str| {
            command
                .get_arguments()
                .any(|argument| argument.get_long() == Some(flag))
        };
        unknown.extend(
            flags
                .filter(|flag| !is_flag(flag))
                .map(|flag| format!("{name} --{flag}")),
        );
    }
    (unknown, named)
}

#[test]
fn every_link_and_every_path_leads_somewhere() {
    for path in PAGES {
        let page = read(path);
        assert_eq!(broken_links(path, &page), [""; 0], "links of {path}");
        assert_eq!(missing_paths(&page), [""; 0], "paths in {path}");
    }
}

#[test]
fn every_threat_has_its_tests() {
    let (count, missing) = tests(&read("THREATS.md"));
    assert!(count > 30, "{count} tests are named");
    assert_eq!(missing, [""; 0], "tests that THREATS.md names");
    let (_, missing) =
        tests("`src/wire.rs::no_such_test` `src/wire.rs::get` `tests/docs.rs::every_threat_has_its_tests`");
    assert_eq!(
        missing,
        ["src/wire.rs::no_such_test", "src/wire.rs::get"],
        "what is wrong is noticed"
    );
}

#[test]
fn the_architecture_has_every_room() {
    let (architecture, lib) = (read("ARCHITECTURE.md"), read("src/lib.rs"));
    let lines = architecture.lines().filter(|line| line.starts_with("| `"));
    let firsts: Vec<&str> = lines.filter_map(|line| line.split('|').nth(1)).collect();
    let rooms = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    for room in rooms {
        let named = firsts.iter().any(|first| first.contains(&format!("`{room}`")));
        assert!(named, "{room} is not in the house of ARCHITECTURE.md");
    }
}

#[test]
fn commands_and_flags_are_those_of_the_command_line() {
    for path in PAGES {
        assert_eq!(commands(&read(path)).0, [""; 0], "commands in {path}");
    }
    let line = trimtab::commands::command_line();
    let known: BTreeSet<String> = line
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    assert_eq!(commands(&read("README.md")).1, known, "the README names every command");
}

/// All metrics, each with something in it: what is empty is not exported.
fn exported() -> String {
    let metric = MetricReport {
        metric_type: "Resource",
        action: Action::None,
        error: ErrorClass::None,
        duration: Duration::ZERO,
    };
    let sync = SyncReport {
        key: Key::new("shop", "web"),
        action: Action::None,
        error: ErrorClass::None,
        duration: Duration::ZERO,
        metrics: vec![metric],
        desired_replicas: Some(1),
        scale_write: ScaleWriteReport::Written,
        status_write: StatusWriteReport::Written,
        panicked: false,
    };
    let watch = WatchHealth {
        resource: "pods".to_owned(),
        namespace: None,
        need: Need::Required,
        ready_for: Some(Duration::ZERO),
        heard_ago: Some(Duration::ZERO),
        trouble: None,
        unreadable: 0,
        lists: 1,
    };
    let source = SourceVitals {
        name: "resource".to_owned(),
        health: SourceHealth::default(),
    };
    let exports = Exports::default();
    exports.pass(&PassReport {
        syncs: vec![sync],
        ..PassReport::default()
    });
    exports.vitals(&Vitals {
        watches: vec![watch],
        sources: vec![source],
        ..Vitals::default()
    });
    exports.text()
}

#[test]
fn the_readme_has_every_exported_metric() {
    let (readme, text) = (read("README.md"), exported());
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut count = 0;
    for (name, kind) in types.filter_map(|line| line.split_once(' ')) {
        let prefixes = ["horizontal_pod_autoscaler_controller_", "trimtab_"];
        let short = prefixes
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(name);
        let total = if kind == "counter" { "_total" } else { "" };
        assert!(
            readme.contains(&format!("`{short}{total}`")),
            "{name} is not in the README"
        );
        count += 1;
    }
    assert!(count > 20, "only {count} metrics are exported");
}

#[test]
fn a_page_that_is_wrong_is_noticed() {
    let page = "# A b\n[a](Cargo.toml) [b](no.md) `[c](code.md)`\n```\n[d](fence.md)\n$ trimtab onec --x\n```\n\
                [e](#a-b) [f](#b) [g](CHANGELOG.md#no) `src/no.rs` `src/lib.rs` `tests/cluster/bin` `trimtab settings --confg=x --config y`";
    assert_eq!(broken_links("X.md", page), ["no.md", "#b", "CHANGELOG.md#no"]);
    assert_eq!(missing_paths(page), ["src/no.rs"]);
    assert_eq!(commands(page).0, ["onec", "settings --confg"]);
}
