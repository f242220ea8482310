//! The names of the series behind Prometheus Adapter's rules, listed again now and then.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use super::server::Server;
use crate::metrics::failure::SourceError;
use crate::promql::adapter::{self, AdapterRules};

/// A series without a sample for this long is not listed. Prometheus looks back five minutes for a value.
const SERIES_AGE: SignedDuration = SignedDuration::from_secs(600);

/// The most names that all listings hold together.
const NAMES: usize = 500_000;

/// The metrics that the rules give, by the last listing. Looking one up may make its definition.
pub(super) type Listing = Arc<Mutex<adapter::Catalog>>;

/// The last listing.
pub(super) struct Names {
    /// How long a listing counts: a new metric is known within this time.
    listed_for: SignedDuration,
    last: Mutex<Option<Listed>>,
}

struct Listed {
    /// Of the last listing that succeeded; `None` before the first.
    listing: Option<Listing>,
    /// When listing was tried last.
    tried: Timestamp,
}

impl Names {
    /// Names that are listed anew when they are older than `listed_for`.
    pub(super) fn new(listed_for: Duration) -> Self {
        Self {
            listed_for: SignedDuration::try_from(listed_for).unwrap_or(SignedDuration::MAX),
            last: Mutex::default(),
        }
    }

    /// The metrics of `rules` by a listing that still counts; while the endpoint is away, by those that there were last.
    ///
    /// # Errors
    /// Where no listing has ever succeeded.
    pub(super) async fn current(
        &self,
        rules: &AdapterRules,
        server: &Server,
        now: Timestamp,
    ) -> Result<Listing, SourceError> {
        if let Some(listing) = self.known(now) {
            return Ok(listing);
        }
        let since = now.saturating_sub(SERIES_AGE).unwrap_or(Timestamp::MIN);
        let queries = rules.series_queries();
        let lists = try_join_all(queries.iter().map(|query| server.series_names(query, since))).await;
        let lists = lists.and_then(|lists| match lists.iter().map(Vec::len).sum::<usize>() > NAMES {
            true => Err(server.too_many_names(NAMES)),
            false => Ok(lists),
        });
        let mut last = self.last.lock();
        let former = last.take().and_then(|listed| listed.listing);
        let (listing, outcome) = match (lists, former) {
            (Ok(lists), _) => {
                let names: Vec<Arc<[Arc<str>]>> = lists.into_iter().map(Arc::from).collect();
                let listing = Arc::new(Mutex::new(rules.catalog(&names)));
                (Some(listing.clone()), Ok(listing))
            }
            (Err(_), Some(former)) => (Some(former.clone()), Ok(former)),
            (Err(error), None) => (None, Err(error)),
        };
        *last = Some(Listed { listing, tried: now });
        outcome
    }

    fn known(&self, now: Timestamp) -> Option<Listing> {
        let last = self.last.lock();
        let listed = last.as_ref()?;
        let age = now.duration_since(listed.tried).abs();
        listed.listing.clone().filter(|_| age < self.listed_for)
    }
}
