//! Files that are written from the code stay in step with it.

#[path = "support/expect.rs"]
mod expect;

use expect::expect_file;
use trimtab::settings::{Settings, Typed, reference, resolve};

#[test]
fn the_page_of_settings_is_what_is_declared() {
    expect_file("docs/settings.md", &reference::page()).unwrap();
}

#[test]
fn the_default_configuration_holds_every_default() {
    let text = reference::default_file();
    expect_file("config/default.yaml", &text).unwrap();
    let typed = Typed {
        file: Some(("config/default.yaml".into(), text.clone())),
        ..Typed::default()
    };
    assert_eq!(
        resolve(&typed).expect("the defaults are allowed").settings,
        Settings::default()
    );

    // What is commented out has no default; with that taken in, every key is known.
    let keys = text
        .lines()
        .filter_map(|line| line.trim_start_matches("# ").split_once(": ").map(|(key, _)| key));
    for declaration in trimtab::settings::DECLARATIONS {
        assert!(text.contains(&format!("{}:", declaration.name)), "{}", declaration.name);
        assert!(keys.clone().any(|key| key == declaration.name) || declaration.name == "feature-gates");
    }
}
