//! A hierarchical timer wheel over the shard's entries, one tick a millisecond.
//!
//! Level `l` has 64 buckets of `64^l` ticks each (Varghese and Lauck, *Hashed and Hierarchical Timing Wheels*, SOSP 1987,
//! scheme 7). An entry is filed on the level of the highest bits in which its deadline differs from the wheel's own time,
//! so everything that lies ahead on a level is due before everything on the level above. Each bucket knows the earliest deadline
//! that it was given, and is spread over the levels below when that comes, not when the bucket's stretch of time begins: a
//! cache filled in one go has all its entries in one bucket for minutes, of which none is due. [`Wheel::poll`] spreads one entry
//! at a time, so that a caller bounds the work it lends; who has expired is taken out wherever it is met.
//!
//! # It is lazy
//!
//! An id stays filed when its entry leaves, and when a slot gets its next entry that one mostly is due later than the last:
//! then it may stay where it is, too early, and [`Wheel::poll`] files it again when it comes across it. So the wheel keeps
//! one promise only: *an id whose deadline lies ahead is filed under that deadline or an earlier one.*
//! In a cache that replaces its entries faster than they expire, writes hardly ever touch the wheel's memory.
//!
//! # One word a slot
//!
//! As hardly anything is taken out but by `poll`, which takes the first of a bucket, a bucket is a list that leads in one direction,
//! through a word in each slot ([`Timer`]). Where that will not do, the id gets a *node* beside it, in a list that leads in both:
//!
//! - The slot is filed already, and its next entry is due earlier than that. The word goes on to lead where it led; the node says
//!   where the id is filed earlier. It goes when the word's bucket comes.
//! - The slot may go away with its segment. Then it must be possible to take it out before.

use super::meta::NEVER;
use crate::sync::Guarded;

const BITS: u32 = 6;
const BUCKETS: u32 = 1 << BITS;
/// Enough for deadlines of 42 bits.
const LEVELS: u32 = 7;
/// No entry is due, ever.
pub(crate) const IDLE: u64 = u64::MAX;

#[cfg(test)]
thread_local! {
    /// How many ids this thread has met in wheels.
    pub(crate) static STEPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// A slot's word in the wheel. Guarded by the shard's lock.
///
/// | word | the slot is filed |
/// |---|---|
/// | an id, below `END` | in front of that id |
/// | `END` | last in its bucket |
/// | `NODE` and a number, below `NOWHERE` | as the node of this number says |
/// | `NOWHERE` | not at all |
#[derive(Debug)]
pub(crate) struct Timer(Guarded);

/// Ids are below this one.
pub(crate) const END: u32 = NODE - 1;
const NODE: u32 = 1 << 31;
const NOWHERE: u32 = u32::MAX;

impl Timer {
    pub(crate) fn new() -> Self {
        Self(Guarded::new(NOWHERE))
    }

    /// Whether the slot is filed by its own word, without a node.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        self.0.get() & NODE == 0
    }

    fn node(&self) -> Option<u32> {
        let word = self.0.get();
        (word & NODE != 0 && word != NOWHERE).then_some(word & !NODE)
    }
}

/// Where the wheel finds what an id stands for now.
pub(crate) trait Timed {
    /// The deadline, in milliseconds of the cache's clock, of the slot's entry, or of the last one that it had; [`NEVER`] if that
    /// has none. It may move at any time: further away by whoever reads the entry, to [`EXPIRED`](super::life::EXPIRED) by whoever finds that it has
    /// passed, and nearer by the lock's holder alone, who files it again.
    fn deadline(&self, id: u32) -> u64;

    /// The same of an entry in the cache, if that has not expired at the time `now`; if it has, it has for good.
    fn deadline_after(&self, id: u32, now: u64) -> Option<u64>;

    /// Whether the entry is in the cache.
    fn is_live(&self, id: u32) -> bool;

    fn timer(&self, id: u32) -> &Timer;

    /// Whether the slot stays as long as the wheel. Others are to be taken out before they go.
    fn is_lasting(&self, id: u32) -> bool;
}

