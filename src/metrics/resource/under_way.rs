//! Lists that are being asked for: passes that overlap, as where a metrics server is slow, share them.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, WeakShared};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Usages;
use crate::metrics::api::Answer;
use crate::metrics::failure::SourceError;

/// What a list has shown, and when it was asked for.
#[derive(Clone)]
pub(super) struct Listed {
    pub(super) asked: Instant,
    pub(super) usages: Arc<Usages>,
}

type Weak = WeakShared<BoxFuture<'static, Result<Listed, SourceError>>>;

/// The lists under way, by their path. Nobody but those who wait for a list keeps it.
#[derive(Clone, Default)]
pub(super) struct UnderWay(Arc<Mutex<Lists>>);

#[derive(Default)]
struct Lists {
    by_path: HashMap<String, Weak>,
    /// With so many, those that have ended are taken out.
    full: usize,
}

/// Not worth a look for those that have ended.
const FEW: usize = 64;

impl UnderWay {
    /// The list at `path`: the one under way, else a new one by `ask`. One that somebody else has asked for earlier, and that
    /// fails, is no failure of this question: it is asked then.
    pub(super) async fn list<F>(&self, path: &str, ask: impl Fn() -> F) -> Result<Listed, SourceError>
    where
        F: Future<Output = Result<Listed, SourceError>> + Send + 'static,
    {
        let (joined, answer) = self.join(path, &ask);
        match answer.await {
            Err(_) if joined => self.join(path, &ask).1.await,
            outcome => outcome,
        }
    }

    /// The answer, and whether somebody else has asked for it.
    fn join<F>(&self, path: &str, ask: impl Fn() -> F) -> (bool, Answer<Listed>)
    where
        F: Future<Output = Result<Listed, SourceError>> + Send + 'static,
    {
        let mut lists = self.0.lock();
        let under_way = lists.by_path.get(path).and_then(Weak::upgrade);
        if let Some(answer) = under_way.filter(|answer| answer.peek().is_none()) {
            return (true, answer);
        }
        if lists.by_path.len() >= lists.full {
            let going = |list: &Weak| list.upgrade().is_some_and(|answer| answer.peek().is_none());
            lists.by_path.retain(|_, list| going(list));
            lists.full = FEW.max(2 * lists.by_path.len());
        }
        let answer = ask().boxed().shared();
        if let Some(weak) = answer.downgrade() {
            lists.by_path.insert(path.to_owned(), weak);
        }
        (false, answer)
    }
}
