//! Writes: everything that happens under the shard's lock.
//!
//! No user code runs here: keys have been compared and hashed before the lock is taken ([`Seen`]), and entries that leave
//! are moved into [`Leftovers`], which the caller drops after it has let go of the lock and its pin.

use super::{Inner, SHARED, Seen, Shard};
use crate::core::budget::{Budget, Token};
use crate::core::entry::{Entry, NEVER};
use crate::core::index::{Fragment, Outgrown, Place};
use crate::core::limbo::LOOKS;
use crate::core::reclaim::{Domain, Pin, Ticket};
use crate::core::slab::{Segment, Slots};
use crate::core::table::Table;
use crate::core::wheel::IDLE;
use crate::sync::{AtomicPtr, MutexGuard, Ordering};
use smallvec::SmallVec;
use std::cell::Cell;

/// How many entries of the wheel each write takes out or moves on.
const WORK: u32 = 4;
/// How many entries a write leaves over: one, and one for each it takes out. While more than a batch is to be dropped, and in
/// writes that go through all, it is more.
const LEFT_OVER: usize = WORK as usize + 2;
/// After how many links an exact list that threads have read at the same time is offered to one of them again.
const TERM: u32 = 64;

/// What a write works with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'c> {
    pub(crate) domain: &'c Domain,
    pub(crate) budget: &'c Budget,
    /// The store's table: replaced only under all shards' locks.
    pub(crate) table: &'c AtomicPtr<Table>,
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
    /// The table has no room for one more key of this shard, and is to grow.
    Full,
}

/// What a write leaves to be dropped. The caller lends it, so that entries are moved there only once, and drops it when it
/// holds no lock, as user code runs there, and no pin, as that would hold others up, unless it still needs one.
#[derive(Debug)]
pub(crate) struct Leftovers<K, V> {
    entries: SmallVec<[Entry<K, V>; LEFT_OVER]>,
    retired: Vec<Retired>,
}

impl<K, V> Leftovers<K, V> {
    #[inline(always)]
    pub(crate) fn none() -> Self {
        Self {
            entries: SmallVec::new(),
            retired: Vec::new(),
        }
    }

    /// How many entries and tables.
    pub(crate) fn len(&self) -> usize {
        let tables = self.retired.iter().filter(|it| it.is_table()).count();
        self.entries.len() + tables
    }
}

/// The shard, locked.
#[derive(Debug)]
pub(crate) struct Writer<'s, 'c, K, V> {
    shard: &'s Shard<K, V>,
    context: Context<'c>,
    inner: MutexGuard<'s, Inner>,
    slots: Slots<'s, K, V>,
    leftovers: &'s mut Leftovers<K, V>,
    /// How many slots this write is still to vacate for others to use.
    quota: i64,
    /// A ticket that only idle threads hold up: they are asked when the lock is released.
    lagging: Option<Ticket>,
}

impl<K, V> Shard<K, V> {
    /// Takes the lock.
    #[inline(always)]
    pub(crate) fn lock<'s, 'c>(
        &'s self,
        context: Context<'c>,
        leftovers: &'s mut Leftovers<K, V>,
    ) -> Writer<'s, 'c, K, V> {
        let inner = self.back.inner.lock();
        Writer {
            shard: self,
            context,
            quota: inner.limbo.arrears().into(),
            inner,
            slots: self.front.slab.slots(),
            leftovers,
            lagging: None,
        }
    }
}