/// The wheel of one shard.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// For each bucket the first id of the list through the slots' words, and the first node. Bucket `b` of level `l` has number
    /// `l * 64 + b`. Empty until the first entry with a deadline.
    buckets: Vec<Bucket>,
    nodes: Nodes,
    /// A bit for each bucket that may have entries; cleared when it turns out to be empty.
    occupied: [u64; LEVELS as usize],
    /// Nothing is filed under an earlier tick: what places on the levels are relative to.
    elapsed: u64,
    /// No entry is due before this tick.
    next_due: u64,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// The earliest deadline filed here, if the bucket is occupied; not before `elapsed`.
    due: u64,
    first: u32,
    first_node: u32,
}

/// Nodes for the slots that need one.
#[derive(Debug, Default)]
struct Nodes {
    nodes: Vec<Node>,
    /// The first of those that nobody has, which lead on with `next`.
    free: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    id: u32,
    /// What would be the slot's word without the node.
    word: u32,
    /// The deadline that the node is filed under; [`NEVER`] if it is not.
    tick: u64,
    /// The nodes in front of and behind it; in front of the first, the number of the bucket.
    prev: u32,
    next: u32,
}

/// In front of a bucket's first node stands the bucket's number, with this bit.
const BUCKET: u32 = NODE;

impl Wheel {
    pub(crate) fn new() -> Self {
        Self {
            buckets: Vec::new(),
            nodes: Nodes::default(),
            occupied: [0; LEVELS as usize],
            elapsed: 0,
            next_due: IDLE,
        }
    }

    /// A tick before which no entry is due; [`IDLE`] if there is none.
    #[inline(always)]
    pub(crate) fn next_due(&self) -> u64 {
        self.next_due
    }

    /// Whether an entry has to be filed: [`Wheel::file`] is to be called. `before` is the deadline of the entry that the slot had until
    /// now, or [`NEVER`].
    #[inline(always)]
    pub(crate) fn is_needed(timer: &Timer, deadline: u64, before: u64) -> bool {
        deadline != NEVER && (before > deadline || !timer.is_plain())
    }

    /// Files an entry under its deadline, which is not [`NEVER`].
    #[cold]
    pub(crate) fn file(&mut self, id: u32, deadline: u64, slots: &impl Timed) {
        let timer = slots.timer(id);
        let node = match timer.node() {
            None if timer.0.get() == NOWHERE && slots.is_lasting(id) => {
                return self.push(id, deadline, slots);
            }
            None => {
                let node = self.nodes.take(id, timer.0.get());
                timer.0.set(NODE | node);
                node
            }
            Some(node) if self.nodes.nodes[node as usize].tick <= deadline => return,
            Some(node) => node,
        };
        self.link(node, deadline);
    }

    /// Takes out the id of a slot that goes away.
    pub(crate) fn forget(&mut self, id: u32, slots: &impl Timed) {
        if let Some(node) = slots.timer(id).node() {
            self.drop_node(node, slots);
        }
    }

    /// Files an id by its slot's word, which leads nowhere.
    fn push(&mut self, id: u32, deadline: u64, slots: &impl Timed) {
        let bucket = self.bucket(deadline);
        slots.timer(id).0.set(bucket.first);
        bucket.first = id;
    }

    /// Files a node, in the place of where it is filed, if it is.
    fn link(&mut self, node: u32, deadline: u64) {
        self.unlink(node);
        let tick = deadline.max(self.elapsed);
        let number = self.number(tick);
        let bucket = self.bucket(deadline);
        let next = std::mem::replace(&mut bucket.first_node, node);
        let nodes = &mut self.nodes.nodes;
        if let Some(next) = nodes.get_mut(next as usize) {
            next.prev = node;
        }
        let it = &mut nodes[node as usize];
        it.tick = deadline;
        it.prev = BUCKET | number;
        it.next = next;
    }

    fn unlink(&mut self, node: u32) {
        let nodes = &mut self.nodes.nodes;
        let it = &mut nodes[node as usize];
        if it.tick == NEVER {
            return;
        }
        it.tick = NEVER;
        let (prev, next) = (it.prev, it.next);
        if let Some(next) = nodes.get_mut(next as usize) {
            next.prev = prev;
        }
        if prev & BUCKET != 0 {
            self.buckets[(prev & !BUCKET) as usize].first_node = next;
        } else {
            nodes[prev as usize].next = next;
        }
    }

