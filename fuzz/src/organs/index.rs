//! The hash index against a list of ids and routes.

use super::{Ops, pick, sorted};
use crate::core::index::{Fragment, Index, Route};
use arbitrary::Arbitrary;
use std::cell::RefCell;

const MOST_RANGES_LOG2: u32 = 3;
const MOST_BUCKETS: usize = 6;
const ROUTES: usize = 8;
/// So that the checks after each step take no more than they should.
const MOST_FILED: usize = 600;
/// So few bits of a tag that equal ones, and those that differ in one bit, meet in a bucket.
const TAG_BITS: u32 = 3;

/// An index of a few ranges and buckets, keys of a few hashes, and what happens.
#[derive(Debug, Arbitrary)]
pub struct Input {
    ranges: u8,
    buckets: u8,
    hashes: [u32; ROUTES],
    ops: Ops<Op>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Op {
    Insert(u8),
    InsertMany(u8, u8),
    Remove(u8),
    RemoveAll(u8),
    /// What an update does: another id of the same route.
    Replace(u8),
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
            index: Index::new(
                1 << ranges_log2,
                usize::from(self.buckets) % MOST_BUCKETS + 1,
            ),
            ranges_log2,
            routes: self.hashes.map(route),
            route_of: Vec::new(),
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

/// The high bits choose range and bucket, a few low ones the tag.
fn route(hash: u32) -> Route {
    let tag = u64::from(hash & ((1 << TAG_BITS) - 1));
    Route::of_spread(u64::from(hash) << 32 | tag << 20)
}

struct Subject {
    index: Index,
    ranges_log2: u32,
    routes: [Route; ROUTES],
    /// By id. No id is used twice.
    route_of: Vec<Route>,
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
                let route = pick(&self.routes, at.into()).expect("there are some");
                while let Some(at) = self.filed.iter().position(|&id| self.of(id) == route) {
                    self.remove(at);
                }
            }
            Op::Replace(at) => {
                let Some(old) = pick(&self.filed, at.into()) else {
                    return;
                };
                let route = self.of(old);
                let (lane, _) = self
                    .index
                    .find_lane(route, |id| id == old)
                    .expect("filed ids are found");
                let (range, fragment) = (self.index.range_of(route), self.fragment_of(old));
                assert_eq!(self.index.lane_of(range, fragment, old), Some(lane));
                let id = self.fresh(route);
                // SAFETY: nothing has changed since.
                unsafe { lane.replace(id) };
                self.filed.retain(|&other| other != old);
                self.filed.push(id);
            }
            Op::Refit(at) => self.refit(usize::from(at) % self.ranges().len()),
            Op::ClearRange(at) => {
                let range = usize::from(at) % self.ranges().len();
                drop(self.index.clear(range));
                let filed = std::mem::take(&mut self.filed);
                let stays = |&id: &u32| self.index.range_of(self.of(id)) != range;
                self.filed = filed.into_iter().filter(stays).collect();
            }
        }
    }

    fn ranges(&self) -> std::ops::Range<usize> {
        0..1 << self.ranges_log2
    }

    fn of(&self, id: u32) -> Route {
        self.route_of[id as usize]
    }

    fn fragment_of(&self, id: u32) -> Fragment {
        self.index.fragment_of(self.of(id))
    }

    fn refit(&self, range: usize) {
        drop(self.index.refit(range, |id| self.fragment_of(id)));
    }

    fn fresh(&mut self, route: Route) -> u32 {
        self.route_of.push(route);
        self.route_of.len() as u32 - 1
    }

    fn insert(&mut self, at: u8) {
        let route = pick(&self.routes, at.into()).expect("there are some");
        if self.filed.len() < MOST_FILED {
            let id = self.fresh(route);
            if !self.index.insert(route, id) {
                self.refit(self.index.range_of(route));
                assert!(self.index.insert(route, id), "a new annex has room");
            }
            self.filed.push(id);
        }
    }

    fn remove(&mut self, at: usize) {
        if let Some(id) = pick(&self.filed, at) {
            let range = self.index.range_of(self.of(id));
            if self.index.remove(range, self.fragment_of(id), id) {
                self.refit(range);
            }
            self.filed.retain(|&other| other != id);
        }
    }

    fn check(&self) {
        let filed = sorted(self.filed.iter().copied());
        let mut found = Vec::new();
        for range in self.ranges() {
            self.index.validate(range, |id| self.fragment_of(id));
            let ids = self.index.ids(range);
            found.extend(ids.inspect(|&id| assert_eq!(self.index.range_of(self.of(id)), range)));
        }
        assert_eq!(sorted(found), filed);
        for &route in &self.routes {
            let shown = RefCell::new(Vec::new());
            let refused = self.index.find(route, |id| {
                shown.borrow_mut().push(id);
                None::<()>
            });
            assert_eq!(refused, None);
            let shown = sorted(shown.into_inner());
            assert!(shown.is_sorted_by(|a, b| a < b), "an id is shown twice");
            let is_filed = |id| filed.binary_search(id).is_ok();
            assert!(shown.iter().all(is_filed), "an id that is gone is shown");
            let mut its = filed.iter().filter(|&&id| self.of(id) == route);
            assert!(
                its.all(|id| shown.binary_search(id).is_ok()),
                "an id is missed"
            );
        }
    }
}
