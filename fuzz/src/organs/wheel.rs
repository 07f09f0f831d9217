//! The timer wheel against a map of deadlines: ids stay filed when their entries leave, as in a shard.

use super::Ops;
use crate::core::meta::NEVER;
use crate::core::wheel::{IDLE, Timed, Timer, Wheel};
use arbitrary::Arbitrary;
use std::collections::BTreeMap;

const IDS: u32 = 64;
/// Slots of these ids and later ones are taken out when they are vacant, and come back as new ones.
const LASTING: u32 = 48;
/// Deadlines have so many bits; the last one means never.
const RANGE_BITS: u32 = 38;
const END: u64 = NEVER - 1;
/// The most steps that one entry can cost: it is filed on one of seven levels, perhaps under an earlier deadline, from which it
/// goes up and down again; and so it may be twice, by its slot's word and by a node.
const STEPS: u64 = 28;

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

struct Slots(Vec<Slot>);

struct Slot {
    state: State,
    /// Of the entry, or of the last one.
    deadline: u64,
    timer: Timer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Vacant,
    Live,
    InLimbo,
}

impl Slot {
    fn new() -> Self {
        Self {
            state: State::Vacant,
            deadline: NEVER,
            timer: Timer::new(),
        }
    }
}

impl Timed for Slots {
    fn deadline(&self, id: u32) -> u64 {
        self.0[id as usize].deadline
    }

    fn deadline_after(&self, id: u32, now: u64) -> Option<u64> {
        Some(self.deadline(id)).filter(|&deadline| deadline > now)
    }

    fn is_live(&self, id: u32) -> bool {
        self.0[id as usize].state == State::Live
    }

    fn timer(&self, id: u32) -> &Timer {
        &self.0[id as usize].timer
    }

    fn is_lasting(&self, id: u32) -> bool {
        id < LASTING
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
            wheel: Wheel::new(),
            slots: Slots((0..IDS).map(|_| Slot::new()).collect()),
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
            Op::Vacate(id) => self.vacate(u32::from(id) % self.ids),
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

    fn vacate(&mut self, id: u32) {
        if self.slots.0[id as usize].state != State::InLimbo {
            return;
        }
        self.slots.0[id as usize].state = State::Vacant;
        if id >= LASTING {
            self.wheel.forget(id, &self.slots);
            self.slots.0[id as usize] = Slot::new();
        }
    }

    /// As a shard does: an entry goes to a slot whose last one is in limbo, or to a vacant one.
    fn insert(&mut self, id: u8, deadline: u64) {
        let id = u32::from(id) % self.ids;
        self.remove(id);
        let deadline = deadline.min(if deadline == NEVER { NEVER } else { END });
        let slot = &mut self.slots.0[id as usize];
        let before = slot.deadline;
        slot.state = State::Live;
        slot.deadline = deadline;
        if Wheel::is_needed(&slot.timer, deadline, before) {
            self.wheel.file(id, deadline, &self.slots);
        }
        if deadline != NEVER {
            self.filed.insert(id, deadline);
        }
        self.inserted += 1;
    }

    fn remove(&mut self, id: u32) {
        self.filed.remove(&id);
        let slot = &mut self.slots.0[id as usize];
        if slot.state == State::Live {
            slot.state = State::InLimbo;
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
            self.slots.0[id as usize].state = State::InLimbo;
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
        assert!(self.wheel.nodes() <= self.ids as usize, "a slot has two");
        let earliest = self.due().min().unwrap_or(IDLE);
        assert!(self.wheel.next_due() <= earliest, "next_due is too late");
        assert!(self.steps <= self.inserted * STEPS, "entries go in circles");
    }
}
