//! The hash index against a list of ids and fragments.

use super::{Ops, pick, sorted};
use crate::core::index::{Fragment, Index, LANES};
use arbitrary::Arbitrary;
use std::cell::RefCell;

const MOST_RANGES_LOG2: u32 = 3;
const MOST_BUCKETS: usize = 6;
const FRAGMENTS: usize = 8;
/// So that the checks after each step take no more than they should.
const MOST_FILED: usize = 600;
/// Leaves so few tags that equal ones, and those that differ in one bit, meet in a bucket.
const FEW_TAGS: u32 = !0xf8;

/// An index of a few ranges and buckets, keys of a few hashes, and what happens.
#[derive(Debug, Arbitrary)]
pub struct Input {
    ranges: u8,
    buckets: u8,
    fragments: [u32; FRAGMENTS],
    ops: Ops<Op>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Op {
    Insert(u8),
    InsertMany(u8, u8),
    Remove(u8),
    RemoveAll(u8),
    /// What an update does: another id of the same fragment.
    Replace(u8),
    /// A new index takes all that is in this one.
    Rebuild(u8),
    ClearRange(u8),
    /// A range gets an annex, or one that fits.
    Refit(u8),
}

impl Input {
    /// Compares.
    ///
    /// # Panics
    /// If the index is wrong.
    pub fn run(self) {
        let ranges_log2 = u32::from(self.ranges) % (MOST_RANGES_LOG2 + 1);
        let mut subject = Subject {
            index: Index::new(1 << ranges_log2, buckets(self.buckets)),
            ranges_log2,
            fragments: self
                .fragments
                .map(|bits| Fragment::new(u64::from(bits & FEW_TAGS))),
            fragment_of: Vec::new(),
            filed: Vec::new(),
        };
        for op in self.ops.0 {
            subject.apply(op);
            subject.check();
        }
        while !subject.filed.is_empty() {
            subject.remove(0);
            subject.check();
        }
    }
}

fn buckets(at: u8) -> usize {
    usize::from(at) % MOST_BUCKETS + 1
}

struct Subject {
    index: Index,
    ranges_log2: u32,
    fragments: [Fragment; FRAGMENTS],
    /// By id. No id is used twice.
    fragment_of: Vec<Fragment>,
    /// The model: ids that are in the index.
    filed: Vec<u32>,
}

impl Subject {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Insert(at) => self.insert(at),
            Op::InsertMany(at, n) => (0..n % 32).for_each(|_| self.insert(at)),
            Op::Remove(at) => self.remove(at.into()),
            Op::RemoveAll(at) => {
                let fragment = pick(&self.fragments, at.into()).expect("there are some");
                while let Some(at) = self.filed.iter().position(|&id| self.of(id) == fragment) {
                    self.remove(at);
                }
            }
            Op::Replace(at) => {
                let Some(old) = pick(&self.filed, at.into()) else {
                    return;
                };
                let fragment = self.of(old);
                let (lane, _) = self
                    .index
                    .find_lane(fragment, |id| id == old)
                    .expect("filed ids are found");
                let id = self.fresh(fragment);
                // SAFETY: nothing has changed since.
                unsafe { lane.replace(id) };
                self.filed.retain(|&other| other != old);
                self.filed.push(id);
            }
            Op::Rebuild(at) => {
                let next = Index::new(1 << self.ranges_log2, buckets(at));
                let annexed = |range| next.range() * LANES < self.filed_in(range);
                if !self.ranges().any(annexed) || at % 2 == 1 {
                    for range in self.ranges().filter(|&it| annexed(it)) {
                        next.reserve(range, self.filed_in(range));
                    }
                    for id in self.ranges().flat_map(|range| self.index.ids(range)) {
                        next.insert(self.of(id), id);
                    }
                    self.index = next;
                }
            }
            Op::Refit(at) => self.refit(usize::from(at) % self.ranges().len()),
            Op::ClearRange(at) => {
                let range = usize::from(at) % self.ranges().len();
                drop(self.index.clear(range));
                let filed = std::mem::take(&mut self.filed);
                let stays = |&id: &u32| self.range_of(self.of(id)) != range;
                self.filed = filed.into_iter().filter(stays).collect();
            }
        }
    }

    fn ranges(&self) -> std::ops::Range<usize> {
        0..1 << self.ranges_log2
    }

    fn range_of(&self, fragment: Fragment) -> usize {
        (fragment.get() >> (Fragment::BITS - self.ranges_log2)) as usize
    }

    fn filed_in(&self, range: usize) -> usize {
        let is_in = |&&id: &&u32| self.range_of(self.of(id)) == range;
        self.filed.iter().filter(is_in).count()
    }

    fn of(&self, id: u32) -> Fragment {
        self.fragment_of[id as usize]
    }

    fn refit(&self, range: usize) {
        drop(self.index.refit(range, |id| self.of(id)));
    }

    fn fresh(&mut self, fragment: Fragment) -> u32 {
        self.fragment_of.push(fragment);
        self.fragment_of.len() as u32 - 1
    }

    fn insert(&mut self, at: u8) {
        let fragment = pick(&self.fragments, at.into()).expect("there are some");
        let range = self.range_of(fragment);
        let has_room = self.index.has_room_in_annex(range);
        if !has_room && self.filed_in(range) >= self.index.range() * LANES {
            self.refit(range);
        }
        if self.filed.len() < MOST_FILED {
            let id = self.fresh(fragment);
            self.index.insert(fragment, id);
            self.filed.push(id);
        }
    }

    fn remove(&mut self, at: usize) {
        if let Some(id) = pick(&self.filed, at) {
            if self.index.remove(self.of(id), id) {
                self.refit(self.range_of(self.of(id)));
            }
            self.filed.retain(|&other| other != id);
        }
    }

    fn check(&self) {
        let filed = sorted(self.filed.iter().copied());
        let mut found = Vec::new();
        for range in self.ranges() {
            self.index.validate(range, |id| self.of(id));
            let ids = self.index.ids(range);
            found.extend(ids.inspect(|&id| assert_eq!(self.range_of(self.of(id)), range)));
        }
        assert_eq!(sorted(found), filed);
        for &fragment in &self.fragments {
            let shown = RefCell::new(Vec::new());
            let refused = self.index.find(fragment, |id| {
                shown.borrow_mut().push(id);
                None::<()>
            });
            assert_eq!(refused, None);
            let shown = sorted(shown.into_inner());
            assert!(shown.is_sorted_by(|a, b| a < b), "an id is shown twice");
            let is_filed = |id| filed.binary_search(id).is_ok();
            assert!(shown.iter().all(is_filed), "an id that is gone is shown");
            let mut its = filed.iter().filter(|&&id| self.of(id) == fragment);
            assert!(
                its.all(|id| shown.binary_search(id).is_ok()),
                "an id is missed"
            );
        }
    }
}
