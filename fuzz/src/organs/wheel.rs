//! The timer wheel against a map of deadlines.

use super::{Ops, sorted};
use crate::core::wheel::{Deadlines, IDLE, Wheel};
use arbitrary::Arbitrary;
use std::collections::BTreeMap;

const IDS: u32 = 64;
/// The wheel is made for deadlines of so many bits.
const RANGE_BITS: u32 = 42;
const END: u64 = (1 << RANGE_BITS) - 1;
/// The most steps that one entry can cost: it is filed on one of seven levels and moves down.
const STEPS: u64 = 7;

/// What happens to a wheel.
#[derive(Debug, Arbitrary)]
pub struct Input {
    ops: Ops<Op>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Op {
    Insert(u8, Span),
    /// The deadline has passed, as when a writer was held up.
    InsertLate(u8, u8),
    Remove(u8),
    Advance(Span),
    /// To just before, or at, the next tick at which something may be due.
    AdvanceToNext(bool),
    /// More ids.
    Reserve,
    Poll(u8),
    /// By a writer whose clock was read a little earlier.
    PollBefore(u8, u8),
    PollAll,
}

/// A time of any magnitude.
#[derive(Debug, Clone, Copy, Arbitrary)]
struct Span {
    bits: u8,
    time: u64,
    /// Of a single bit, so that it ends where a bucket begins.
    round: bool,
}

impl Span {
    fn get(self) -> u64 {
        let bits = u32::from(self.bits) % RANGE_BITS;
        if self.round {
            1 << bits
        } else {
            self.time & ((1 << bits) - 1)
        }
    }
}

impl Input {
    /// Compares.
    ///
    /// # Panics
    /// If the wheel is wrong.
    pub fn run(self) {
        let mut subject = Subject::new();
        for op in self.ops.0 {
            subject.apply(op);
            subject.check();
        }
        subject.now = END;
        subject.poll_all();
        subject.check();
        assert!(subject.filed.is_empty());
        assert_eq!(subject.wheel.next_due(), IDLE);
    }
}

/// Deadlines by id; what is not filed has none that the wheel may ask for.
struct Times([Option<u64>; IDS as usize]);

impl Deadlines for Times {
    fn deadline(&self, id: u32) -> u64 {
        self.0[id as usize].expect("only the deadlines of filed entries are asked for")
    }
}

struct Subject {
    wheel: Wheel,
    times: Times,
    ids: u32,
    now: u64,
    /// The latest time of any poll: a deadline before it counts as this.
    polled: u64,
    /// The model.
    filed: BTreeMap<u32, u64>,
    inserted: u64,
    steps: u64,
}

impl Subject {
    fn new() -> Self {
        let mut wheel = Wheel::new();
        wheel.reserve(1);
        Self {
            wheel,
            times: Times([None; IDS as usize]),
            ids: 1,
            now: 0,
            polled: 0,
            filed: BTreeMap::new(),
            inserted: 0,
            steps: 0,
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Insert(id, after) => self.insert(id, self.now + after.get()),
            Op::InsertLate(id, before) => self.insert(id, self.now.saturating_sub(before.into())),
            Op::Remove(id) => self.remove(u32::from(id) % self.ids),
            Op::Advance(by) => self.now = (self.now + by.get()).min(END),
            Op::AdvanceToNext(there) => {
                let next = self.wheel.next_due();
                if next != IDLE {
                    self.now = self.now.max(next - u64::from(!there && next > 0));
                }
            }
            Op::Reserve => {
                self.ids = (self.ids * 2).min(IDS);
                self.wheel.reserve(self.ids as usize);
            }
            Op::Poll(work) => {
                self.poll(self.now, work.into());
            }
            Op::PollBefore(work, before) => {
                self.poll(self.now.saturating_sub(before.into()), work.into());
            }
            Op::PollAll => self.poll_all(),
        }
    }

    fn insert(&mut self, id: u8, deadline: u64) {
        let id = u32::from(id) % self.ids;
        self.remove(id);
        let deadline = deadline.min(END);
        self.times.0[id as usize] = Some(deadline);
        self.wheel.insert(id, deadline);
        self.filed.insert(id, deadline);
        self.inserted += 1;
    }

    fn remove(&mut self, id: u32) {
        self.wheel.remove(id);
        self.filed.remove(&id);
        self.times.0[id as usize] = None;
    }

    fn poll_all(&mut self) {
        while self.poll(self.now, u32::MAX) {}
    }

    fn poll(&mut self, now: u64, work: u32) -> bool {
        self.polled = self.polled.max(now);
        let mut left = work;
        let found = self.wheel.poll(now, &mut left, &self.times);
        self.steps += u64::from(work - left);
        if let Some(id) = found {
            let deadline = self.filed.remove(&id).expect("only filed entries are due");
            assert!(deadline <= now, "due at {deadline}, returned at {now}");
            self.times.0[id as usize] = None;
        } else if left > 0 {
            assert!(self.wheel.next_due() > now, "a purge would never end");
            let missed = self.due().find(|&due| due <= now);
            assert_eq!(missed, None, "not returned at {now}");
        }
        found.is_some()
    }

    fn due(&self) -> impl Iterator<Item = u64> {
        self.filed.values().map(|&due| due.max(self.polled))
    }

    fn check(&self) {
        self.wheel.validate(&self.times);
        let earliest = self.due().min().unwrap_or(IDLE);
        assert!(self.wheel.next_due() <= earliest, "next_due is too late");
        assert!(self.steps <= self.inserted * STEPS, "entries go in circles");
        let expected = (0..IDS).filter(|&id| self.times.0[id as usize].is_some());
        assert_eq!(sorted(self.filed.keys().copied()), sorted(expected));
    }
}
