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
    assert_eq!(
        quantity.is_negative(),
        quantity.milli() < Milli::ZERO,
        "{text:?}: no sign gets lost by rounding"
    );
    assert_eq!(quantity.is_positive(), quantity.approximate_f64() > 0.0, "{text:?}");
}
