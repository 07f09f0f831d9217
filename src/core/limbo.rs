//! Slots (and outgrown annexes) between 'unlinked' and 'may be used again'.
//!
//! Slots that leave the list queue up here, chained through the nodes that linked them there. The queue has three parts:
//!
//! ```text
//! ready ready │ waiting waiting waiting │ filling filling ← last
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
use crate::sync::Guarded;
use std::ptr::NonNull;

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

/// The limbo of one shard. `T` is an annex of the index that was replaced. Guarded by the shard's lock.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Limbo<T> {
    /// How many slots are filling, and when it is time to look again.
    filling: u32,
    look_at: u32,
    /// Where the id of the slot that comes next is to be written: in `first_filling`, or in the node of the last one.
    last: NonNull<Guarded>,
    ready: Chain,
    batch: u32,
    waiting: Chain,
    /// The last of the ready ones, if there are any, and of those that wait.
    last_ready: NonNull<Guarded>,
    last_waiting: NonNull<Guarded>,
    first_filling: Box<Guarded>,
    wait: Option<Wait>,
    /// Slots of this queue that some thread holds, as far as the wait has seen: they are to be in another batch.
    held: Vec<u32>,
    waiting_annexes: Vec<T>,
    filling_annexes: Vec<T>,
}

/// Slots that lead from one to the next.
#[derive(Debug, Clone, Copy, Default)]
struct Chain {
    /// If there are any.
    first: u32,
    len: u32,
}

// SAFETY: the pointers lead into what the limbo owns, or into slots that are in it, which only the lock's holder uses.
unsafe impl<T: Send> Send for Limbo<T> {}

impl<T> Limbo<T> {
    /// A limbo that seals batches of `batch` slots.
    pub(crate) fn new(batch: u32) -> Self {
        let first_filling = Box::new(Guarded::new(0));
        let last = NonNull::from(&*first_filling);
        Self {
            filling: 0,
            look_at: batch,
            last,
            ready: Chain::default(),
            batch,
            waiting: Chain::default(),
            last_ready: last,
            last_waiting: last,
            first_filling,
            wait: None,
            held: Vec::new(),
            waiting_annexes: Vec::new(),
            filling_annexes: Vec::new(),
        }
    }

    /// How many slots and annexes are here.
    pub(crate) fn len(&self) -> usize {
        self.queued() as usize + self.waiting_annexes.len() + self.filling_annexes.len()
    }

    /// How many slots are here.
    pub(crate) fn queued(&self) -> u32 {
        self.ready.len + self.waiting.len + self.filling
    }

    /// Adds a slot that has been unlinked; its entry stays in it.
    ///
    /// # Safety
    /// The node is that of the slot, and stays where it is until [`Limbo::pop_ready`] has returned the id.
    #[inline(always)]
    pub(crate) unsafe fn retire(&mut self, id: u32, node: &Node) {
        // SAFETY: in the box, or in the node of a slot that is still here.
        unsafe { self.last.as_ref() }.set(id);
        self.last = NonNull::from(node.next_cell());
        self.filling += 1;
    }

    /// Adds an annex that has been replaced.
    pub(crate) fn retire_annex(&mut self, annex: T) {
        self.filling_annexes.push(annex);
        // An annex is large: it does not wait for a full batch.
        self.look_at = 0;
    }

    /// What [`Limbo::pop_ready`] would return, if that need not look whether it is held.
    #[inline(always)]
    pub(crate) fn first_ready(&self) -> Option<u32> {
        (self.ready.len > 0 && self.held.is_empty()).then_some(self.ready.first)
    }

