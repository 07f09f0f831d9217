//! Slots (and outgrown annexes) between 'unlinked' and 'may be used again'.
//!
//! Slots that leave the list queue up here, chained through the nodes that linked them there. The queue has three parts:
//!
//! ```text
//! first → ready ready │ waiting waiting waiting │ filling filling ← last
//! ```
//!
//! Unlinked slots are *filling* the last part; when there is a batch of them and none are waiting, they are sealed with a
//! ticket and are *waiting*; once its grace period has passed they are *ready*: each later write takes one or two of them, to
//! put its own entry there or to leave the slot vacant, and drops what they held when it has released the lock. So a value
//! is dropped at most a few batches of writes after it left the cache, and no write drops many. What has queued up behind a
//! reader that took its time is dropped faster, in proportion: one more with each write for each batch in arrears, up to
//! [`MOST_MORE`].
//!
//! A slot that a thread holds when its grace period is over joins the queue again, and so waits for as long as it is held.
//!
//! Nor does a write look at many readers: at [`LOOKS`] at most, and where there are more, again only [`PACE`] slots later.

use super::links::Node;
use super::reclaim::{Domain, Grace, Ticket, Wait};

/// How many more slots one write vacates at most while the ready ones are in arrears.
pub(crate) const MOST_MORE: u32 = 16;
/// At how many readers' records one write looks.
pub(crate) const LOOKS: u32 = if cfg!(nori_loom) { 3 } else { 64 };
/// How many slots are to fill before the next write looks at more records.
const PACE: u32 = 8;
/// A batch waits until it is as large as the number of readers that the last one waited for, up to this size.
const MOST_READERS: u32 = 256;

/// How many batches there are as long as no reader takes its time. The model checker keeps no slots for them.
const USUAL_BATCHES: u32 = if cfg!(nori_loom) { 0 } else { 4 };

/// See the module. `T` is a table that was replaced. Guarded by the shard's lock.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Limbo<T> {
    first: u32,
    last: u32,
    ready: u32,
    filling: u32,
    waiting: u32,
    batch: u32,
    /// How many slots are filling when it is time to look again.
    look_at: u32,
    wait: Option<Wait>,
    /// Slots of this queue that some thread holds, as far as the wait has seen: they are to be in another batch.
    held: Vec<u32>,
    waiting_tables: Vec<T>,
    filling_tables: Vec<T>,
}

impl<T> Limbo<T> {
    /// A limbo that seals batches of `batch` slots.
    pub(crate) fn new(batch: u32) -> Self {
        Self {
            first: 0,
            last: 0,
            ready: 0,
            waiting: 0,
            filling: 0,
            batch,
            look_at: batch,
            wait: None,
            held: Vec::new(),
            waiting_tables: Vec::new(),
            filling_tables: Vec::new(),
        }
    }

    /// How many slots and tables are here.
    pub(crate) fn len(&self) -> usize {
        self.queued() as usize + self.waiting_tables.len() + self.filling_tables.len()
    }

    /// How many slots are here.
    #[inline(always)]
    pub(crate) fn queued(&self) -> u32 {
        self.ready + self.waiting + self.filling
    }

