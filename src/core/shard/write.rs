//! Writes: everything that happens under the shard's lock.
//!
//! No user code runs here: keys have been compared and hashed before the lock is taken ([`Seen`]), and entries that leave
//! are moved into [`Leftovers`], which the caller settles after it has let go of the lock and its pin.

use super::{Inner, NOBODY, SHARED, Seen, Shard};
use crate::core::budget::{Budget, Token};
use crate::core::entry::Entry;
use crate::core::index::Place;
use crate::core::list::{Stamp, Stamps};
use crate::core::reclaim::{Domain, Pin, Ticket};
use crate::core::slab::Slab;
use crate::core::table::Table;
use crate::core::wheel::{Deadlines, IDLE};
use crate::sync::{AtomicPtr, MutexGuard, Ordering};
use smallvec::SmallVec;
use std::cell::Cell;

/// How many entries of the wheel each write takes out or moves on.
const WORK: u32 = 4;
/// How many entries a write leaves over at most, but for those that go through all: one, and one for each it takes out.
const LEFT_OVER: usize = WORK as usize + 2;
/// After how many links an exact list that several threads use is offered to one of them again.
const TERM: u32 = 64;

/// What a write works with.
#[derive(Debug)]
pub(crate) struct Context<'c, K, V> {
    pub(crate) domain: &'c Domain,
    pub(crate) budget: &'c Budget,
    /// The store's table: replaced only under all shards' locks.
    pub(crate) table: &'c AtomicPtr<Table<K, V>>,
    /// Milliseconds of the cache's clock; 0 as long as no entry has had a deadline.
    pub(crate) now: u64,
}

/// Why a key was not put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// What the writer saw no longer stands, and only a comparison of keys can tell what does: look again.
    Raced,
    /// No token is free; one of an expired entry of another shard is to be preferred to a live entry of this one.
    Sweep,
    /// No token is free and this shard has no entry to evict.
    Empty,
    /// The table has no room for one more key or chunk of this shard.
    Full,
}

/// What a write leaves to be done without the lock: entries and tables to drop, idle threads to ask. The caller lends it, so
/// that entries are moved there only once; what is not settled is dropped with it.
#[derive(Debug)]
pub(crate) struct Leftovers<K, V> {
    entries: SmallVec<[Entry<K, V>; LEFT_OVER]>,
    tables: Vec<Retired<K, V>>,
    quiesce: Option<Ticket>,
}

impl<K, V> Leftovers<K, V> {
    #[inline(always)]
    pub(crate) fn none() -> Self {
        Self {
            entries: SmallVec::new(),
            tables: Vec::new(),
            quiesce: None,
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.entries.is_empty() && self.tables.is_empty() && self.quiesce.is_none()
    }

    /// Drops what is to be dropped: user code runs here.
    #[inline(always)]
    pub(crate) fn settle(&mut self, domain: &Domain) {
        if let Some(ticket) = self.quiesce.take() {
            domain.quiesce(ticket);
        }
        self.tables.clear();
        self.entries.clear();
    }
}

/// The shard, locked.
#[derive(Debug)]
pub(crate) struct Writer<'s, 'c, K, V> {
    shard: &'s Shard<K, V>,
    context: &'c Context<'c, K, V>,
    inner: MutexGuard<'s, Inner<K, V>>,
    leftovers: &'s mut Leftovers<K, V>,
    /// Slots that this write may still move from ready to free.
    quota: u32,
}

impl<K, V> Shard<K, V> {
    /// Takes the lock.
    #[inline(always)]
    pub(crate) fn lock<'s, 'c>(
        &'s self,
        context: &'c Context<'c, K, V>,
        leftovers: &'s mut Leftovers<K, V>,
    ) -> Writer<'s, 'c, K, V> {
        Writer {
            shard: self,
            context,
            inner: self.back.inner.lock(),
            leftovers,
            quota: 1,
        }
    }
}

impl<'s, 'c, K, V> Writer<'s, 'c, K, V> {
    /// Puts an entry under its key, in place of the one it has if any, and takes the entry out of `entry`.
    ///
    /// A new key needs a token: `token`, or a free one, or that of this shard's least recently used entry, unless `sweep`
    /// says that expired entries elsewhere are to be looked for first.
    #[inline(always)]
    pub(crate) fn put(
        &mut self,
        pin: &Pin<'_>,
        seen: Seen,
        entry: &mut Option<Entry<K, V>>,
        token: &mut Option<Token<'c>>,
        sweep: bool,
    ) -> Result<(), Refused> {
        self.expire(WORK);
        if self.table().is_full(self.inner.list.len(), 0) {
            return Err(Refused::Full);
        }
        let id = self.allocate().ok_or(Refused::Full)?;
        let put = self.put_at(pin, seen, id, entry, token, sweep);
        if put.is_err() {
            self.inner.free.push(id);
        }
        put
    }

