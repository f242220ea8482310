//! What a leader tells whoever leads next, with each renewal of the Lease.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use parking_lot::Mutex;

/// The annotation that the word stands in.
const ANNOTATION: &str = "trimtab.dev/unsaved-memory";
/// The annotation of a Lease under another one: in which tenure of that one it was written to last.
const UNDER: &str = "trimtab.dev/under";

/// The last that a former leader let know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// Who it was.
    pub identity: Arc<str>,
    /// When it renewed the Lease last, by its own clock.
    pub renewed: Timestamp,
    /// By how much our clock is ahead of its clock; nothing where they agree, and where nobody knows.
    pub ahead: SignedDuration,
    /// By how much our clock is ahead of the API server's; `None` where that does not say when it wrote.
    pub ahead_of_server: Option<SignedDuration>,
    /// Its word at that time; `None` where it left none.
    pub word: Option<Arc<str>>,
}

/// Gives the word as it is now; `None`: what the Lease says is to stay.
type Speaker = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// The word of the present leader. In a new term nobody has spoken yet, and what the former leader said stays in the Lease.
#[derive(Clone, Default)]
pub struct LastWord(Arc<Mutex<Spoken>>);

#[derive(Default)]
struct Spoken {
    term: u64,
    speaker: Option<Speaker>,
}

impl LastWord {
    /// A number that no other term of this process has.
    pub fn term(&self) -> u64 {
        self.0.lock().term
    }

    /// From now on each renewal asks `speaker`, unless `term` is over.
    pub fn speak(&self, term: u64, speaker: impl Fn() -> Option<String> + Send + Sync + 'static) {
        let mut spoken = self.0.lock();
        if spoken.term == term {
            spoken.speaker = Some(Box::new(speaker));
        }
    }

    pub(super) fn begin_term(&self) {
        let mut spoken = self.0.lock();
        spoken.term += 1;
        spoken.speaker = None;
    }

    /// Writes the word into the Lease, as it is at this moment.
    pub(super) fn write(&self, object: &mut LeaseObject) {
        let word = self.0.lock().speaker.as_ref().and_then(|speaker| speaker());
        if let Some(word) = word {
            let annotations = object.metadata.annotations.get_or_insert_default();
            annotations.insert(ANNOTATION.to_owned(), word);
        }
    }
}

/// The same where it goes into the same Lease.
impl PartialEq for LastWord {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for LastWord {}

impl fmt::Debug for LastWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastWord").field("term", &self.term()).finish()
    }
}

/// The word in a Lease.
pub(super) fn read(object: &LeaseObject) -> Option<Arc<str>> {
    let annotations = object.metadata.annotations.as_ref()?;
    annotations.get(ANNOTATION).map(|word| word.as_str().into())
}

/// Takes the word out of a Lease: nobody knows what is saved.
pub(super) fn forget(object: &mut LeaseObject) {
    if let Some(annotations) = &mut object.metadata.annotations {
        annotations.remove(ANNOTATION);
    }
}

pub(super) fn is_under(object: &LeaseObject, tenure: &str) -> bool {
    let annotations = object.metadata.annotations.as_ref();
    annotations
        .and_then(|annotations| annotations.get(UNDER))
        .is_some_and(|under| under == tenure)
}

pub(super) fn put_under(object: &mut LeaseObject, tenure: &str) {
    let annotations = object.metadata.annotations.get_or_insert_default();
    annotations.insert(UNDER.to_owned(), tenure.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(word: &LastWord, before: &LeaseObject) -> Option<String> {
        let mut object = before.clone();
        word.write(&mut object);
        read(&object).map(|word| word.to_string())
    }

    #[test]
    fn what_was_said_stays_until_the_new_term_speaks() {
        let word = LastWord::default();
        let mut object = LeaseObject::default();
        assert_eq!(said(&word, &object), None);
        word.begin_term();
        let first = word.term();
        word.speak(first, || Some("0@1".to_owned()));
        word.write(&mut object);
        word.begin_term();
        assert_eq!(said(&word, &object).as_deref(), Some("0@1"));
        // One that is late speaks for nobody.
        word.speak(first, || Some("0@2".to_owned()));
        assert_eq!(said(&word, &object).as_deref(), Some("0@1"));
        word.speak(word.term(), || Some(String::new()));
        assert_eq!(said(&word, &object).as_deref(), Some(""));
        word.speak(word.term(), || None);
        assert_eq!(said(&word, &object).as_deref(), Some("0@1"));
    }
}
