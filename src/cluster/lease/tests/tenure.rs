//! Whose last word counts where the number of shards changes: others decide in between, and say nothing here.

use super::*;

fn above(tenure: &str) -> watch::Receiver<Leadership> {
    watch::Sender::new(Leadership::Leading {
        until: Instant::now() + Duration::from_secs(1_000),
        above: None,
        former: None,
        word: LastWord::default(),
        tenure: tenure.into(),
    })
    .subscribe()
}

/// A shard's process in this tenure, that says `word`, from start to clean stop; gives what it was told.
async fn shard(
    server: &Server,
    candidate: usize,
    tenure: &str,
    word: Option<&'static str>,
) -> Option<Option<Arc<str>>> {
    let settings = LeaseSettings::new("trimtab", "trimtab-shard-0", format!("candidate-{candidate}"));
    let (lease, leadership) = Lease::new(server.client(candidate), settings, Arc::new(SystemClock));
    let stop = CancellationToken::new();
    let task = tokio::spawn(lease.under(above(tenure)).run(stop.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let Leadership::Leading { former, word: last, .. } = leadership.borrow().clone() else {
        panic!("it leads");
    };
    if let Some(word) = word {
        last.speak(last.term(), move || Some(word.to_owned()));
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    stop.cancel();
    task.await.unwrap();
    former.map(|former| former.word)
}

#[tokio::test(start_paused = true)]
async fn a_word_of_another_tenure_is_forgotten_and_one_of_the_same_is_heard() {
    let server = Server::default();
    assert_eq!(shard(&server, 1, "3 shards", Some("0@1")).await, None);
    let said = |word: &str| Some(Some(word.into()));
    assert_eq!(
        shard(&server, 2, "3 shards", None).await,
        said("0@1"),
        "as it was found"
    );
    assert_eq!(shard(&server, 3, "2 shards", None).await, Some(None));
    // It ended before it could say anything: nothing is known then, either.
    assert_eq!(shard(&server, 4, "2 shards", Some("")).await, Some(None));
    assert_eq!(shard(&server, 5, "2 shards", None).await, said(""));
    assert_eq!(shard(&server, 6, "3 shards", None).await, Some(None));
}

#[tokio::test(start_paused = true)]
async fn a_process_for_all_forgets_what_was_said_before_there_were_shards() {
    let server = Server::default();
    let first = server.start(1);
    wait(1, &[&first], || first.leads()).await;
    let Leadership::Leading { word, .. } = first.leadership.borrow().clone() else {
        panic!("it leads");
    };
    word.speak(word.term(), || Some(String::new()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    first.stop.cancel();
    first.task.await.unwrap();

    let settings = LeaseSettings::new("trimtab", "trimtab", "3 shards");
    let (lease, leadership) = Lease::new(server.client(2), settings, Arc::new(SystemClock));
    let shards = tokio::spawn(lease.in_common().run(CancellationToken::new()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(leadership.borrow().leads(Instant::now()));
    shards.abort();

    let again = server.start(3);
    wait(20, &[&again], || again.leads()).await;
    let Leadership::Leading { former, .. } = again.leadership.borrow().clone() else {
        panic!("it leads");
    };
    assert_eq!(former.map(|former| former.word), Some(None));
}
