//! Any text is a quantity or an error, and what is printed reads back as the same.

use trimtab::quantity::{Milli, Quantity};

pub fn check(text: &str) {
    let Ok(quantity) = text.parse::<Quantity>() else { return };
    let printed = quantity.to_string();
    assert_eq!(
        printed.parse::<Quantity>().as_ref(),
        Ok(&quantity),
        "{text:?} printed as {printed:?}"
    );
    assert_eq!(printed.parse::<Quantity>().map(|q| q.to_string()), Ok(printed));
    // Of negative amounts Kubernetes loses the sign now and then, and trimtab with it: `Quantity::milli` says where.
    if !quantity.is_negative() {
        assert_eq!(
            quantity.is_positive(),
            quantity.milli() > Milli::ZERO,
            "{text:?}: no amount is rounded to nothing"
        );
    }
    assert_eq!(quantity.is_positive(), quantity.approximate_f64() > 0.0, "{text:?}");
}
