//! What a thread holds although it has left the epoch: single slots, for closures that take their time.
//!
//! A pin holds up everything that leaves any cache. A reader that is to run a user's closure needs one entry only. So it finds that
//! under a pin, publishes it here, on its own record, and unpins: from then on it holds up that slot alone (a hazard pointer, which needs
//! no validation, as it is published while the pin still protects what it names: Michael, *Hazard pointers*, IEEE TPDS 15(6),
//! 2004).
//!
//! # Why nothing held is used again
//!
//! The walk of a grace period looks at each record's holds right after it has found that it need not wait for the record
//! ([`Domain::poll`](super::Domain::poll)). A reader that holds a slot of the batch found it before it was unlinked, so the walk
//! passes its record only when it has read a state that the reader stored later, by its unpin or by an announcement behind that: Release
//! and Acquire, and the hold was stored before. So the walk sees it, unless it has ended since. And no hold on a slot of the batch is
//! published after the walk has passed: who pins from then on does not find it.
//!
//! A writer that will tell a listener what it has taken out holds it, too ([`Pin::hold_beyond`](super::Pin::hold_beyond)): under the
//! shard's lock, before it retires the entry. The batch's ticket is drawn, and walks for it are made, under that lock later, so
//! they see the hold, whatever the writer's record says.
//!
//! # Cells
//!
//! Each closure that runs inside another one needs a cell of its own, and so does each entry that an update's closure writes under its
//! own key, and each that a listener is still to be told of. The first lies on the record's line; further ones are allocated as they are
//! needed, and stay: as many as the thread has had holds at a time.

use crate::sync::{AtomicPtr, Ordering};

/// Cells of each further block.
const FAR: usize = if cfg!(nori_loom) { 1 } else { 30 };

/// The cells of one thread. Only this thread writes them.
#[derive(Debug)]
pub(super) struct Holds {
    /// On the record's own line.
    near: Cell,
    /// Null until it is needed.
    far: AtomicPtr<Block>,
}

#[derive(Debug)]
struct Block {
    cells: [Cell; FAR],
    next: AtomicPtr<Self>,
}

/// The address of a slot; null in a cell that is free.
pub(super) type Cell = AtomicPtr<()>;

impl Holds {
    pub(super) fn new() -> Self {
        Self {
            near: free(),
            far: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Of a record that nobody reads through.
    #[cfg(not(nori_loom))]
    pub(super) const fn nobodys() -> Self {
        Self {
            near: AtomicPtr::new(std::ptr::null_mut()),
            far: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Publishes a slot, until [`release`] is called for the cell. For the thread that has leased the record.
    #[inline(always)]
    pub(super) fn hold(&self, slot: *mut ()) -> &Cell {
        let cell = &self.near;
        if !is_free(cell) {
            return self.hold_slow(slot);
        }
        // Relaxed: the unpin that follows is a Release.
        cell.store(slot, Ordering::Relaxed);
        cell
    }

    #[cold]
    fn hold_slow(&self, slot: *mut ()) -> &Cell {
        let cell = Block::free_cell(&self.far);
        // Relaxed: as in `hold`.
        cell.store(slot, Ordering::Relaxed);
        cell
    }

    /// Calls `each` for everything that the thread holds.
    #[inline(always)]
    pub(super) fn each(&self, mut each: impl FnMut(*mut ())) {
        look(&self.near, &mut each);
        // Acquire: pairs with the Release in `Block::free_cell`; the block is whole.
        let far = self.far.load(Ordering::Acquire);
        if !far.is_null() {
            Block::each(far, each);
        }
    }
}

impl Block {
    /// A free cell of a block in this chain, which gets one more if need be.
    fn free_cell(mut link: &AtomicPtr<Self>) -> &Cell {
        loop {
            // Relaxed: only this thread writes it.
            let mut block = link.load(Ordering::Relaxed);
            if block.is_null() {
                block = Box::into_raw(Box::new(Self {
                    cells: std::array::from_fn(|_| free()),
                    next: AtomicPtr::new(std::ptr::null_mut()),
                }));
                // Release: pairs with the Acquire in `Holds::each` and `Block::each`.
                link.store(block, Ordering::Release);
            }
            // SAFETY: made above, now or earlier, and freed with the record, which `link`'s borrow keeps.
            let block = unsafe { &*block };
            if let Some(cell) = block.cells.iter().find(|cell| is_free(cell)) {
                return cell;
            }
            link = &block.next;
        }
    }

    #[cold]
    fn each(mut block: *const Self, mut each: impl FnMut(*mut ())) {
        // SAFETY: a block of a record that the caller has borrowed; it goes with the record.
        while let Some(it) = unsafe { block.as_ref() } {
            for cell in &it.cells {
                look(cell, &mut each);
            }
            // Acquire: pairs with the Release in `free_cell`.
            block = it.next.load(Ordering::Acquire);
        }
    }
}

impl Drop for Holds {
    fn drop(&mut self) {
        // Relaxed, all: `&mut self` means that no other thread is left.
        let mut block = self.far.load(Ordering::Relaxed);
        while !block.is_null() {
            // SAFETY: made in `free_cell`, and freed only here.
            let freed = unsafe { Box::from_raw(block) };
            block = freed.next.load(Ordering::Relaxed);
        }
    }
}

/// Ends a hold. For the thread that has published it.
#[inline(always)]
pub(super) fn release(cell: &Cell) {
    // Release: pairs with the Acquire in `look`; what was done with the slot is over.
    cell.store(std::ptr::null_mut(), Ordering::Release);
}

fn free() -> Cell {
    AtomicPtr::new(std::ptr::null_mut())
}

#[inline(always)]
fn is_free(cell: &Cell) -> bool {
    // Relaxed: only this thread writes it.
    cell.load(Ordering::Relaxed).is_null()
}

#[inline(always)]
fn look(cell: &Cell, each: &mut impl FnMut(*mut ())) {
    // Acquire: pairs with the Release in `release`: what ended before this is over. What has begun is seen by the state's pair.
    let slot = cell.load(Ordering::Acquire);
    if !slot.is_null() {
        each(slot);
    }
}
