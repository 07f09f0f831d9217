//! What a plain LRU of the same size would hold of a sample of the keys, so that the policy knows where that is better.
//!
//! The sample is chosen by the keys' hashes (as in SHARDS: Waldspurger et al., *Efficient MRC Construction with SHARDS*, FAST
//! 2015). Nothing is written when one of its keys is read: the stamps tell, once the sample's patrol comes to the entry. An LRU
//! holds those keys, of the entries and of the ghosts, that were used last: as many as there are entries. How many were last used in each era
//! is counted, and so the *boundary* is known, the era before which an LRU's entries were evicted.
//!
//! A *gain* is a hit of an entry that an LRU would not have had any more; a *regret* is a miss of a key that it would have had.

use super::super::list::Members;

/// Of how many eras the uses are counted: an entry of the sample counts as used in the last quarter of them, a ghost in all of them.
const HORIZON: u64 = 256;
/// The sample has at least so many of the keys that a shard is expected to hold, and less than twice as many.
const SAMPLE: usize = 32;
/// Entries of the sample that are looked at when one of its keys comes: so each is seen several times before it can leave an LRU unseen.
const PATROL: usize = 4;
/// No more entries than this in a sample, however many a shard has.
pub(super) const MOST: usize = (1 << 15) - 2;

/// An entry of the sample.
#[derive(Debug, Clone, Copy)]
struct Sampled {
    id: u32,
    /// Whether an LRU has evicted it since its last use.
    evicted: bool,
    /// Of its last use, as far as that is known.
    era: u64,
}

/// The shadow of one shard. Guarded by the shard's lock.
#[derive(Debug)]
pub(crate) struct Shadow {
    sample: Vec<Sampled>,
    /// Who is looked at next.
    hand: usize,
    /// The bits that the tags of the sample's keys have.
    bits: u16,
    /// The latest era that is counted.
    now: u64,
    /// An LRU holds what was used later than this.
    boundary: u64,
    /// How many keys those are.
    held: u32,
    /// Keys by the era of their last use, modulo the horizon.
    used: Box<[u32; HORIZON as usize]>,
}

impl Shadow {
    /// For a shard that is expected to hold so many keys.
    pub(crate) fn new(expected: usize) -> Self {
        let one_in = (expected / SAMPLE).clamp(1, 1 << 15);
        Self {
            sample: Vec::new(),
            hand: 0,
            bits: ((1_u32 << one_in.ilog2()) - 1) as u16,
            now: 0,
            boundary: 0,
            held: 0,
            used: Box::new([0; HORIZON as usize]),
        }
    }

