//! Any text is a Lease or an error whose message has a bound; whatever it says, it can be taken and given back, and lasts no longer
//! than a Lease can say.

use std::time::Duration;

use trimtab::cluster::outside::lease;

/// 2026-11-22T08:00:00Z
const NOW: i64 = 1_795_334_400;

pub fn check(text: &str) {
    match lease(text.as_bytes(), NOW) {
        Err(error) => assert!(error.chars().count() < 1200, "{error}"),
        Ok((lasts, written)) => {
            assert!(lasts <= Duration::from_secs(i32::MAX.unsigned_abs().into()));
            let [taken, given_back] = &written[..] else {
                panic!("{written:?}")
            };
            assert_eq!(taken["spec"]["holderIdentity"], "me");
            assert_eq!(given_back["spec"]["holderIdentity"], "");
        }
    }
}