    /// Adds a slot that has been unlinked; its entry stays in it.
    #[inline(always)]
    pub(crate) fn retire<'n>(&mut self, id: u32, node: impl Fn(u32) -> &'n Node) {
        if self.queued() == 0 {
            self.first = id;
        } else {
            node(self.last).chain(id);
        }
        self.last = id;
        self.filling += 1;
    }

    /// Adds a table that has been replaced.
    pub(crate) fn retire_table(&mut self, table: T) {
        self.filling_tables.push(table);
        // A table is large: it does not wait for a full batch.
        self.look_at = 0;
    }

    /// A slot whose entry nobody can see any more.
    #[inline(always)]
    pub(crate) fn pop_ready<'n>(&mut self, node: impl Fn(u32) -> &'n Node) -> Option<u32> {
        let id = self.pop(&node)?;
        if self.held.is_empty() {
            return Some(id);
        }
        self.pop_unheld(id, node)
    }

    #[inline(always)]
    fn pop<'n>(&mut self, node: impl Fn(u32) -> &'n Node) -> Option<u32> {
        let id = (self.ready > 0).then_some(self.first)?;
        self.first = node(id).next();
        self.ready -= 1;
        Some(id)
    }

    /// The first one, from `id` on, that nobody holds; the others join the queue again.
    #[cold]
    fn pop_unheld<'n>(&mut self, mut id: u32, node: impl Fn(u32) -> &'n Node) -> Option<u32> {
        while let Some(held) = self.held.iter().position(|&it| it == id) {
            self.held.swap_remove(held);
            self.retire(id, &node);
            id = self.pop(&node)?;
        }
        Some(id)
    }

    /// The slots that [`Limbo::pop_ready`] will return next.
    #[inline(always)]
    pub(crate) fn ready<'n>(&self, node: impl Fn(u32) -> &'n Node) -> impl Iterator<Item = u32> {
        self.first(self.ready, node)
    }

    /// Whether more than a batch of slots are ready: writers have fallen behind.
    #[inline(always)]
    pub(crate) fn is_in_arrears(&self) -> bool {
        self.ready > self.batch
    }

    /// How many batches' worth of slots are ready; at most [`MOST_MORE`].
    pub(crate) fn arrears(&self) -> u32 {
        (self.ready / self.batch).min(MOST_MORE)
    }

    /// How many slots are here as long as no reader takes its time.
    pub(crate) fn usual(&self) -> u32 {
        USUAL_BATCHES * self.batch
    }

    /// Whether it is time to [`Limbo::turn`].
    #[inline(always)]
    pub(crate) fn is_due(&self) -> bool {
        self.filling >= self.look_at
    }

    /// Moves the batches on as far as the readers allow, looking at `looks` of them. `here` tells which slot of this queue, if
    /// any, an address is. Calls `free` with tables to drop; returns a ticket that needs [`Domain::quiesce`] if only idle threads hold
    /// up the batch.
    #[cold]
    pub(crate) fn turn(
        &mut self,
        domain: &Domain,
        looks: u32,
        here: impl Fn(*mut ()) -> Option<u32>,
        free: impl FnMut(T),
    ) -> Option<Ticket> {
        let mut batch = self.batch;
        if let Some(wait) = &mut self.wait {
            let held = &mut self.held;
            let grace = domain.poll(wait, looks, |slot| {
                if let Some(id) = here(slot).filter(|id| !held.contains(id)) {
                    held.push(id);
                }
            });
            if grace != Grace::Passed {
                let pace = match grace {
                    _ if !self.waiting_tables.is_empty() => 0,
                    Grace::Unknown => PACE,
                    // A quarter of a batch later is soon enough to look again.
                    _ => self.batch.div_ceil(4),
                };
                self.look_at = if pace == 0 { 0 } else { self.filling + pace };
                return (grace == Grace::Idle).then(|| wait.ticket());
            }
            batch = batch.max(wait.looked().min(MOST_READERS));
            self.ready += std::mem::take(&mut self.waiting);
            self.waiting_tables.drain(..).for_each(free);
            self.wait = None;
        }
        self.look_at = if self.filling_tables.is_empty() {
            batch
        } else {
            0
        };
        if self.filling > 0 || !self.filling_tables.is_empty() {
            self.waiting = std::mem::take(&mut self.filling);
            self.waiting_tables = std::mem::take(&mut self.filling_tables);
            self.wait = Some(domain.seal());
        }
        None
    }

    /// Whether anything waits for a grace period.
    pub(crate) fn is_waiting(&self) -> bool {
        self.wait.is_some() || self.filling > 0 || !self.filling_tables.is_empty()
    }

    /// All slots that hold an entry here, whatever their state. For the end of the shard.
    pub(crate) fn slots<'n>(&self, node: impl Fn(u32) -> &'n Node) -> impl Iterator<Item = u32> {
        self.first(self.queued(), node)
    }

    fn first<'n>(&self, count: u32, node: impl Fn(u32) -> &'n Node) -> impl Iterator<Item = u32> {
        let mut next = self.first;
        (0..count).map(move |_| {
            let id = next;
            next = node(id).next();
            id
        })
    }
}
