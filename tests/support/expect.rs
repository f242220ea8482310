//! Files that tests keep: compared, or with `UPDATE_EXPECT=1` rewritten for a person to read the difference.

use std::fs;
use std::path::Path;

/// Compares `actual` with the file `path` of the repository.
///
/// # Errors
///
/// The first line that differs, and what to do.
pub fn expect_file(path: &str, actual: &str) -> Result<(), String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let expected = fs::read_to_string(&file).unwrap_or_default();
    if expected == actual {
        return Ok(());
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return fs::write(&file, actual).map_err(|error| format!("write {path}: {error}"));
    }
    let (mut old, mut new) = (expected.lines(), actual.lines());
    let mut line = 1;
    loop {
        match (old.next(), new.next()) {
            (Some(a), Some(b)) if a == b => line += 1,
            (old, new) => {
                let shown = |text: Option<&str>| text.map_or("nothing".to_owned(), |text| format!("{text:?}"));
                return Err(format!(
                    "{path}:{line}: expected {}, got {}; UPDATE_EXPECT=1 rewrites the file",
                    shown(old),
                    shown(new)
                ));
            }
        }
    }
}