impl<'s, 'c, K, V> Writer<'s, 'c, K, V> {
    /// Puts an entry under its key, in place of the one it has if any, and takes the entry out of `entry`.
    ///
    /// `others` are those of the key's fragment that were compared, if that was remembered. Returns the id that the entry is
    /// filed under.
    ///
    /// A new key needs a token: `token`, or a free one, or that of this shard's least recently used entry, unless `sweep`
    /// says that expired entries elsewhere are to be looked for first.
    #[inline(always)]
    pub(crate) fn put(
        &mut self,
        pin: &Pin<'_>,
        seen: Seen,
        others: &[u32],
        entry: &mut Option<Entry<K, V>>,
        token: &mut Option<Token<'c>>,
        sweep: bool,
    ) -> Result<u32, Refused> {
        self.expire(WORK);
        if self.table().is_full(self.inner.list.len()) && !self.make_room() {
            return Err(Refused::Full);
        }
        let place = match self.locate(seen, others)? {
            None if token.is_none() => {
                *token = self.context.budget.take();
                if token.is_none() && sweep {
                    return Err(Refused::Sweep);
                }
                None
            }
            place => place,
        };
        let vacant = self.allocate();
        match place {
            Some((place, old)) => {
                let meta = self.entry(old).meta;
                self.inner.counts.expirations += u64::from(meta.deadline() <= self.context.now);
                self.fill(vacant.id, entry);
                if meta.fragment() == seen.fragment {
                    self.table().index.replace(seen.fragment, place, vacant.id);
                    self.forget(old);
                } else {
                    self.replace_stranger(old, seen.fragment, vacant.id);
                }
            }
            None => {
                let Some(token) = token.take().or_else(|| self.evict()) else {
                    self.vacate(vacant.id);
                    return Err(Refused::Empty);
                };
                self.fill(vacant.id, entry);
                self.table().index.insert(seen.fragment, vacant.id);
                token.spend();
            }
        }
        self.link(pin, &vacant);
        self.inner.counts.inserts += 1;
        Ok(vacant.id)
    }

