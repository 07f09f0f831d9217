use super::barrier::refuse_here;
use super::{Domain, Grace, Record, Wait};

fn poll(domain: &Domain, wait: &mut Wait) -> Grace {
    domain.poll(wait, u32::MAX)
}

/// Polls until the grace period has passed, or says why not.
fn wait_for(domain: &Domain, wait: &mut Wait) -> Grace {
    match poll(domain, wait) {
        Grace::Idle => {
            domain.quiesce(wait.ticket());
            poll(domain, wait)
        }
        grace => grace,
    }
}

fn read(domain: &Domain, record: &Record) {
    drop(record.pin(domain));
}

#[test]
fn a_lease_gets_the_lowest_number_that_is_free() {
    let domain = Domain::new();
    let records: Vec<_> = (0..1_000).map(|_| domain.lease()).collect();
    assert!(records.iter().map(|it| it.index).eq(0..1_000));
    for index in [700, 3, 64, 999] {
        domain.release(records[index]);
    }
    let again: Vec<_> = (0..5).map(|_| domain.lease().index).collect();
    assert_eq!(again, [3, 64, 700, 999, 1_000]);
}

#[test]
fn polls_go_on_where_they_stopped() {
    let domain = Domain::new();
    let records: Vec<_> = (0..500).map(|_| domain.lease()).collect();
    for record in &records {
        read(&domain, record);
    }
    let pins = [100, 400].map(|index| records[index].pin(&domain));
    let mut wait = domain.seal();
    let looks = |polls: u64, wait: &mut Wait| {
        let before = domain.looks();
        for _ in 0..polls {
            assert_eq!(poll(&domain, wait), Grace::Busy);
        }
        domain.looks() - before
    };
    assert_eq!(looks(1, &mut wait), 101);
    assert_eq!(looks(50, &mut wait), 50);
    let [first, last] = pins;
    drop(first);
    assert_eq!(looks(1, &mut wait), 301);
    assert_eq!(looks(50, &mut wait), 50);
    drop(last);
    assert_eq!(wait_for(&domain, &mut wait), Grace::Passed);
    // Who reads again later is not waited for.
    let _pin = records[0].pin(&domain);
    assert_eq!(wait_for(&domain, &mut wait), Grace::Passed);
}

#[test]
fn a_poll_looks_at_as_many_records_as_it_is_to() {
    let domain = Domain::new();
    for _ in 0..200 {
        read(&domain, domain.lease());
    }
    let mut wait = domain.seal();
    let mut polls = 1;
    while domain.poll(&mut wait, 10) == Grace::Unknown {
        assert_eq!(domain.looks(), 10 * polls);
        polls += 1;
    }
    assert!((20..=30).contains(&polls), "{polls}");
}

#[test]
fn an_idle_thread_is_asked_once() {
    let domain = Domain::new();
    let (idle, other) = (domain.lease(), domain.lease());
    read(&domain, idle);
    let mut wait = domain.seal();
    assert_eq!(wait_for(&domain, &mut wait), Grace::Passed);
    for _ in 0..10 {
        read(&domain, other);
        let mut wait = domain.seal();
        read(&domain, other);
        assert_eq!(poll(&domain, &mut wait), Grace::Passed);
    }
    let pin = idle.pin(&domain);
    let mut wait = domain.seal();
    assert_eq!(wait_for(&domain, &mut wait), Grace::Busy);
    drop(pin);
    assert_eq!(wait_for(&domain, &mut wait), Grace::Passed);
}

/// Also a thread that has been idle since before the call was refused, and one that is inside at that time.
#[test]
fn idle_threads_hold_nothing_up_when_the_barrier_is_refused() {
    let domain = Domain::new();
    let (idle, parked, other) = (domain.lease(), domain.lease(), domain.lease());
    for record in [idle, parked, other] {
        read(&domain, record);
    }
    let mut wait = domain.seal();
    assert_eq!(wait_for(&domain, &mut wait), Grace::Passed);
    for record in [idle, parked, other] {
        read(&domain, record);
    }
    let pin = parked.pin(&domain);
    refuse_here(true);
    let mut wait = domain.seal();
    // The parked one's read goes on for as long as it likes.
    for _ in 0..100 {
        read(&domain, other);
        assert_eq!(wait_for(&domain, &mut wait), Grace::Busy);
    }
    drop(pin);
    // Some milliseconds until what is on its way has arrived.
    while wait_for(&domain, &mut wait) != Grace::Passed {
        std::thread::yield_now();
    }
    // From now on every pin announces, and nobody who is idle has to be asked.
    for _ in 0..10 {
        for record in [idle, parked, other] {
            read(&domain, record);
        }
        let mut wait = domain.seal();
        assert_eq!(poll(&domain, &mut wait), Grace::Passed);
        let pin = idle.pin(&domain);
        assert_eq!(poll(&domain, &mut domain.seal()), Grace::Busy);
        let nested = idle.pin(&domain);
        drop(nested);
        assert_eq!(poll(&domain, &mut domain.seal()), Grace::Busy);
        drop(pin);
    }
    refuse_here(false);
}
