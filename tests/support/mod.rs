//! What several test files share: a drop census, a watchdog, a small generator, small caches.

// Each test file is a crate of its own and uses only some of this.
#![allow(dead_code)]

pub mod sealed;

use std::any::Any;
use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nori_cache::Cache;
// Not std's: its lock is precompiled, and the thread sanitizer would not see it.
use parking_lot::{Mutex, MutexGuard};

/// Counts births and drops of [`Counted`]s, and notices one that is dropped twice.
#[derive(Clone, Copy)]
pub struct Census(&'static Mutex<Ledger>);

#[derive(Default)]
struct Ledger {
    born: u64,
    alive: HashSet<u64>,
    dropped_twice: u64,
}

impl Census {
    pub fn new() -> Self {
        // Ledgers stay for ever, where leak checkers see them: a second drop of the same bits must find one to be
        // recorded in.
        static LEDGERS: Mutex<Vec<&Mutex<Ledger>>> = Mutex::new(Vec::new());
        let ledger = Box::leak(Box::default());
        LEDGERS.lock().push(ledger);
        Self(ledger)
    }

    pub fn counted(self, tag: u64) -> Counted {
        let mut ledger = self.ledger();
        let id = ledger.born;
        ledger.born += 1;
        ledger.alive.insert(id);
        Counted {
            id,
            tag,
            census: self,
        }
    }

    pub fn born(self) -> u64 {
        self.ledger().born
    }

    /// How many are alive. Fails if any was dropped twice.
    #[track_caller]
    pub fn alive(self) -> usize {
        let ledger = self.ledger();
        let (alive, dropped_twice) = (ledger.alive.len(), ledger.dropped_twice);
        drop(ledger);
        assert_eq!(dropped_twice, 0, "values dropped more than once");
        alive
    }

    fn ledger(self) -> MutexGuard<'static, Ledger> {
        self.0.lock()
    }
}

/// A key or a value that its [`Census`] keeps track of. Equality, hash and `Borrow<u64>` go by `tag`.
pub struct Counted {
    id: u64,
    pub tag: u64,
    census: Census,
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.census.counted(self.tag)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut ledger = self.census.ledger();
        if !ledger.alive.remove(&self.id) {
            ledger.dropped_twice += 1;
        }
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.tag == other.tag
    }
}

impl Eq for Counted {}

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tag.hash(state);
    }
}

impl Borrow<u64> for Counted {
    fn borrow(&self) -> &u64 {
        &self.tag
    }
}

/// Drops are prompt when nobody reads: the tests of a file take turns, so that no reader of another test is in the way.
pub fn quiet() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock()
}

/// A cache with string keys.
pub fn cache<V>(max_keys: usize) -> Cache<String, V> {
    Cache::builder().max_keys(max_keys).build().unwrap()
}

/// A cache of `u64 → u64` that holds `n → 10 * n` for each `n` of `keys`.
pub fn tens(keys: std::ops::Range<u64>) -> Cache<u64, u64> {
    let cache = Cache::new(1_000);
    for n in keys {
        cache.insert(n, 10 * n);
    }
    cache
}

/// Runs `body` on a thread of its own and fails if it has not come back in time: a deadlock shows as a failed test,
/// not as a run that never ends.
#[track_caller]
pub fn within<R: Send + 'static>(limit: Duration, body: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, result) = mpsc::channel();
    let runner = thread::spawn(move || {
        let outcome = body();
        // The receiver is gone only after a timeout, which has already failed the test.
        let _ = done.send(outcome);
    });
    match result.recv_timeout(limit) {
        Ok(outcome) => {
            runner.join().expect("the body has already returned");
            outcome
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("not done after {limit:?}: deadlock?"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match runner.join() {
            Err(payload) => std::panic::resume_unwind(payload),
            Ok(()) => unreachable!("a body that returns sends its outcome"),
        },
    }
}

/// The limit for [`within`] where any sound implementation needs a fraction of it, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Runs `f`, which must panic, and returns what it panicked with as text.
#[track_caller]
pub fn panics(f: impl FnOnce()) -> String {
    let payload: Box<dyn Any + Send> =
        catch_unwind(AssertUnwindSafe(f)).expect_err("the panic must reach the caller");
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

/// SplitMix64: the same numbers on every platform and every run.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Every key hashes to the same number.
#[derive(Clone, Copy, Default)]
pub struct Constant(pub u64);

/// An integer key hashes to itself: low entropy in whichever bits the cache looks at.
#[derive(Clone, Copy, Default)]
pub struct Identity;

pub struct ConstantHasher(u64);
pub struct IdentityHasher(u64);

impl BuildHasher for Constant {
    type Hasher = ConstantHasher;
    fn build_hasher(&self) -> ConstantHasher {
        ConstantHasher(self.0)
    }
}

impl BuildHasher for Identity {
    type Hasher = IdentityHasher;
    fn build_hasher(&self) -> IdentityHasher {
        IdentityHasher(0)
    }
}

impl Hasher for ConstantHasher {
    fn write(&mut self, _: &[u8]) {}
    fn finish(&self) -> u64 {
        self.0
    }
}

impl Hasher for IdentityHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 << 8) | u64::from(byte);
        }
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}