    /// Gives a node back; the slot's word stands for itself again.
    fn drop_node(&mut self, node: u32, slots: &impl Timed) {
        self.unlink(node);
        let Node { id, word, .. } = self.nodes.nodes[node as usize];
        slots.timer(id).0.set(word);
        self.nodes.give_back(node);
    }

    /// The bucket for a deadline, where something is about to be filed.
    fn bucket(&mut self, deadline: u64) -> &mut Bucket {
        if self.buckets.is_empty() {
            let empty = Bucket {
                due: IDLE,
                first: END,
                first_node: NOWHERE,
            };
            self.buckets = vec![empty; (LEVELS * BUCKETS) as usize];
        }
        // A deadline that has passed is one of now.
        let deadline = deadline.max(self.elapsed);
        let number = self.number(deadline);
        let bucket = &mut self.buckets[number as usize];
        let occupied = &mut self.occupied[(number / BUCKETS) as usize];
        if *occupied >> (number % BUCKETS) & 1 == 0 {
            *occupied |= 1 << (number % BUCKETS);
            bucket.due = deadline;
        }
        bucket.due = deadline.min(bucket.due);
        self.next_due = self.next_due.min(deadline);
        bucket
    }

    /// Takes out and returns an entry whose deadline is at or before `now`, if there is one and `work` suffices: each
    /// id that is taken out or moved costs 1.
    #[inline(always)]
    pub(crate) fn poll(&mut self, now: u64, work: &mut u32, slots: &impl Timed) -> Option<u32> {
        if now < self.next_due {
            return None;
        }
        self.poll_slow(now, work, slots)
    }

    #[cold]
    fn poll_slow(&mut self, now: u64, work: &mut u32, slots: &impl Timed) -> Option<u32> {
        while *work > 0 {
            let earliest = self.earliest();
            self.next_due = earliest.map_or(IDLE, |(due, ..)| due);
            let Some((due, number)) = earliest.filter(|&(due, _)| due <= now) else {
                self.elapsed = self.elapsed.max(now);
                return None;
            };
            // The bucket holds the wheel's time from here on, so that its entries have their places on lower levels.
            self.elapsed = due;
            // On level 0 entries are due themselves, while of those above most may not be.
            let number = self.ticked(now).unwrap_or(number);
            let Some((id, node)) = self.pop(number, slots) else {
                self.occupied[(number / BUCKETS) as usize] &= !(1 << (number % BUCKETS));
                continue;
            };
            *work -= 1;
            #[cfg(test)]
            STEPS.set(STEPS.get() + 1);
            let live = slots.is_live(id);
            let deadline = if live {
                slots.deadline_after(id, now)
            } else {
                Some(slots.deadline(id)).filter(|&deadline| deadline > now)
            };
            let later = deadline.filter(|&deadline| deadline != NEVER);
            match (node, later) {
                (None, Some(later)) => self.push(id, later, slots),
                (None, None) => {}
                (Some(node), Some(later)) => self.link(node, later),
                // The node stays as long as the word leads to a later bucket: who files the slot's next entry is to know.
                (Some(node), None) if self.nodes.nodes[node as usize].word != NOWHERE => {}
                (Some(node), None) => self.drop_node(node, slots),
            }
            if live && deadline.is_none() {
                return Some(id);
            }
        }
        None
    }

    /// Takes an id out of a bucket, with its node if that was filed there.
    fn pop(&mut self, number: u32, slots: &impl Timed) -> Option<(u32, Option<u32>)> {
        let Bucket {
            first, first_node, ..
        } = self.buckets[number as usize];
        if first_node != NOWHERE {
            self.unlink(first_node);
            let id = self.nodes.nodes[first_node as usize].id;
            return Some((id, Some(first_node)));
        }
        if first == END {
            return None;
        }
        let timer = slots.timer(first);
        // Where the word's bucket has come, a node is no longer needed.
        if let Some(node) = timer.node() {
            self.drop_node(node, slots);
        }
        self.buckets[number as usize].first = timer.0.get();
        timer.0.set(NOWHERE);
        Some((first, None))
    }

