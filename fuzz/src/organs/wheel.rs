//! The timer wheel against a map of deadlines: ids stay filed when their entries leave, as in a shard.

use super::Ops;
use crate::core::entry::NEVER;
use crate::core::wheel::{Deadlines, IDLE, Wheel};
use arbitrary::Arbitrary;
use std::collections::BTreeMap;

const IDS: u32 = 64;
/// Deadlines have so many bits; the last one means never.
const RANGE_BITS: u32 = 38;
const END: u64 = NEVER - 1;
/// The most steps that one entry can cost: it is filed on one of seven levels, perhaps under an earlier deadline, from which it
/// goes up and down again.
const STEPS: u64 = 14;

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
    /// An entry that never expires takes the place of what was there.
    InsertImmortal(u8),
    /// The entry leaves; its slot goes into limbo.
    Remove(u8),
    /// A slot in limbo becomes vacant.
    Vacate(u8),
    Advance(Span),
    /// To just before, or at, the next tick at which something may be due.
    AdvanceToNext(bool),
    /// More ids.
    MoreIds,
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

/// What is in each slot.
struct Slots([Slot; IDS as usize]);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    Vacant,
    Live(u64),
    InLimbo(u64),
}

impl Deadlines for Slots {
    fn deadline(&self, id: u32) -> u64 {
        match self.0[id as usize] {
            Slot::Vacant => NEVER,
            Slot::Live(deadline) | Slot::InLimbo(deadline) => deadline,
        }
    }

    fn is_live(&self, id: u32) -> bool {
        matches!(self.0[id as usize], Slot::Live(_))
    }
}

struct Subject {
    wheel: Wheel,
    slots: Slots,
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
        Self {
            // Fewer than there will be: it grows.
            wheel: Wheel::new(2),
            slots: Slots([Slot::Vacant; IDS as usize]),
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
            Op::InsertImmortal(id) => self.insert(id, NEVER),
            Op::Remove(id) => self.remove(u32::from(id) % self.ids),
            Op::Vacate(id) => {
                let slot = &mut self.slots.0[(u32::from(id) % self.ids) as usize];
                if let Slot::InLimbo(_) = slot {
                    *slot = Slot::Vacant;
                }
            }
            Op::Advance(by) => self.now = (self.now + by.get()).min(END),
            Op::AdvanceToNext(there) => {
                let next = self.wheel.next_due();
                if next != IDLE {
                    self.now = self.now.max(next - u64::from(!there && next > 0));
                }
            }
            Op::MoreIds => self.ids = (self.ids * 2).min(IDS),
            Op::Poll(work) => {
                self.poll(self.now, work.into());
            }
            Op::PollBefore(work, before) => {
                self.poll(self.now.saturating_sub(before.into()), work.into());
            }
            Op::PollAll => self.poll_all(),
        }
    }

    /// As a shard does: an entry goes to a slot whose last one is in limbo, or to a vacant one.
    fn insert(&mut self, id: u8, deadline: u64) {
        let id = u32::from(id) % self.ids;
        self.remove(id);
        let deadline = deadline.min(if deadline == NEVER { NEVER } else { END });
        let before = self.slots.deadline(id);
        self.slots.0[id as usize] = Slot::Live(deadline);
        self.wheel.file(id, deadline, before);
        if deadline != NEVER {
            self.filed.insert(id, deadline);
        }
        self.inserted += 1;
    }

    fn remove(&mut self, id: u32) {
        self.filed.remove(&id);
        let slot = &mut self.slots.0[id as usize];
        if let Slot::Live(deadline) = *slot {
            *slot = Slot::InLimbo(deadline);
        }
    }

    fn poll_all(&mut self) {
        while self.poll(self.now, u32::MAX) {}
    }

    fn poll(&mut self, now: u64, work: u32) -> bool {
        self.polled = self.polled.max(now);
        let mut left = work;
        let found = self.wheel.poll(now, &mut left, &self.slots);
        self.steps += u64::from(work - left);
        if let Some(id) = found {
            let deadline = self.filed.remove(&id).expect("only filed entries are due");
            assert!(deadline <= now, "due at {deadline}, returned at {now}");
            self.slots.0[id as usize] = Slot::InLimbo(deadline);
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
        self.wheel.validate(0..self.ids, &self.slots);
        let earliest = self.due().min().unwrap_or(IDLE);
        assert!(self.wheel.next_due() <= earliest, "next_due is too late");
        assert!(self.steps <= self.inserted * STEPS, "entries go in circles");
    }
}