    #[inline(always)]
    fn put_at(
        &mut self,
        pin: &Pin<'_>,
        seen: Seen,
        id: u32,
        entry: &mut Option<Entry<K, V>>,
        token: &mut Option<Token<'c>>,
        sweep: bool,
    ) -> Result<(), Refused> {
        match self.locate(seen)? {
            Some((place, old)) => {
                self.fill(id, entry);
                self.table().index.replace(place, id);
                self.forget(old);
            }
            None => {
                let token = match token.take().or_else(|| self.context.budget.take()) {
                    Some(token) => token,
                    None if sweep => return Err(Refused::Sweep),
                    None => self.evict().ok_or(Refused::Empty)?,
                };
                self.fill(id, entry);
                self.table().index.insert(seen.fragment, id);
                token.spend();
            }
        }
        self.link(pin, id);
        self.inner.counts.inserts += 1;
        Ok(())
    }

    /// Takes a key's entry out. True if it was still alive; `None` means to look again.
    #[inline(always)]
    pub(crate) fn remove(&mut self, seen: Seen) -> Result<bool, Refused> {
        self.expire(WORK);
        Ok(self.locate(seen)?.is_some_and(|(_, id)| {
            let alive = self.is_alive(id);
            drop(self.take_out(id));
            alive
        }))
    }

    /// Evicts the least recently used entry and returns its token.
    pub(crate) fn evict(&mut self) -> Option<Token<'c>> {
        let Inner { list, slab, .. } = &mut *self.inner;
        let id = list.victim(slab)?;
        // The next one is the oldest again, and no longer in the processor's cache.
        if let Some(next) = list.before(id) {
            slab.slot(next).prefetch();
        }
        let alive = self.is_alive(id);
        let counts = &mut self.inner.counts;
        *(if alive {
            &mut counts.evictions
        } else {
            &mut counts.expirations
        }) += 1;
        Some(self.take_out(id))
    }