    /// The earliest deadline that anything is filed under, and the bucket that has it. It is in the first bucket ahead, or in
    /// one above that which holds the wheel's own time: buckets ahead come one after the other, level by level.
    fn earliest(&self) -> Option<(u64, u32)> {
        let ahead = (0..LEVELS).find_map(|level| self.first_ahead(level));
        let holding = (1..LEVELS)
            .map(|level| (level, self.at(level)))
            .filter(|&(level, bucket)| self.occupied[level as usize] >> bucket & 1 != 0)
            .map(|(level, bucket)| level * BUCKETS + bucket);
        holding
            .chain(ahead)
            .map(|number| (self.buckets[number as usize].due, number))
            .min()
    }

    /// The first bucket of level 0, if its tick has come.
    fn ticked(&self, now: u64) -> Option<u32> {
        let number = self.first_ahead(0)?;
        (self.buckets[number as usize].due <= now).then_some(number)
    }

    /// The first occupied bucket of a level that is not over, in the present round.
    fn first_ahead(&self, level: u32) -> Option<u32> {
        let at = self.at(level);
        let ahead = self.occupied[level as usize] >> at << at;
        (ahead != 0).then(|| level * BUCKETS + ahead.trailing_zeros())
    }

    /// The bucket of a level that holds the wheel's time.
    #[inline(always)]
    fn at(&self, level: u32) -> u32 {
        (self.elapsed >> (level * BITS)) as u32 & (BUCKETS - 1)
    }

    /// The number of the bucket for a deadline that has not passed.
    #[inline(always)]
    fn number(&self, deadline: u64) -> u32 {
        let differing = (deadline ^ self.elapsed) | u64::from(BUCKETS - 1);
        let level = ((63 - differing.leading_zeros()) / BITS).min(LEVELS - 1);
        level * BUCKETS + ((deadline >> (level * BITS)) as u32 & (BUCKETS - 1))
    }

    /// How many nodes there are.
    #[cfg(fuzzing)]
    pub(crate) fn nodes(&self) -> usize {
        self.nodes.nodes.len()
    }

    /// Checks that the promise holds for all of `ids`, and that no entry is due before [`Wheel::next_due`].
    ///
    /// # Panics
    /// If the structure is broken.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self, ids: impl Iterator<Item = u32>, slots: &impl Timed) {
        let mut filed = std::collections::HashMap::new();
        let mut words = std::collections::HashSet::new();
        for (number, bucket) in (0..).zip(&self.buckets) {
            let mut here = Vec::new();
            let mut id = bucket.first;
            while id != END {
                assert!(words.insert(id), "{id} is filed twice");
                here.push(id);
                let timer = slots.timer(id);
                id = match timer.node() {
                    Some(node) => self.nodes.nodes[node as usize].word,
                    None => timer.0.get(),
                };
            }
            let (mut prev, mut node) = (BUCKET | number, bucket.first_node);
            while let Some(it) = self.nodes.nodes.get(node as usize) {
                assert_eq!(it.prev, prev, "in front of node {node}");
                assert_eq!(slots.timer(it.id).node(), Some(node));
                here.push(it.id);
                (prev, node) = (node, it.next);
            }
            for id in here {
                let occupied = self.occupied[(number / BUCKETS) as usize];
                assert!(occupied >> (number % BUCKETS) & 1 != 0);
                assert!(self.next_due <= bucket.due, "{} is early", bucket.due);
                let due = filed.entry(id).or_insert(bucket.due);
                *due = bucket.due.min(*due);
            }
        }
        for id in ids {
            let deadline = slots.deadline(id);
            if deadline != NEVER && slots.is_live(id) {
                let due = filed.get(&id).expect("it is filed");
                // Where it has expired, only that it was filed early enough: before that.
                let in_time =
                    deadline == super::life::EXPIRED || *due <= deadline.max(self.elapsed);
                assert!(in_time, "{id} is filed late");
            }
        }
    }
}

impl Nodes {
    /// A node for a slot with this word.
    fn take(&mut self, id: u32, word: u32) -> u32 {
        let fresh = Node {
            id,
            word,
            tick: NEVER,
            prev: NOWHERE,
            next: NOWHERE,
        };
        if let Some(node) = self.free {
            let free = std::mem::replace(&mut self.nodes[node as usize], fresh);
            self.free = (free.next != NOWHERE).then_some(free.next);
            return node;
        }
        self.nodes.push(fresh);
        self.nodes.len() as u32 - 1
    }

    fn give_back(&mut self, node: u32) {
        self.nodes[node as usize].next = self.free.unwrap_or(NOWHERE);
        self.free = Some(node);
    }
}
