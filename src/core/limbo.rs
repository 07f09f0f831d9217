//! Slots (and outgrown tables) between 'unlinked' and 'may be used again'.
//!
//! Unlinked slots gather in a batch; a full batch is sealed with a ticket and waits while the next one fills; once its grace
//! period has passed its entries are *ready*: each later write moves one or two of them out, to be dropped when the lock is
//! released. So a value is dropped at most a few batches of writes after it left the cache, and no write drops many.

use super::reclaim::{Domain, Grace, Ticket};

/// See the module. `T` is a table that was replaced. Guarded by the shard's lock.
#[derive(Debug)]
pub(crate) struct Limbo<T> {
    filling: Batch<T>,
    waiting: Batch<T>,
    ticket: Option<Ticket>,
    ready: Vec<u32>,
    batch: usize,
    /// The length of `filling` at which to look again.
    look_at: usize,
}

#[derive(Debug)]
struct Batch<T> {
    slots: Vec<u32>,
    tables: Vec<T>,
}

impl<T> Batch<T> {
    fn new() -> Self {
        Self {
            slots: Vec::new(),
            tables: Vec::new(),
        }
    }
}

impl<T> Limbo<T> {
    /// A limbo that seals batches of `batch` slots.
    pub(crate) fn new(batch: usize) -> Self {
        Self {
            filling: Batch::new(),
            waiting: Batch::new(),
            ticket: None,
            ready: Vec::new(),
            batch,
            look_at: batch,
        }
    }

    /// Adds a slot that has been unlinked; its entry stays in it.
    #[inline(always)]
    pub(crate) fn retire(&mut self, id: u32) {
        self.filling.slots.push(id);
    }

    /// Adds a table that has been replaced.
    pub(crate) fn retire_table(&mut self, table: T) {
        self.filling.tables.push(table);
        // A table is large: it does not wait for a full batch.
        self.look_at = 0;
    }

    /// A slot whose entry nobody can see any more.
    #[inline(always)]
    pub(crate) fn pop_ready(&mut self) -> Option<u32> {
        self.ready.pop()
    }

    /// Whether it is time to [`Limbo::turn`].
    #[inline(always)]
    pub(crate) fn is_due(&self) -> bool {
        self.filling.slots.len() >= self.look_at
    }

    /// Moves the batches on as far as the readers allow. Returns tables to drop, and a ticket that needs
    /// [`Domain::quiesce`] if only idle threads hold up the batch.
    #[cold]
    pub(crate) fn turn(&mut self, domain: &Domain) -> (Vec<T>, Option<Ticket>) {
        let mut freed = Vec::new();
        if let Some(ticket) = self.ticket {
            let grace = domain.poll(ticket);
            if grace != Grace::Passed {
                // A quarter of a batch later is soon enough to look again.
                self.look_at = self.filling.slots.len() + self.batch.div_ceil(4);
                return (freed, (grace == Grace::Idle).then_some(ticket));
            }
            if self.ready.is_empty() {
                std::mem::swap(&mut self.ready, &mut self.waiting.slots);
            } else {
                self.ready.append(&mut self.waiting.slots);
            }
            freed = std::mem::take(&mut self.waiting.tables);
            self.ticket = None;
        }
        let tables = self.filling.tables.len();
        self.look_at = if tables > 0 {
            0
        } else {
            self.batch.max(domain.records())
        };
        if !self.filling.slots.is_empty() || !self.filling.tables.is_empty() {
            std::mem::swap(&mut self.filling, &mut self.waiting);
            self.ticket = Some(domain.seal());
        }
        (freed, None)
    }

    /// Whether anything waits for a grace period.
    pub(crate) fn is_waiting(&self) -> bool {
        self.ticket.is_some() || !self.filling.slots.is_empty() || !self.filling.tables.is_empty()
    }

    /// All slots that hold an entry here, whatever their state. For the end of the shard.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        self.filling
            .slots
            .iter()
            .chain(&self.waiting.slots)
            .chain(&self.ready)
            .copied()
    }
}