    /// Takes out one expired entry, with at most `work` steps of the wheel, and returns its token.
    #[inline(always)]
    pub(crate) fn expire_one(&mut self, work: &mut u32) -> Option<Token<'c>> {
        let Inner { wheel, slab, .. } = &mut *self.inner;
        let id = wheel.poll(self.context.now, work, slab)?;
        self.inner.counts.expirations += 1;
        Some(self.take_out(id))
    }

    /// Takes out expired entries, with at most `work` steps of the wheel; says how many.
    #[inline(always)]
    pub(crate) fn expire(&mut self, mut work: u32) -> usize {
        let mut expired = 0;
        while self.expire_one(&mut work).is_some() {
            expired += 1;
        }
        expired
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) {
        let ids: Vec<u32> = self.inner.list.iter().collect();
        self.table().index.clear(self.shard.number);
        for id in ids {
            self.forget(id);
            drop(self.context.budget.reclaim());
        }
        self.changed();
    }

    /// How many keys and how many chunks the shard has.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.inner.list.len(), self.inner.slab.chunks())
    }

    /// Files everything in a table that is about to be published.
    pub(crate) fn file_all(&self, table: &Table<K, V>) {
        table
            .directory
            .add_chunks(self.shard.number, &self.inner.slab);
        for id in self.table().index.ids(self.shard.number) {
            table.index.insert(self.entry(id).meta.fragment(), id);
        }
    }

    /// Publishes a table in which every shard has filed everything. All shards must be locked.
    pub(crate) fn publish(&mut self, table: Box<Table<K, V>>) {
        let next = Box::into_raw(table);
        // Release: pairs with the Acquire in `Store::table`.
        let old = self.context.table.swap(next, Ordering::Release);
        self.inner.limbo.retire_table(Retired(old));
    }

    /// Moves limbo on, and out of it up to `quota` entries whose grace period has passed. False if nothing is left there.
    pub(crate) fn collect(&mut self, quota: u32) -> bool {
        self.turn();
        self.quota = quota;
        self.drain();
        self.inner.limbo.is_waiting() || self.quota == 0
    }

    /// Lets go of the lock.
    #[inline(always)]
    pub(crate) fn finish(mut self) {
        self.drain();
        if self.inner.limbo.is_due() {
            self.turn();
        }
        let due = self.inner.wheel.next_due();
        if due != self.shard.due() {
            // Relaxed: a hint.
            self.shard.back.due.store(due, Ordering::Relaxed);
        }
    }

    /// The entry that the key has now.
    #[inline(always)]
    fn locate(&self, seen: Seen) -> Result<Option<(Place, u32)>, Refused> {
        // Relaxed: written only under the lock that we hold.
        if self.shard.back.version.load(Ordering::Relaxed) == seen.version {
            return Ok(seen.id.map(|id| (seen.place, id)));
        }
        self.locate_slow(seen)
    }

    /// Compares fragments, not keys: the id that was seen is the key's entry if it is still filed (ids are not reused while
    /// the writer is pinned), and where nothing of that fragment is filed the key is absent.
    #[cold]
    fn locate_slow(&self, seen: Seen) -> Result<Option<(Place, u32)>, Refused> {
        let others = Cell::new(false);
        let found = self.table().index.find(seen.fragment, |id| {
            if self.entry(id).meta.fragment() == seen.fragment {
                others.set(true);
            }
            (Some(id) == seen.id).then_some(id)
        });
        match (found, seen.id) {
            (Some(found), _) => Ok(Some(found)),
            (None, None) if !others.get() => Ok(None),
            _ => Err(Refused::Raced),
        }
    }

    /// The table in place.
    #[inline(always)]
    pub(crate) fn table(&self) -> &'c Table<K, V> {
        // Relaxed: replaced only under all locks, of which we hold one.
        let table = self.context.table.load(Ordering::Relaxed);
        // SAFETY: never null; whoever retires it holds our lock, and frees it only after the pin of a writer, or the locks
        // of all, that may still use this reference.
        unsafe { &*table }
    }

    /// A live entry, or one in limbo.
    #[inline(always)]
    fn entry(&self, id: u32) -> &Entry<K, V> {
        // SAFETY: called for ids in the index, whose slots hold entries while we hold the lock.
        unsafe { self.inner.slab.slot(id).entry() }
    }

    fn is_alive(&self, id: u32) -> bool {
        self.entry(id).meta.deadline() > self.context.now
    }

    /// Moves the entry into a slot that `allocate` has just returned.
    #[inline(always)]
    fn fill(&mut self, id: u32, entry: &mut Option<Entry<K, V>>) {
        let entry = entry.take().expect("an entry is put once");
        // SAFETY: `allocate` returns vacant slots, and we hold the lock.
        unsafe { self.inner.slab.slot(id).fill(entry) };
    }

    /// A vacant slot; `None` if the table has no place for another chunk.
    #[inline(always)]
    fn allocate(&mut self) -> Option<u32> {
        let id = self.inner.free.pop();
        id.or_else(|| self.pop_ready())
            .or_else(|| self.inner.slab.fresh())
            .or_else(|| self.allocate_slow())
    }

    #[cold]
    fn allocate_slow(&mut self) -> Option<u32> {
        let table = self.table();
        let inner = &mut *self.inner;
        if table.is_full(0, inner.slab.chunks()) {
            return None;
        }
        inner.slab.grow();
        let capacity = inner.slab.capacity();
        inner.list.reserve(capacity);
        inner.wheel.reserve(capacity);
        table.directory.add_chunks(self.shard.number, &inner.slab);
        inner.slab.fresh()
    }

    /// Vacates a slot whose grace period has passed; its entry is left over.
    #[inline(always)]
    fn pop_ready(&mut self) -> Option<u32> {
        let id = self.inner.limbo.pop_ready()?;
        self.quota = self.quota.saturating_sub(1);
        // SAFETY: a ready slot holds an entry that was unlinked and whose grace period has passed; we hold the lock.
        let entry = unsafe { self.inner.slab.slot(id).empty() };
        self.leftovers.entries.push(entry);
        Some(id)
    }

    #[inline(always)]
    fn drain(&mut self) {
        while self.quota > 0 {
            let Some(id) = self.pop_ready() else { break };
            self.inner.free.push(id);
        }
        // The next entry goes there.
        if let Some(&next) = self.inner.free.last() {
            self.inner.slab.slot(next).prefetch();
        }
    }

    #[cold]
    fn turn(&mut self) {
        let (tables, quiesce) = self.inner.limbo.turn(self.context.domain);
        self.leftovers.tables.extend(tables);
        self.leftovers.quiesce = quiesce;
    }

    /// Links a filed entry into list and wheel.
    #[inline(always)]
    fn link(&mut self, pin: &Pin<'_>, id: u32) {
        let front = &self.shard.front;
        let inner = &mut *self.inner;
        if inner.list.is_exact() {
            inner.links += 1;
            let me = pin.index() as u64 + 1;
            // Relaxed: see `Shard::begin_era`.
            let owner = front.owner.load(Ordering::Relaxed);
            if owner == NOBODY || inner.links >= TERM {
                inner.links = 0;
                front.owner.store(me, Ordering::Relaxed);
            } else if owner != me && owner != SHARED {
                front.owner.store(SHARED, Ordering::Relaxed);
            }
        }
        // Relaxed, both: recency orders nothing.
        let seen = front.era.load(Ordering::Relaxed);
        inner.list.push_front(id, seen, &inner.slab);
        if inner.list.era() != seen {
            front.era.store(inner.list.era(), Ordering::Relaxed);
        }
        // SAFETY: just filled; we hold the lock.
        let meta = unsafe { inner.slab.slot(id).entry() }.meta;
        if meta.is_mortal() {
            inner.wheel.insert(id, meta.deadline());
        }
        self.changed();
    }

    /// Takes an entry out of index, list and wheel, into limbo; returns its token.
    #[inline(always)]
    fn take_out(&mut self, id: u32) -> Token<'c> {
        self.table()
            .index
            .remove(self.entry(id).meta.fragment(), id);
        self.forget(id);
        self.changed();
        self.context.budget.reclaim()
    }

    /// Takes an entry that is no longer in the index out of list and wheel, into limbo.
    #[inline(always)]
    fn forget(&mut self, id: u32) {
        let mortal = self.entry(id).meta.is_mortal();
        let inner = &mut *self.inner;
        inner.list.unlink(id);
        if mortal {
            inner.wheel.remove(id);
        }
        inner.limbo.retire(id);
        self.quota += 1;
    }

    /// Makes known that the index has changed.
    #[inline(always)]
    pub(crate) fn changed(&self) {
        let version = &self.shard.back.version;
        // Relaxed load: written only under the lock. Release: pairs with the Acquire in `Shard::look`.
        version.store(version.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

/// A table that has been replaced. Readers may be inside it until the grace period is over; then it is dropped.
#[derive(Debug)]
pub(super) struct Retired<K, V>(*mut Table<K, V>);

// SAFETY: it is the only owner of the table, whose parts are all `Send`.
unsafe impl<K: Send, V: Send> Send for Retired<K, V> {}

impl<K, V> Drop for Retired<K, V> {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`, replaced once, and dropped here alone: by limbo's user after the grace period, or
        // with the shard, when no reader is left.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

impl<K, V> Stamps for Slab<K, V> {
    #[inline(always)]
    fn stamp(&self, id: u32) -> &Stamp {
        &self.slot(id).stamp
    }
}

impl<K, V> Deadlines for Slab<K, V> {
    #[inline(always)]
    fn deadline(&self, id: u32) -> u64 {
        // SAFETY: the wheel asks for entries that are linked in it, which are live, under the lock.
        unsafe { self.slot(id).entry() }.meta.deadline()
    }
}

const _: () = assert!(IDLE > super::super::entry::NEVER);
