//! Loads that failed lately: those that are not to be tried again for a while, and what they failed with.
//!
//! In this process, and in bounded memory: there are two generations, and a full one replaces the older. What is forgotten early is
//! only tried again early.

use super::Scope;
use crate::sync::{AtomicUsize, Mutex, Ordering};
use std::collections::HashMap;
use std::sync::Arc;

/// How many a generation holds.
pub(crate) const GENERATION: usize = 1024;

/// A load that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// When, in milliseconds of the day's time.
    pub(crate) at: u64,
    /// What it failed with.
    pub(crate) text: Arc<str>,
}

type Generation = HashMap<Box<str>, Failure, ahash::RandomState>;

/// Keys whose last load failed.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// How many there may be. At zero, nobody need look.
    count: AtomicUsize,
    generations: Mutex<[Generation; 2]>,
}

impl Failures {
    /// The failure of a key's last load, if that failed.
    #[inline]
    pub(crate) fn last(&self, key: &str) -> Option<Failure> {
        if self.is_empty() {
            return None;
        }
        let generations = self.generations.lock();
        let mut found = generations.iter().filter_map(|failed| failed.get(key));
        found.next().cloned()
    }

    pub(crate) fn note(&self, key: &str, failure: Failure) {
        let mut generations = self.generations.lock();
        let mut old = None;
        if generations[0].len() >= GENERATION && !generations[0].contains_key(key) {
            generations.swap(0, 1);
            old = Some(std::mem::take(&mut generations[0]));
        }
        generations[1].remove(key);
        generations[0].insert(key.into(), failure);
        self.recount(&generations);
        drop(generations);
        drop(old);
    }

    /// Forgets what a write or a load that succeeded makes void.
    #[inline]
    pub(crate) fn forget(&self, scope: Scope<'_>) {
        if !self.is_empty() {
            self.forget_slow(scope);
        }
    }

    #[cold]
    fn forget_slow(&self, scope: Scope<'_>) {
        let mut generations = self.generations.lock();
        for failed in generations.iter_mut() {
            match scope {
                Scope::Key(key) => {
                    failed.remove(key);
                }
                Scope::Keys(keys) => keys.iter().for_each(|key| {
                    failed.remove(*key);
                }),
                Scope::All => failed.clear(),
            }
        }
        self.recount(&generations);
    }

    fn is_empty(&self) -> bool {
        // Relaxed: a caller beside a load that fails may come before it.
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Under the lock.
    fn recount(&self, generations: &[Generation; 2]) {
        let count = generations.iter().map(HashMap::len).sum();
        // Relaxed: as in `is_empty`.
        self.count.store(count, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(nori_loom)))]
mod tests {
    use super::*;

    fn failure(at: u64) -> Failure {
        Failure {
            at,
            text: "down".into(),
        }
    }

    #[test]
    fn the_last_is_remembered_until_it_is_void() {
        let failures = Failures::default();
        assert_eq!(failures.last("a"), None);
        for key in ["a", "b", "c", "d"] {
            failures.note(key, failure(1));
        }
        failures.note("a", failure(2));
        assert_eq!(failures.last("a"), Some(failure(2)));
        failures.forget(Scope::Key("a"));
        assert_eq!(failures.last("a"), None);
        failures.forget(Scope::Keys(&["b", "c", "x"]));
        assert_eq!((failures.last("b"), failures.last("c")), (None, None));
        assert_eq!(failures.last("d"), Some(failure(1)));
        failures.forget(Scope::All);
        assert!(failures.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_the_latest_stay() {
        let failures = Failures::default();
        let many = 5 * GENERATION as u64;
        for n in 0..many {
            failures.note(&n.to_string(), failure(n));
            // One that fails again and again takes one place.
            failures.note("again", failure(n));
        }
        let count = failures.count.load(Ordering::Relaxed);
        assert!((GENERATION..=2 * GENERATION).contains(&count), "{count}");
        assert_eq!(failures.last("again"), Some(failure(many - 1)));
        for n in many - GENERATION as u64 / 2..many {
            assert_eq!(failures.last(&n.to_string()), Some(failure(n)));
        }
        assert_eq!(failures.last("0"), None);
    }
}