    /// A slot whose entry nobody can see any more.
    #[inline(always)]
    pub(crate) fn pop_ready<'n>(&mut self, node: impl Fn(u32) -> &'n Node) -> Option<u32> {
        let id = self.ready.pop(&node)?;
        if self.held.is_empty() {
            return Some(id);
        }
        self.pop_unheld(id, node)
    }

    /// The first one, from `id` on, that nobody holds; the others join the queue again.
    #[cold]
    fn pop_unheld<'n>(&mut self, mut id: u32, node: impl Fn(u32) -> &'n Node) -> Option<u32> {
        while let Some(held) = self.held.iter().position(|&it| it == id) {
            self.held.swap_remove(held);
            // SAFETY: it was in the queue until now, and is again.
            unsafe { self.retire(id, node(id)) };
            id = self.ready.pop(&node)?;
        }
        Some(id)
    }

    /// The slots that [`Limbo::pop_ready`] will return next.
    #[inline(always)]
    pub(crate) fn ready<'n>(&self, node: impl Fn(u32) -> &'n Node) -> impl Iterator<Item = u32> {
        self.ready.ids(node)
    }

    /// Whether more than a batch of slots are ready: writers have fallen behind.
    #[inline(always)]
    pub(crate) fn is_in_arrears(&self) -> bool {
        self.ready.len > self.batch
    }

    /// How many batches' worth of slots are ready; at most [`MOST_MORE`].
    pub(crate) fn arrears(&self) -> u32 {
        (self.ready.len / self.batch).min(MOST_MORE)
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
    /// any, an address is. Calls `free` with annexes to drop; returns a ticket that needs [`Domain::quiesce`] if only idle threads
    /// hold up the batch.
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
                    _ if !self.waiting_annexes.is_empty() => 0,
                    Grace::Unknown => PACE,
                    // A quarter of a batch later is soon enough to look again.
                    _ => self.batch.div_ceil(4),
                };
                self.look_at = if pace == 0 { 0 } else { self.filling + pace };
                return (grace == Grace::Idle).then(|| wait.ticket());
            }
            batch = batch.max(wait.looked().min(MOST_READERS));
            self.append_waiting();
            self.waiting_annexes.drain(..).for_each(free);
            self.wait = None;
        }
        self.look_at = if self.filling_annexes.is_empty() {
            batch
        } else {
            0
        };
        if self.filling > 0 || !self.filling_annexes.is_empty() {
            self.waiting = Chain {
                first: self.first_filling.get(),
                len: std::mem::take(&mut self.filling),
            };
            self.last_waiting = self.last;
            self.last = NonNull::from(&*self.first_filling);
            self.waiting_annexes = std::mem::take(&mut self.filling_annexes);
            self.wait = Some(domain.seal());
        }
        None
    }

    /// Makes those that wait ready.
    fn append_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.len == 0 {
            return;
        }
        if self.ready.len == 0 {
            self.ready = waiting;
        } else {
            // SAFETY: in the node of the last ready slot, which is still here.
            unsafe { self.last_ready.as_ref() }.set(waiting.first);
            self.ready.len += waiting.len;
        }
        self.last_ready = self.last_waiting;
    }

    /// Whether anything waits for a grace period.
    pub(crate) fn is_waiting(&self) -> bool {
        self.wait.is_some() || self.filling > 0 || !self.filling_annexes.is_empty()
    }

    /// All slots that hold an entry here, whatever their state. For the end of the shard.
    pub(crate) fn slots<'n>(
        &self,
        node: impl Fn(u32) -> &'n Node + Copy,
    ) -> impl Iterator<Item = u32> {
        let filling = Chain {
            first: self.first_filling.get(),
            len: self.filling,
        };
        let chains = [self.ready, self.waiting, filling];
        chains.into_iter().flat_map(move |chain| chain.ids(node))
    }
}

impl Chain {
    #[inline(always)]
    fn pop<'n>(&mut self, node: impl Fn(u32) -> &'n Node) -> Option<u32> {
        let id = (self.len > 0).then_some(self.first)?;
        self.first = node(id).next();
        self.len -= 1;
        Some(id)
    }

    #[inline(always)]
    fn ids<'n>(mut self, node: impl Fn(u32) -> &'n Node) -> impl Iterator<Item = u32> {
        std::iter::from_fn(move || self.pop(&node))
    }
}
