//! Keys whose `Hash` and `Eq` break every rule: the cache may answer nonsense, but it stays whole.

use super::{Cache, Update};
use equivalent::Equivalent;
use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const MAX_KEYS: usize = 300;
const KEYS: u64 = 450;
const THREADS: u64 = 3;
const OPERATIONS: usize = 2_000;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Hashes {
    Honest,
    Few,
    Same,
    Random,
    /// Sometimes that of another key.
    Drifting,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Equals {
    Honest,
    Always,
    Never,
    Random,
    Asymmetric,
    Panics,
    /// Calls the cache.
    Reenters,
}

const HASHES: [Hashes; 5] = [
    Hashes::Honest,
    Hashes::Few,
    Hashes::Same,
    Hashes::Random,
    Hashes::Drifting,
];
const EQUALS: [Equals; 7] = [
    Equals::Honest,
    Equals::Always,
    Equals::Never,
    Equals::Random,
    Equals::Asymmetric,
    Equals::Panics,
    Equals::Reenters,
];

thread_local! {
    static RANDOM: Cell<u64> = const { Cell::new(1) };
    static RULES: Cell<(Hashes, Equals)> = const { Cell::new((Hashes::Honest, Equals::Honest)) };
    /// The cache that keys call.
    static CALLED: RefCell<Option<Subject>> = const { RefCell::new(None) };
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Xorshift (Marsaglia, 2003).
fn random() -> u64 {
    let mut x = RANDOM.get();
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    RANDOM.set(x);
    x
}

fn below(bound: u64) -> u64 {
    (random() >> 8) % bound
}

fn hash_of<H: Hasher>(id: u64, state: &mut H) {
    let hashed = match RULES.get().0 {
        Hashes::Honest => id,
        Hashes::Few => id % 3,
        Hashes::Same => 0,
        Hashes::Random => random(),
        Hashes::Drifting => {
            if below(4) == 0 {
                below(KEYS)
            } else {
                id
            }
        }
    };
    hashed.hash(state);
}

fn equals(one: u64, other: u64) -> bool {
    match RULES.get().1 {
        Equals::Honest => one == other,
        Equals::Always => true,
        Equals::Never => false,
        Equals::Random => below(2) == 0,
        Equals::Asymmetric => one <= other,
        Equals::Panics => {
            if below(8) == 0 {
                // Without a word to the panic hook: some thousand of them are of no interest.
                resume_unwind(Box::new("user code"));
            }
            one == other
        }
        Equals::Reenters => {
            reenter();
            one == other
        }
    }
}

fn reenter() {
    if below(4) != 0 || INSIDE.replace(true) {
        return;
    }
    let cache = CALLED.with_borrow(Clone::clone);
    if let Some(cache) = cache {
        let key = Key(below(KEYS));
        match below(4) {
            0 => _ = cache.insert(key, 0),
            1 => drop(cache.remove(&key)),
            2 => cache.retain(|_, value| value % 7 != 0),
            _ => drop(cache.get(&key)),
        }
    }
    INSIDE.set(false);
}

type Subject = Cache<Key, u64, Crowds>;

/// Hashes of a few crowds, so that buckets overflow, and of one tag, so that keys are compared with those of other hashes.
#[derive(Debug, Clone, Copy)]
struct Crowds;

impl BuildHasher for Crowds {
    type Hasher = Crowd;

    fn build_hasher(&self) -> Crowd {
        Crowd(ahash::RandomState::with_seeds(1, 2, 3, 4).build_hasher())
    }
}

struct Crowd(ahash::AHasher);

impl Hasher for Crowd {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn finish(&self) -> u64 {
        const CROWDS: u64 = 24;
        let hash = self.0.finish();
        let bucket = hash % CROWDS * ((1 << 18) / CROWDS) + hash / CROWDS % 64;
        let fragment = bucket << 8 | 1;
        // What the store's multiplication makes that fragment of.
        (fragment << 38).wrapping_mul(0xf1de_83e1_9937_733d)
    }
}

#[derive(Debug, Clone)]
struct Key(u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_of(self.0, state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        equals(self.0, other.0)
    }
}

impl Eq for Key {}

/// What disagrees with the keys it stands for.
struct Query(u64);

impl Hash for Query {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0 / 2).hash(state);
    }
}

impl Equivalent<Key> for Query {
    fn equivalent(&self, key: &Key) -> bool {
        equals(self.0, key.0) || below(4) == 0
    }
}

fn operate(cache: &Subject) {
    let id = below(KEYS);
    match below(40) {
        0..=19 => _ = cache.insert(Key(id), id),
        20..=24 => _ = cache.insert_with_ttl(Key(id), id, Duration::from_millis(1 + below(3))),
        25 => drop(cache.get(&Query(id))),
        26 | 27 => drop(cache.remove(&Key(id))),
        28 => drop(cache.take(&Query(id))),
        29 => drop(cache.get_many(&[Key(id), Key(id + 1)])),
        30 => cache.retain(|_, value| value % 50 != 0),
        _ => {
            let change = match below(3) {
                0 => Update::Remove,
                1 => Update::Keep,
                _ => Update::Set(id),
            };
            cache.update(Key(id), |_| change);
        }
    }
}

/// All kinds of keys, several threads at once; then the same cache with honest ones.
#[test]
fn keys_that_break_the_rules_break_no_shard() {
    let locked = AtomicUsize::new(0);
    for (round, (&hashes, &equals)) in HASHES
        .iter()
        .flat_map(|hashes| EQUALS.iter().map(move |equals| (hashes, equals)))
        .enumerate()
    {
        let cache: Subject = Cache::builder()
            .max_keys(MAX_KEYS)
            .shards(4)
            .hasher(Crowds)
            .build()
            .unwrap();
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (cache, locked) = (cache.clone(), &locked);
                scope.spawn(move || {
                    RANDOM.set(0x9e37_79b9 + round as u64 * THREADS + thread);
                    RULES.set((hashes, equals));
                    CALLED.set(Some(cache.clone()));
                    for _ in 0..OPERATIONS {
                        let outcome = catch_unwind(AssertUnwindSafe(|| operate(&cache)));
                        INSIDE.set(false);
                        if let Err(payload) = outcome {
                            let text = payload.downcast_ref::<&str>().copied();
                            let ours = text.is_some_and(|text| text == "user code");
                            locked.fetch_add(usize::from(!ours), Ordering::Relaxed);
                        }
                        assert!(cache.len() <= MAX_KEYS);
                    }
                    CALLED.set(None);
                });
            }
        });
        assert_eq!(
            locked.load(Ordering::Relaxed),
            0,
            "panics that are not the user's, {hashes:?}, {equals:?}"
        );
        cache.inner.store.validate();
        cache.clear();
        assert_eq!(cache.len(), 0, "{hashes:?}, {equals:?}");
        // Every token is back: as many keys as ever find room, and no more.
        for id in 0..KEYS {
            cache.insert(Key(id), id);
            assert_eq!(cache.get(&Key(id)), Some(id));
            assert_eq!(cache.len(), MAX_KEYS.min(id as usize + 1));
        }
        cache.inner.store.validate();
    }
}
