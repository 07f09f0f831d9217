//! The records of a domain: threads lease them, collectors walk over those that are leased.
//!
//! Records stand in groups, each with a word that has a bit for every leased record. So a lease and a walk look at one word
//! for [`GROUP`] records whose threads have ended, and a lease gets the lowest number that is free. Groups are made when they
//! are needed, in segments each twice as large as the one before, and stay as long as the domain.

use super::record::Record;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};

/// Records to a group.
const GROUP: usize = if cfg!(nori_loom) { 2 } else { 64 };
/// More threads than a system can have: twice the 2^22 that Linux allows.
const SEGMENTS: usize = if cfg!(nori_loom) { 2 } else { 17 };

/// See the module.
#[derive(Debug)]
pub(super) struct Records {
    /// Segment `s` has `2^s` groups. Null until its first record is needed.
    segments: [AtomicPtr<Group>; SEGMENTS],
}

#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Group {
    /// A bit for each record that is leased.
    leased: AtomicU64,
    records: [Record; GROUP],
}

/// What a walk comes to.
#[derive(Debug)]
pub(super) enum Next<'r> {
    Record(&'r Record),
    /// No record of this group is leased from here on; go on with this number.
    Nobody(usize),
    End,
}

impl Records {
    #[cfg(not(nori_loom))]
    pub(super) const fn new() -> Self {
        Self {
            segments: [const { AtomicPtr::new(std::ptr::null_mut()) }; SEGMENTS],
        }
    }

    #[cfg(nori_loom)]
    pub(super) fn new() -> Self {
        Self {
            segments: std::array::from_fn(|_| AtomicPtr::new(std::ptr::null_mut())),
        }
    }

    /// Leases the free record with the lowest number. To be given back with [`Records::release`].
    pub(super) fn lease(&self) -> &Record {
        let mut number = 0;
        loop {
            let group = self.group(number).unwrap_or_else(|| self.add(number));
            if let Some(record) = group.lease() {
                return record;
            }
            number += 1;
        }
    }

    /// Gives a record back. It must be offline.
    pub(super) fn release(&self, record: &Record) {
        let group = self.group(record.index / GROUP);
        let group = group.expect("the record came from here");
        // Release: pairs with the Acquire in `Group::lease` and `next`: what the thread did under the record's number is behind
        // it for the next one to get it, and its reads are over for a walk that sees nobody here.
        group
            .leased
            .fetch_and(!(1 << (record.index % GROUP)), Ordering::Release);
    }

    /// The first leased record whose number is not less than `from`, as far as one look shows.
    pub(super) fn next(&self, from: usize) -> Next<'_> {
        let Some(group) = self.group(from / GROUP) else {
            return Next::End;
        };
        // Acquire: pairs with the Release in `release`. That a walk which does not see a lease yet does no harm is the
        // 'offline' argument of the module: the lease precedes the fence of the record's first pin.
        let leased = group.leased.load(Ordering::Acquire) >> (from % GROUP);
        if leased == 0 {
            return Next::Nobody((from / GROUP + 1) * GROUP);
        }
        Next::Record(&group.records[from % GROUP + leased.trailing_zeros() as usize])
    }

    /// The records of all groups from the first on, leased or not.
    #[cfg(not(nori_loom))]
    pub(super) fn all(&self) -> impl Iterator<Item = &Record> {
        let groups = (0..).map_while(|number| self.group(number));
        groups.flat_map(|group| &group.records)
    }

    /// The segment of a group, and its index there.
    fn place(number: usize) -> (usize, usize) {
        let segment = (number + 1).ilog2();
        (segment as usize, number + 1 - (1 << segment))
    }

    fn group(&self, number: usize) -> Option<&Group> {
        let (segment, index) = Self::place(number);
        // Acquire: pairs with the Release in `add`; the groups are whole.
        let groups = self.segments.get(segment)?.load(Ordering::Acquire);
        // SAFETY: null, or a segment of this domain, of `2^segment` groups, which lives as long as the domain; `place` returns an
        // index below that.
        (!groups.is_null()).then(|| unsafe { &*groups.add(index) })
    }

    /// Makes the segment of a group, unless another thread has just done so.
    #[cold]
    fn add(&self, number: usize) -> &Group {
        let (segment, index) = Self::place(number);
        let first = number - index;
        let made: Box<[Group]> = (0..1 << segment)
            .map(|group| Group::new((first + group) * GROUP))
            .collect();
        let made = Box::into_raw(made).cast::<Group>();
        // Release: pairs with the Acquire in `group`. Acquire, on failure: the same pair.
        let groups = match self.segments[segment].compare_exchange(
            std::ptr::null_mut(),
            made,
            Ordering::Release,
            Ordering::Acquire,
        ) {
            Ok(_) => made,
            Err(theirs) => {
                // SAFETY: made above, and not shared.
                unsafe { Self::free(made, segment) };
                theirs
            }
        };
        // SAFETY: as in `group`.
        unsafe { &*groups.add(index) }
    }

    /// Frees a segment.
    ///
    /// # Safety
    /// [`Records::add`] made it, and nobody uses it any more.
    unsafe fn free(groups: *mut Group, segment: usize) {
        let groups = std::ptr::slice_from_raw_parts_mut(groups, 1 << segment);
        // SAFETY: by the contract.
        drop(unsafe { Box::from_raw(groups) });
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        for (segment, groups) in self.segments.iter().enumerate() {
            // Relaxed: `&mut self` means that no other thread is left.
            let groups = groups.load(Ordering::Relaxed);
            if !groups.is_null() {
                // SAFETY: made in `add` and freed only here; all borrows are tied to that of `self`.
                unsafe { Self::free(groups, segment) };
            }
        }
    }
}

impl Group {
    fn new(first: usize) -> Self {
        Self {
            leased: AtomicU64::new(0),
            records: std::array::from_fn(|record| Record::new(first + record)),
        }
    }

    fn lease(&self) -> Option<&Record> {
        // Relaxed, here and on failure: the exchange confirms it.
        let mut leased = self.leased.load(Ordering::Relaxed);
        loop {
            let free = (!leased).trailing_zeros();
            let record = self.records.get(free as usize)?;
            // Acquire: pairs with the Release in `release`; whoever held the record before has finished with it and with all
            // that is counted under its number.
            match self.leased.compare_exchange_weak(
                leased,
                leased | 1 << free,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(record),
                Err(now) => leased = now,
            }
        }
    }
}
