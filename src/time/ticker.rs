//! The thread of a ticking clock.

use super::coarse::precise_millis;
use super::epoch::Epoch;
use super::packed::Passed;
use crate::sync::{AtomicBool, AtomicU32, Ordering};
use std::process;
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

/// See the module. Dropped, it ends the thread.
#[derive(Debug)]
pub(super) struct Ticker {
    hands: Arc<Hands>,
    /// That of the process that made the clock; a later one ends when it next wakes up.
    thread: OnceLock<Thread>,
    /// The process that has a thread: the child of a fork starts its own.
    process: AtomicU32,
}

/// What the thread works with.
#[derive(Debug)]
struct Hands {
    passed: Arc<Passed>,
    epoch: Epoch,
    resolution: Duration,
    /// By how many milliseconds the thread may be late before somebody else sees to it.
    patience: u64,
    ended: AtomicBool,
}

impl Ticker {
    /// A thread that moves `passed` on every `resolution`. Where it cannot be started, `passed` stays strict.
    pub(super) fn start(passed: Arc<Passed>, epoch: Epoch, resolution: Duration) -> Self {
        let resolution = resolution.max(Duration::from_millis(1));
        let millis = u64::try_from(resolution.as_millis()).unwrap_or(u64::MAX);
        let ticker = Self {
            hands: Arc::new(Hands {
                passed,
                epoch,
                resolution,
                patience: millis.saturating_mul(2).saturating_add(10),
                ended: AtomicBool::new(false),
            }),
            thread: OnceLock::new(),
            process: AtomicU32::new(process::id()),
        };
        let hands = &ticker.hands;
        hands.passed.start_at(hands.now());
        if let Some(thread) = hands.spawn() {
            let _ = ticker.thread.set(thread);
        }
        ticker
    }

    /// Gives `now` back, having moved the others' time on to it if the thread has not.
    #[inline(always)]
    pub(super) fn check(&self, now: u64) -> u64 {
        let behind = now.saturating_sub(self.hands.passed.millis());
        if behind > self.hands.patience {
            self.catch_up(now);
        }
        now
    }

    #[cold]
    fn catch_up(&self, now: u64) {
        self.hands.passed.move_to(now);
        let here = process::id();
        // Relaxed: whoever changes it, and nobody else, starts the process's thread.
        if self.process.swap(here, Ordering::Relaxed) != here {
            self.hands.spawn();
        }
    }

    /// What holds of the thread as long as it runs.
    #[cfg(test)]
    fn alive(&self) -> std::sync::Weak<Hands> {
        Arc::downgrade(&self.hands)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `run`, and need not: it orders nothing.
        self.hands.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl Hands {
    /// Starts a thread; makes the time strict if there is none to be had.
    fn spawn(self: &Arc<Self>) -> Option<Thread> {
        let hands = Arc::clone(self);
        let builder = thread::Builder::new().name("nori-cache-clock".to_owned());
        match builder.spawn(move || hands.run()) {
            Ok(started) => Some(started.thread().clone()),
            Err(_) => {
                self.passed.make_strict();
                None
            }
        }
    }

    fn now(&self) -> u64 {
        self.epoch.reading(precise_millis())
    }

    fn run(&self) {
        // Acquire: pairs with the Release in `drop`.
        while !self.ended.load(Ordering::Acquire) {
            self.passed.move_to(self.now());
            thread::park_timeout(self.resolution);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Weak;

    fn start(resolution: Duration) -> (Arc<Passed>, Ticker) {
        let passed = Arc::new(Passed::strict());
        let epoch = Epoch::at(precise_millis());
        let ticker = Ticker::start(Arc::clone(&passed), epoch, resolution);
        assert!(!passed.is_strict());
        (passed, ticker)
    }

    /// Waits until the thread has ended, which nothing else keeps from it.
    fn ends(hands: &Weak<Hands>) {
        while hands.strong_count() > 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn time_passes_and_the_thread_ends_with_its_last_user() {
        let (passed, ticker) = start(Duration::ZERO);
        let first = passed.millis();
        while passed.millis() < first + 3 {
            thread::yield_now();
        }
        // One that has just gone to sleep for ever is woken up.
        let (_, other) = start(Duration::MAX);
        for ticker in [ticker, other] {
            let hands = ticker.alive();
            drop(ticker);
            ends(&hands);
        }
    }

    /// A writer's look at the clock moves the time on when the thread has not, and only then.
    #[test]
    fn a_thread_that_has_fallen_behind_is_noticed() {
        let (passed, ticker) = start(Duration::from_secs(1 << 20));
        let start = ticker.hands.now();
        let late = start + ticker.hands.patience + 1_000;
        assert_eq!(ticker.check(start + 1), start + 1);
        assert!(passed.millis() < late);
        assert_eq!(ticker.check(late), late);
        assert_eq!(passed.millis(), late);
    }
}
