//! The settings written out for people: the reference page and the example file of defaults.

use std::fmt::Write as _;

use super::declaration::{Declaration, Section};
use super::declared::{DECLARATIONS, Settings};

/// The page `docs/settings.md`.
pub fn page() -> String {
    let mut page = String::from(PAGE_HEAD);
    for section in Section::ALL {
        let _ = write!(
            page,
            "\n## {}\n\n| setting | default | allowed | meaning |\n|---|---|---|---|\n",
            section.title()
        );
        for declaration in DECLARATIONS.iter().filter(|declaration| declaration.section == section) {
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} |",
                declaration.name,
                code_list(declaration.default),
                declaration.allowed,
                meaning(declaration),
            );
        }
    }
    page
}

const PAGE_HEAD: &str = "\
# Settings

<!-- Written by `UPDATE_EXPECT=1 cargo test --test generated`; do not edit. -->

Each setting has one name: `sync-period` is the key `sync-period` in the configuration file (`--config FILE`, YAML), the
flag `--sync-period` and the environment variable `TRIMTAB_SYNC_PERIOD`. Flags win over the environment, the environment
over the file. Where kube-controller-manager has another name for a setting, that is accepted as a flag and as a key.

Durations are written as `15s`, `5m`, `1h30m`, `1.5h` or `5m0s`. A setting that takes several values takes them separated
by commas; the file also takes a list (feature gates: a mapping), and a flag may be repeated. What a stronger layer gives
replaces what a weaker one gives as a whole. An empty environment variable is one that is not set. Anything unknown in the file or
among the flags, and any value that is not allowed, ends the process with exit code 2. `trimtab settings` prints the
settings that hold and where each comes from.
";

fn meaning(declaration: &Declaration) -> String {
    let mut text = declaration.paragraphs().join(" ");
    for alias in declaration.aliases {
        let _ = write!(text, " Also `--{alias}`.");
    }
    text
}

fn code_list(default: &str) -> String {
    let parts: Vec<String> = default
        .split(',')
        .filter(|part| !part.is_empty())
        .map(|part| format!("`{part}`"))
        .collect();
    parts.join(" ")
}

/// The file `config/default.yaml`: every setting at its default, with what it means.
pub fn default_file() -> String {
    let mut text = String::from(
        "# Every setting of trimtab at its default. A file needs to hold only what differs.\n\
         # Written by `UPDATE_EXPECT=1 cargo test --test generated`; do not edit.\n",
    );
    for section in Section::ALL {
        let _ = write!(text, "\n# {}\n", section.title());
        for (declaration, value) in Settings::default().shown() {
            if declaration.section != section {
                continue;
            }
            text.push('\n');
            for paragraph in declaration.paragraphs() {
                comment(&mut text, &paragraph);
            }
            comment(&mut text, &format!("Allowed: {}.", declaration.allowed));
            if declaration.default.is_empty() {
                let _ = writeln!(text, "# {}: {}", declaration.name, declaration.placeholder);
            } else {
                text.push_str(&entry(declaration.name, &value));
            }
        }
    }
    text
}

/// One line of the file, or one and one for each entry of a mapping.
pub fn entry(name: &str, value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(entries) => entries.iter().fold(format!("{name}:\n"), |mut text, (key, value)| {
            let _ = writeln!(text, "  {key}: {value}");
            text
        }),
        serde_json::Value::String(value) if is_plain(value) => format!("{name}: {value}\n"),
        // JSON is YAML.
        value => format!("{name}: {value}\n"),
    }
}

/// A block of the file, in lines; nothing for an empty one.
pub fn block(name: &str, value: &serde_json::Value) -> String {
    let mut text = String::new();
    if value.as_object().is_some_and(|entries| !entries.is_empty()) {
        write_nested(&mut text, name, value, 0);
    }
    text
}

fn write_nested(text: &mut String, name: &str, value: &serde_json::Value, depth: usize) {
    let indent = "  ".repeat(depth);
    let name = if is_plain(name) {
        name.to_owned()
    } else {
        format!("{name:?}")
    };
    match value {
        serde_json::Value::Object(entries) if !entries.is_empty() => {
            let _ = writeln!(text, "{indent}{name}:");
            for (key, value) in entries {
                write_nested(text, key, value, depth + 1);
            }
        }
        serde_json::Value::Array(items) if items.iter().all(serde_json::Value::is_object) => {
            let _ = writeln!(text, "{indent}{name}:");
            for item in items.iter().filter_map(serde_json::Value::as_object) {
                let mut lines = String::new();
                for (key, value) in item {
                    write_nested(&mut lines, key, value, depth + 2);
                }
                // The first line of an item has a dash in its indentation.
                let at = 2 * depth + 2;
                lines.replace_range(at..=at, "-");
                text.push_str(&lines);
            }
        }
        serde_json::Value::String(value) if is_plain(value) => {
            let _ = writeln!(text, "{indent}{name}: {value}");
        }
        // JSON is YAML.
        value => {
            let _ = writeln!(text, "{indent}{name}: {value}");
        }
    }
}

/// Whether YAML reads `text` as itself without quotes.
fn is_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
        && text.parse::<f64>().is_err()
        && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str())
}

/// `text` as comment lines of at most 100 columns.
fn comment(text: &mut String, paragraph: &str) {
    let mut line = String::from("#");
    for word in paragraph.split_whitespace() {
        if line.len() + 1 + word.len() > 100 {
            let _ = writeln!(text, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}
