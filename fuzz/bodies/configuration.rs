//! Any text is a configuration file, or mistakes with places in it; and what is shown of it gives the same.

use trimtab::settings::{Origin, Typed, reference, resolve};

pub fn check(text: &str) {
    let typed = |text: &str| Typed {
        file: Some(("t".into(), text.into())),
        ..Typed::default()
    };
    let settings = match resolve(&typed(text)) {
        Ok(effective) => effective.settings,
        Err(mistakes) => {
            assert!(!mistakes.0.is_empty());
            let in_file = |origin: &Origin| matches!(origin, Origin::File { .. } | Origin::Default);
            assert!(mistakes.0.iter().all(|m| in_file(&m.origin)), "{mistakes}");
            return;
        }
    };
    let blocks = settings.sources.shown(settings.prometheus_url.is_some());
    let mut shown: String = blocks
        .iter()
        .map(|(name, block)| reference::block(name, block))
        .collect();
    if let Some(url) = &settings.prometheus_url {
        shown.push_str(&format!("prometheus-url: {}\n", url.as_str()));
    }
    let mut again = resolve(&typed(&shown)).expect(&shown).settings.sources;
    // Their values are hidden.
    for (name, endpoint) in &mut again.prometheus {
        endpoint.headers = settings.sources.prometheus[name].headers.clone();
    }
    assert_eq!(again.prometheus, settings.sources.prometheus, "{shown}");
    let mut metrics = settings.sources.metrics.clone();
    metrics.sort_by_key(|metric| metric.name.clone());
    assert_eq!(again.metrics, metrics, "{shown}");
}
