//! Whoever cannot renew stops before another one begins, whatever the wall clocks say.

use jiff::{SignedDuration, Timestamp};

use super::*;

/// A wall clock that is wrong, and can be set.
struct Wrong {
    started: Instant,
    offset: Mutex<SignedDuration>,
}

impl Wrong {
    fn by(offset: SignedDuration) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            offset: Mutex::new(offset),
        })
    }

    fn set(&self, offset: SignedDuration) {
        *self.offset.lock() = offset;
    }
}

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        let epoch: Timestamp = "2026-01-05T08:00:00Z".parse().unwrap();
        epoch + SignedDuration::try_from(self.started.elapsed()).unwrap() + *self.offset.lock()
    }
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Cuts the leader off, and gives how long it led on, and when the other one led; at no time both.
async fn cut_off(server: &Server, leader: (usize, &Candidate), other: &Candidate) -> (Duration, Duration) {
    let cut = Instant::now();
    server.0.lock().cut_off.push(leader.0);
    wait(16, &[leader.1, other], || !leader.1.leads()).await;
    let ended = cut.elapsed();
    wait(16, &[leader.1, other], || other.leads()).await;
    (ended, cut.elapsed())
}

#[tokio::test(start_paused = true)]
async fn clocks_that_differ_by_an_hour_and_are_set_meanwhile_make_no_difference() {
    let (zero, ahead, behind) = (SignedDuration::ZERO, HOUR, -HOUR);
    for (first_offset, second_offset) in [
        (zero, zero),
        (zero, ahead),
        (zero, behind),
        (ahead, behind),
        (behind, ahead),
    ] {
        let server = Server::default();
        let (first_clock, second_clock) = (Wrong::by(first_offset), Wrong::by(second_offset));
        let first = server.start_by(1, first_clock.clone());
        wait(1, &[&first], || first.leads()).await;
        let second = server.start_by(2, second_clock.clone());
        let both = [&first, &second];
        // Each clock is set forwards and backwards, far and near.
        for step in [
            ahead,
            behind,
            SignedDuration::from_secs(20),
            SignedDuration::from_secs(-20),
            zero,
        ] {
            for clock in [&first_clock, &second_clock] {
                clock.set(step);
                let until = Instant::now() + Duration::from_secs(37);
                wait(40, &both, || Instant::now() >= until).await;
                assert!(first.leads() && !second.leads(), "{step:?}");
            }
        }
        first_clock.set(first_offset);
        second_clock.set(second_offset);
        // Both are set back and forth also while the lead is lost.
        let setting = async {
            for step in [behind, ahead, zero, ahead, behind].into_iter().cycle().take(60) {
                tokio::time::sleep(Duration::from_millis(310)).await;
                first_clock.set(step);
                second_clock.set(-step);
            }
        };
        let ((ended, began), ()) = tokio::join!(cut_off(&server, (1, &first), &second), setting);
        assert!(ended <= Duration::from_millis(10_100), "{ended:?}");
        assert!(
            (Duration::from_secs(13)..=Duration::from_millis(15_700)).contains(&began),
            "{began:?}"
        );
        assert!(began - ended >= Duration::from_secs(3), "{ended:?}, {began:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_counts_is_the_time_when_a_renewal_was_sent() {
    let server = Server::default();
    let (first, _second) = leader_and_follower(&server).await;
    // However long an answer takes: at no time has the leader longer than the deadline, counted from its last request.
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(73)).await;
        let end = first.leadership.borrow().end().expect("it leads");
        assert!(end <= Instant::now() + Duration::from_secs(10));
        assert!(!first.leadership.borrow().leads(end), "not at its very end");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_watched_the_former_leader_knows_how_far_its_clock_is_off() {
    let (zero, near) = (SignedDuration::ZERO, SignedDuration::from_secs(2));
    for (offset, known) in [(HOUR, HOUR), (-HOUR, -HOUR), (near, zero), (zero, zero)] {
        for stops in [false, true] {
            let server = Server::default();
            let (its, ours) = (Wrong::by(zero), Wrong::by(offset));
            let first = server.start_by(1, its);
            wait(1, &[&first], || first.leads()).await;
            let second = server.start_by(2, ours.clone());
            tokio::time::sleep(Duration::from_secs(60)).await;
            if stops {
                first.stop.cancel();
                first.task.await.unwrap();
            } else {
                first.task.abort();
                wait(18, &[&second], || second.leads()).await;
            }
            wait(3, &[&second], || second.leads()).await;
            let former = former_of(&second);
            assert_eq!(&*former.identity, "candidate-1");
            let off = (former.ahead - known).as_secs_f64();
            assert!((0.0..1.0).contains(&off), "{off} s off, stops: {stops}");
            // Who comes when it is gone cannot know.
            second.task.abort();
            let third = server.start_by(3, ours);
            wait(18, &[&third], || third.leads()).await;
            assert_eq!(former_of(&third).ahead, zero);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn by_the_api_servers_clock_also_who_comes_later_knows_how_far_clocks_are_apart() {
    let (zero, near, minutes) = (
        SignedDuration::ZERO,
        SignedDuration::from_secs(1),
        SignedDuration::from_mins(7),
    );
    for (offset, known) in [(HOUR, HOUR), (-HOUR, -HOUR), (near, zero)] {
        let server = Server::default();
        // Its own clock is wrong, too.
        server.0.lock().stamps = Some(Wrong::by(minutes));
        let (its, ours) = (Wrong::by(zero), Wrong::by(offset));
        let first = server.start_by(1, its);
        wait(1, &[&first], || first.leads()).await;
        tokio::time::sleep(Duration::from_millis(60_300)).await;
        first.task.abort();
        tokio::time::sleep(Duration::from_millis(600_400)).await;
        let second = server.start_by(2, ours);
        wait(18, &[&second], || second.leads()).await;
        let former = former_of(&second);
        // Stamps are whole seconds, and what is moved is moved by one more.
        let off = (former.ahead - known).as_secs_f64();
        assert!((0.0..2.1).contains(&off), "{off} s off");
        let of_server = former.ahead_of_server.expect("it notes its times") - (offset - minutes);
        assert!((0.0..1.1).contains(&of_server.as_secs_f64()), "{of_server:?} off");
    }
}

fn former_of(candidate: &Candidate) -> Former {
    match &*candidate.leadership.borrow() {
        Leadership::Leading { former, .. } => former.clone().expect("somebody led before"),
        Leadership::Following { .. } => panic!("it does not lead"),
    }
}