    /// The bits that the tags of the sample's keys have.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn bits(&self) -> u16 {
        self.bits
    }

    /// How many entries are in the sample.
    pub(crate) fn len(&self) -> usize {
        self.sample.len()
    }

    /// Goes on to an era.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn advance(&mut self, now: u64) {
        if now != self.now {
            self.advance_to(now);
        }
    }

    fn advance_to(&mut self, now: u64) {
        if now - self.now >= HORIZON {
            self.used.fill(0);
            (self.held, self.boundary) = (0, now);
        } else {
            for era in self.now + 1..=now {
                self.raise(era.saturating_sub(HORIZON / 2));
                // Counts so far what was used a horizon ago.
                self.used[(era % HORIZON) as usize] = 0;
            }
        }
        self.now = now;
        self.settle();
    }

    /// Looks at some entries of the sample. Returns the gains.
    pub(crate) fn patrol(&mut self, members: impl Members) -> i32 {
        let mut gains = 0;
        for _ in 0..PATROL.min(self.sample.len()) {
            if self.hand >= self.sample.len() {
                self.hand = 0;
            }
            gains += i32::from(self.look(self.hand, members));
            self.hand += 1;
        }
        gains
    }

    /// A key of the sample was missed that has a ghost of this era. Says whether an LRU would have had it.
    pub(crate) fn missed(&mut self, era: u64) -> bool {
        let held = era > self.boundary;
        self.uncount(era);
        self.settle();
        held
    }

    /// A key of the sample has become a ghost.
    pub(crate) fn remember(&mut self, era: u64) {
        self.count(era);
        self.settle();
    }

    /// The ghost of a key of the sample has gone.
    pub(crate) fn forget(&mut self, era: u64) {
        self.uncount(era);
        self.settle();
    }

    /// Adds an entry that is used now; returns its place, unless the sample is full.
    pub(crate) fn add(&mut self, id: u32) -> Option<usize> {
        if self.sample.len() >= MOST {
            return None;
        }
        self.count(self.now);
        self.sample.push(Sampled {
            id,
            evicted: false,
            era: self.now,
        });
        self.settle();
        Some(self.sample.len() - 1)
    }

    /// Takes an entry out; returns whether that shows a gain, and the id of the entry that has its place now.
    pub(crate) fn take(&mut self, place: usize, members: impl Members) -> (bool, Option<u32>) {
        let gain = self.look(place, members);
        let Sampled { era, .. } = self.sample.swap_remove(place);
        self.uncount(era);
        self.settle();
        (gain, self.sample.get(place).map(|moved| moved.id))
    }

    /// Looks at an entry's stamp. Says whether it shows a gain.
    fn look(&mut self, place: usize, members: impl Members) -> bool {
        let Sampled { id, evicted, era } = self.sample[place];
        let (last, _) = members.member(id).stamp.last_use(self.now);
        let floor = self.now.saturating_sub(HORIZON / 4);
        if last <= era && era >= floor {
            self.sample[place].evicted |= era <= self.boundary;
            return false;
        }
        let known = last.min(self.now).max(floor);
        self.uncount(era);
        self.count(known);
        let used = last > era;
        self.sample[place] = Sampled {
            id,
            evicted: known <= self.boundary || evicted && !used,
            era: known,
        };
        used && evicted
    }

    fn count(&mut self, era: u64) {
        if self.is_counted(era) {
            self.used[(era % HORIZON) as usize] += 1;
            self.held += u32::from(era > self.boundary);
        }
    }

    /// What is not counted any more, as its era is too long ago, needs nothing.
    fn uncount(&mut self, era: u64) {
        let used = &mut self.used[(era % HORIZON) as usize];
        if era <= self.now && self.now - era < HORIZON && *used > 0 {
            *used -= 1;
            self.held -= u32::from(era > self.boundary);
        }
    }

    fn is_counted(&self, era: u64) -> bool {
        era <= self.now && self.now - era < HORIZON
    }

    /// Moves the boundary to where as many keys were used later as the sample has entries.
    fn settle(&mut self) {
        let size = self.sample.len() as u32;
        let oldest = self.now.saturating_sub(HORIZON / 2);
        while self.held > size {
            self.raise(self.boundary + 1);
        }
        while self.boundary > oldest {
            let more = self.used[(self.boundary % HORIZON) as usize];
            if self.held + more > size {
                break;
            }
            self.held += more;
            self.boundary -= 1;
        }
    }

    /// Moves the boundary to an era, unless it is later already.
    fn raise(&mut self, to: u64) {
        while self.boundary < to {
            self.boundary += 1;
            self.held -= self.used[(self.boundary % HORIZON) as usize];
        }
    }

    /// Checks the counts. `place_of` says where an entry believes to be.
    ///
    /// # Panics
    /// If they are wrong.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self, place_of: impl Fn(u32) -> Option<usize>) {
        for (place, sampled) in self.sample.iter().enumerate() {
            assert_eq!(place_of(sampled.id), Some(place));
        }
        let oldest = self.now.saturating_sub(HORIZON / 2);
        assert!((oldest..=self.now).contains(&self.boundary));
        let later = self.boundary + 1..=self.now;
        let held: u32 = later.map(|era| self.used[(era % HORIZON) as usize]).sum();
        assert_eq!(held, self.held);
        assert!(held as usize <= self.sample.len());
        for &Sampled { era, .. } in &self.sample {
            if self.is_counted(era) {
                assert!(self.used[(era % HORIZON) as usize] > 0, "era {era}");
            }
        }
    }
}
