//! The names of the series behind Prometheus Adapter's rules, listed again now and then, beside the passes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;

use super::server::Server;
use crate::metrics::failure::SourceError;
use crate::promql::adapter::{self, AdapterRules};

/// A series without a sample for this long is not listed. Prometheus looks back five minutes for a value.
const SERIES_AGE: SignedDuration = SignedDuration::from_secs(600);

/// The most names that all listings hold together.
const NAMES: usize = 500_000;

/// The metrics that the rules give, by the last listing. Looking one up may make its definition.
pub(super) type Listing = Arc<Mutex<adapter::Catalog>>;

/// The last listing, and the one under way.
pub(super) struct Names {
    kept: Mutex<Kept>,
    interval: SignedDuration,
}

#[derive(Default)]
struct Kept {
    listing: Option<Listing>,
    /// When listing began last.
    began: Timestamp,
    /// Ends with us.
    refresh: Option<AbortOnDropHandle<Result<Listing, SourceError>>>,
}

impl Names {
    /// Nothing is listed yet. Listings count for `interval`.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            kept: Mutex::default(),
            interval: SignedDuration::try_from(interval).unwrap_or(SignedDuration::MAX),
        }
    }

    /// Whether there is a listing.
    pub(super) fn are_known(&self) -> bool {
        self.kept.lock().listing.is_some()
    }

    /// The last listing. Where that is too old a new one is begun, for passes that come: nobody waits for it, and while the
    /// endpoint is away the last one counts. Only before the first one this waits.
    ///
    /// # Errors
    /// Where no listing has ever succeeded.
    pub(super) async fn current(
        &self,
        rules: &Arc<AdapterRules>,
        server: &Arc<Server>,
        now: Timestamp,
    ) -> Result<Listing, SourceError> {
        if let Some(listing) = self.kept.lock().current(self.interval, rules, server, now) {
            return Ok(listing);
        }
        let listing = list(rules.clone(), server.clone(), now).await?;
        let mut kept = self.kept.lock();
        kept.began = now;
        kept.listing = Some(listing.clone());
        Ok(listing)
    }
}

impl Kept {
    fn current(
        &mut self,
        interval: SignedDuration,
        rules: &Arc<AdapterRules>,
        server: &Arc<Server>,
        now: Timestamp,
    ) -> Option<Listing> {
        if let Some(refresh) = self.refresh.take_if(|refresh| refresh.is_finished())
            && let Some(Ok(Ok(listing))) = refresh.now_or_never()
        {
            self.listing = Some(listing);
        }
        let listing = self.listing.clone()?;
        if self.refresh.is_none() && now.duration_since(self.began).abs() >= interval {
            self.began = now;
            let task = tokio::spawn(list(rules.clone(), server.clone(), now));
            self.refresh = Some(AbortOnDropHandle::new(task));
        }
        Some(listing)
    }
}

async fn list(rules: Arc<AdapterRules>, server: Arc<Server>, now: Timestamp) -> Result<Listing, SourceError> {
    let since = now.saturating_sub(SERIES_AGE).unwrap_or(Timestamp::MIN);
    let queries = rules.series_queries();
    let lists = try_join_all(queries.iter().map(|query| server.series_names(query, since))).await?;
    if lists.iter().map(Vec::len).sum::<usize>() > NAMES {
        return Err(server.too_many_names(NAMES));
    }
    let names: Vec<Arc<[Arc<str>]>> = lists.into_iter().map(Arc::from).collect();
    Ok(Arc::new(Mutex::new(rules.catalog(&names))))
}
