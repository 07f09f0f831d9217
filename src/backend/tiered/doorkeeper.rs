//! [`Doorkeeper`]: which keys get a copy in a near tier that is full. Those that are missed twice within a while.
//!
//! The while is as many keys as there is room for: what does not come again before so many others have come would be driven out before it
//! is used. So a scan of many keys that are each read once drives nothing out, and costs neither a copy nor the question how long the
//! entry lives.
//!
//! Keys are remembered in a Bloom filter of eight bits for each, of which a key has two. When it has seen as many keys as there is room
//! for it begins anew. On average it takes one key in fifty for one that it knows: that one gets its copy at once. Threads need not agree on
//! any of this, as it is a guess what is worth its place.

use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// There are no more bits than this: a MiB.
const MOST_BITS: usize = 1 << 23;
const BITS_PER_KEY: usize = 8;

pub(super) struct Doorkeeper {
    /// Their number is a power of two.
    words: Box<[AtomicU64]>,
    /// How many keys were seen since it began anew.
    seen: AtomicUsize,
    most: usize,
}

impl Doorkeeper {
    /// For a tier with room for so many keys.
    pub(super) fn new(max_keys: usize) -> Self {
        let bits = max_keys.saturating_mul(BITS_PER_KEY);
        let bits = bits.clamp(64, MOST_BITS).next_power_of_two();
        let words = (0..bits / 64).map(|_| AtomicU64::new(0));
        Self {
            words: words.collect(),
            seen: AtomicUsize::new(0),
            most: max_keys.min(bits / BITS_PER_KEY),
        }
    }

    /// Whether the key of this hash was here before, and not long ago. It is known from now on.
    pub(super) fn knows(&self, hash: u64) -> bool {
        // Both, always: each is to be set.
        let known = self.mark(hash) & self.mark(hash.rotate_right(32));
        // Relaxed, both: guesses, see above.
        if !known && self.seen.fetch_add(1, Ordering::Relaxed) + 1 >= self.most {
            self.seen.store(0, Ordering::Relaxed);
            for word in &self.words {
                // Relaxed: as above.
                word.store(0, Ordering::Relaxed);
            }
        }
        known
    }

    /// Sets one of the bits, and says whether it was set before.
    fn mark(&self, hash: u64) -> bool {
        // Cut off: a mask is what is wanted.
        let bit = hash as usize & (self.words.len() * 64 - 1);
        let (word, bit) = (&self.words[bit / 64], 1 << (bit % 64));
        // Relaxed, both: as above. Most of what is known is only read.
        word.load(Ordering::Relaxed) & bit != 0 || word.fetch_or(bit, Ordering::Relaxed) & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(from: u64) -> impl Iterator<Item = u64> {
        let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
        (from..).map(move |key| hasher.hash_one(key))
    }

    #[test]
    fn who_comes_again_soon_is_known() {
        let doorkeeper = Doorkeeper::new(1_000);
        let mut taken_for_known = 0;
        for hash in hashes(0).take(998) {
            taken_for_known += u32::from(doorkeeper.knows(hash));
            assert!(doorkeeper.knows(hash));
        }
        assert!(taken_for_known < 50, "{taken_for_known} of 998");
        assert!(hashes(0).take(990).all(|hash| doorkeeper.knows(hash)));
    }

    #[test]
    fn who_comes_again_late_is_not() {
        let doorkeeper = Doorkeeper::new(1_000);
        for round in 0..10 {
            let known = hashes(0).take(10_000);
            let known = known.filter(|hash| doorkeeper.knows(*hash)).count();
            assert!(known < 500, "{known} of 10,000 in round {round}");
        }
    }

    #[test]
    fn one_place_is_for_nobody_and_many_take_no_more_memory_than_is_said() {
        let doorkeeper = Doorkeeper::new(1);
        for hash in hashes(0).take(100) {
            assert!(!doorkeeper.knows(hash) && !doorkeeper.knows(hash));
        }
        assert_eq!(Doorkeeper::new(usize::MAX).words.len() * 64, MOST_BITS);
    }
}