    /// Sees to it that the shard's annex has room for one more key. False if the table is to grow instead.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self) -> bool {
        let all = self.context.budget.used();
        if self.table().is_outgrown(self.len(), all) {
            return false;
        }
        if !self.table().index.has_room_in_annex(self.shard.number) {
            self.refit();
            self.changed();
        }
        true
    }

    /// Gives the shard an annex that suits what is in it. The caller makes known that places have changed.
    #[cold]
    #[inline(never)]
    fn refit(&mut self) {
        let fragment_of = |id| self.entry(id).meta.fragment();
        let old = self.table().index.refit(self.shard.number, fragment_of);
        self.retire_annex(old);
    }

    fn retire_annex(&mut self, annex: Option<Outgrown>) {
        if let Some(annex) = annex {
            self.inner.limbo.retire_table(Retired::Annex(annex));
        }
    }

    /// Files an entry's id in place of that of one which is equal to it and hashes otherwise: a user's `Hash` and `Eq`
    /// disagree. The old id is filed, and will be looked for, under its own fragment.
    #[cold]
    fn replace_stranger(&mut self, old: u32, fragment: Fragment, id: u32) {
        let (token, _) = self.take_out(old);
        self.table().index.insert(fragment, id);
        token.spend();
    }

    /// Takes a key's entry out. True if it was still alive; `None` means to look again.
    #[inline(always)]
    pub(crate) fn remove(&mut self, seen: Seen) -> Result<bool, Refused> {
        self.expire(WORK);
        Ok(self.locate(seen, &[])?.is_some_and(|(_, id)| {
            let (token, alive) = self.take_out(id);
            drop(token);
            self.inner.counts.expirations += u64::from(!alive);
            alive
        }))
    }

    /// Evicts the least recently used entry and returns its token.
    #[inline(always)]
    pub(crate) fn evict(&mut self) -> Option<Token<'c>> {
        let slots = self.slots;
        let list = &mut self.inner.list;
        let id = list.victim(&slots)?;
        // The next one is the oldest again, and no longer in the processor's cache.
        if let Some(next) = list.before(id, &slots) {
            slots.slot(next).prefetch();
        }
        let (token, alive) = self.take_out(id);
        let counts = &mut self.inner.counts;
        *(if alive {
            &mut counts.evictions
        } else {
            &mut counts.expirations
        }) += 1;
        Some(token)
    }

    /// Takes out one expired entry, with at most `work` steps of the wheel, and returns its token.
    #[inline(always)]
    pub(crate) fn expire_one(&mut self, work: &mut u32) -> Option<Token<'c>> {
        let wheel = &mut self.inner.wheel;
        let id = wheel.poll(self.context.now, work, &self.slots)?;
        self.inner.counts.expirations += 1;
        Some(self.take_out(id).0)
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
        let ids: Vec<u32> = self.inner.list.iter(&self.slots).collect();
        let annex = self.table().index.clear(self.shard.number);
        self.retire_annex(annex);
        for id in ids {
            let expired = self.entry(id).meta.deadline() <= self.context.now;
            self.inner.counts.expirations += u64::from(expired);
            self.forget(id);
            drop(self.context.budget.reclaim());
        }
        self.changed();
    }

    /// How many keys the shard has.
    pub(crate) fn len(&self) -> usize {
        self.inner.list.len()
    }

    /// Files everything in a table that is about to be published.
    pub(crate) fn file_all(&self, table: &Table) {
        table.reserve(self.shard.number, self.len());
        for id in self.table().index.ids(self.shard.number) {
            table.index.insert(self.entry(id).meta.fragment(), id);
        }
    }

    /// Publishes a table in which every shard has filed everything. All shards must be locked.
    pub(crate) fn publish(&mut self, table: Box<Table>) {
        let next = Box::into_raw(table);
        // Release: pairs with the Acquire in `Store::table`.
        let old = self.context.table.swap(next, Ordering::Release);
        self.inner.limbo.retire_table(Retired::Table(old));
    }

    /// How many slots and tables have been unlinked and not yet been left over.
    pub(crate) fn in_limbo(&self) -> usize {
        self.inner.limbo.len()
    }

    /// Moves limbo on, and out of it up to `quota` entries whose grace period has passed. False if nothing is left there.
    pub(crate) fn collect(&mut self, quota: u32) -> bool {
        self.turn(u32::MAX);
        self.quota = quota.into();
        self.drain();
        self.inner.limbo.is_waiting() || self.quota == 0
    }

    /// Lets go of the lock.
    #[inline(always)]
    pub(crate) fn finish(mut self) {
        self.drain();
        let slots = self.slots;
        let mut ready = self.inner.limbo.ready(|id| slots.node(id));
        if let Some(next) = ready.next() {
            // The next entry goes there, and what is there is dropped; the one after that goes to the slot behind it.
            slots.slot(next).prefetch_drop();
            if let Some(next) = ready.next() {
                slots.slot(next).prefetch();
            }
        }
        drop(ready);
        let due = self.inner.wheel.next_due();
        if due != self.shard.due() {
            // Relaxed: a hint.
            self.shard.back.due.store(due, Ordering::Relaxed);
        }
        // One that has just been turned, and found idle threads, asks them first.
        if self.lagging.is_none() && self.inner.limbo.is_due() {
            self.turn(LOOKS);
        }
        let Self {
            context,
            inner,
            lagging,
            ..
        } = self;
        drop(inner);
        if let Some(ticket) = lagging {
            context.domain.quiesce(ticket);
        }
    }

    /// The entry that the key has now.
    #[inline(always)]
    fn locate(&self, seen: Seen, others: &[u32]) -> Result<Option<(Place, u32)>, Refused> {
        // Relaxed: written only under the lock that we hold.
        if self.shard.back.version.load(Ordering::Relaxed) == seen.version {
            return Ok(seen.id.map(|id| (seen.place, id)));
        }
        locate_slow(self.table(), self.slots, seen, others)
    }

    /// The table in place.
    #[inline(always)]
    pub(crate) fn table(&self) -> &Table {
        // Relaxed: replaced only under all locks, of which we hold one.
        let table = self.context.table.load(Ordering::Relaxed);
        // SAFETY: never null, and replacing it takes all locks, of which we hold one for as long as `self` is borrowed.
        unsafe { &*table }
    }

    /// A live entry, or one in limbo.
    #[inline(always)]
    fn entry(&self, id: u32) -> &Entry<K, V> {
        // SAFETY: called for ids in the index, whose slots hold entries while we hold the lock.
        unsafe { self.slots.slot(id).entry() }
    }

    /// Moves the entry into a slot that `allocate` has just returned.
    #[inline(always)]
    fn fill(&mut self, id: u32, entry: &mut Option<Entry<K, V>>) {
        // SAFETY: `allocate` returns vacant slots, and we hold the lock.
        unsafe { self.slots.slot(id).fill(entry) };
    }

    /// A vacant slot.
    #[inline(always)]
    fn allocate(&mut self) -> Vacant {
        if let Some(vacant) = self.pop_ready() {
            return match self.slots.segment(vacant.id) {
                0 => vacant,
                segment => self.before(segment, vacant),
            };
        }
        let id = self.inner.vacancies.pop(self.slots);
        // SAFETY: we hold the lock.
        let id = id.unwrap_or_else(|| unsafe { self.shard.front.slab.fresh() });
        Vacant { id, before: NEVER }
    }

    /// A vacant slot of a segment before that of `vacant`, if there is one. So the entries move to the front, and what a burst
    /// needed is vacated from its end.
    fn before(&mut self, segment: usize, vacant: Vacant) -> Vacant {
        match self.inner.vacancies.pop_before(segment, self.slots) {
            None => vacant,
            Some(id) => {
                self.vacate(vacant.id);
                Vacant { id, before: NEVER }
            }
        }
    }

    /// Keeps a vacant slot for later, or gives the memory of the last segments back.
    fn vacate(&mut self, id: u32) {
        self.inner.vacancies.push(id, self.slots);
        if self.slots.segment(id) > 0 {
            self.give_back();
        }
    }

    /// Gives the last segments back that are vacant, as long as as many slots are vacant elsewhere as limbo usually needs: what
    /// is needed again at once is not worth it.
    #[cold]
    fn give_back(&mut self) {
        let slab = &self.shard.front.slab;
        while let Some((segment, given)) = slab.last_further() {
            let (here, elsewhere) = self.inner.vacancies.count(segment);
            if here < given || elsewhere < self.inner.limbo.usual() {
                return;
            }
            self.inner.vacancies.forget(segment);
            // SAFETY: we hold the lock, and all ids of the segment were among the vacant ones.
            let memory = unsafe { slab.take_last() };
            self.leftovers.retired.push(Retired::Segment(memory));
        }
    }

    /// Vacates a slot whose grace period has passed; its entry is left over.
    #[inline(always)]
    fn pop_ready(&mut self) -> Option<Vacant> {
        let slots = self.slots;
        let id = self.inner.limbo.pop_ready(|id| slots.node(id))?;
        self.quota -= 1;
        // SAFETY: a ready slot holds an entry that was unlinked and whose grace period has passed; we hold the lock.
        let entry = unsafe { slots.slot(id).empty() };
        let before = entry.meta.deadline();
        self.leftovers.entries.push(entry);
        Some(Vacant { id, before })
    }

    #[inline(always)]
    fn drain(&mut self) {
        while self.quota > 0 {
            let Some(Vacant { id, .. }) = self.pop_ready() else {
                break;
            };
            self.vacate(id);
        }
    }

    /// Moves limbo on, looking at so many readers.
    #[inline(always)]
    fn turn(&mut self, looks: u32) {
        let tables = &mut self.leftovers.retired;
        let domain = self.context.domain;
        let slots = self.slots;
        // What is in the list is in no batch that is waited for.
        let here = |slot| {
            let id = slots.id_of(slot)?;
            (!slots.node(id).is_linked()).then_some(id)
        };
        self.lagging = self.inner.limbo.turn(domain, looks, here, tables);
    }

    /// Links a filed entry into list and wheel.
    #[inline(always)]
    fn link(&mut self, pin: &Pin<'_>, &Vacant { id, before }: &Vacant) {
        self.changed();
        let front = &self.shard.front;
        let slots = self.slots;
        let inner = &mut *self.inner;
        if inner.list.is_exact() {
            // Relaxed, both: see `Shard::begin_era`.
            if front.owner.load(Ordering::Relaxed) == SHARED {
                inner.links += 1;
                if inner.links >= TERM {
                    inner.links = 0;
                    front.owner.store(pin.index() as u64 + 1, Ordering::Relaxed);
                }
            }
        }
        // Relaxed, both: recency orders nothing.
        let seen = front.era.load(Ordering::Relaxed);
        inner.list.push_front(id, seen, &slots);
        if inner.list.era() != seen {
            front.era.store(inner.list.era(), Ordering::Relaxed);
        }
        // SAFETY: just filled; we hold the lock.
        let meta = unsafe { slots.slot(id).entry() }.meta;
        inner.wheel.file(id, meta.deadline(), before);
    }

    /// Takes an entry out of index and list, into limbo; returns its token, and whether it was still alive.
    #[inline(always)]
    fn take_out(&mut self, id: u32) -> (Token<'c>, bool) {
        let meta = self.entry(id).meta;
        if self.table().index.remove(meta.fragment(), id) {
            self.refit();
        }
        self.forget(id);
        self.changed();
        let alive = meta.deadline() > self.context.now;
        (self.context.budget.reclaim(), alive)
    }

    /// Takes an entry that is no longer in the index out of the list, into limbo. The wheel finds out by itself.
    #[inline(always)]
    fn forget(&mut self, id: u32) {
        let slots = self.slots;
        let Inner { list, limbo, .. } = &mut *self.inner;
        list.unlink(id, &slots);
        limbo.retire(id, |id| slots.node(id));
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

/// What became of what was seen. Compares fragments, not keys: the id that was seen is the key's entry if it is still filed
/// (ids are not reused while the writer is pinned), and where nothing of that fragment is filed but what was compared the key
/// is absent.
#[cold]
fn locate_slow<K, V>(
    table: &Table,
    slots: Slots<'_, K, V>,
    seen: Seen,
    others: &[u32],
) -> Result<Option<(Place, u32)>, Refused> {
    let unknown = Cell::new(false);
    let found = table.index.find(seen.fragment, |id| {
        // SAFETY: in the index, and the caller holds the lock.
        let entry = unsafe { slots.slot(id).entry() };
        if entry.meta.fragment() == seen.fragment && !others.contains(&id) {
            unknown.set(true);
        }
        (Some(id) == seen.id).then_some(id)
    });
    match (found, seen.id) {
        (Some(found), _) => Ok(Some(found)),
        (None, None) if !unknown.get() => Ok(None),
        _ => Err(Refused::Raced),
    }
}

/// A vacant slot.
#[derive(Debug)]
struct Vacant {
    id: u32,
    /// The deadline of the entry that has just left it; [`NEVER`] if that is longer ago.
    before: u64,
}

/// What is freed when no reader can be in it, and no lock is held.
#[derive(Debug)]
pub(super) enum Retired {
    /// A table that has been replaced. Readers may be inside it until the grace period is over.
    Table(*mut Table),
    /// An annex, likewise.
    Annex(#[expect(dead_code, reason = "it is there to be dropped")] Outgrown),
    Segment(#[expect(dead_code, reason = "it is there to be dropped")] Segment),
}

// SAFETY: it is the only owner of the table, whose parts are all `Send`, of the annex or of the segment.
unsafe impl Send for Retired {}

impl Retired {
    fn is_table(&self) -> bool {
        matches!(self, Self::Table(_) | Self::Annex(_))
    }
}

impl Drop for Retired {
    /// Out of line: every write has a list of these to drop, which is hardly ever anything.
    #[cold]
    #[inline(never)]
    fn drop(&mut self) {
        if let Self::Table(table) = *self {
            // SAFETY: made by `Box::into_raw`, replaced once, and dropped here alone: by limbo's user after the grace period,
            // or with the shard, when no reader is left.
            drop(unsafe { Box::from_raw(table) });
        }
    }
}

const _: () = assert!(IDLE > NEVER);
