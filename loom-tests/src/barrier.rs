//! The barrier that the domain runs with under loom, in the place of `core/reclaim/barrier.rs`.
//!
//! A model runs with one of its kinds. With [`Kind::Symmetric`] there is no heavy half, and readers issue full fences from the
//! start. [`Kind::Membarrier`] acts out what
//! Linux promises: the light half does nothing at all, and the heavy one makes every other thread run a full fence wherever
//! it happens to be, before it returns. The fence cannot be forced upon a thread from outside, so each thread looks before
//! each operation whether one is wanted ([`checkpoint`]) and the caller waits until all have had theirs. With
//! [`Kind::Forbidden`] the heavy half is refused when it is asked for, and it is the time to settle that does the same.

use crate::fence::fence;
use loom::sync::atomic::{AtomicUsize, Ordering};
use std::cell::Cell;

/// How the two halves are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Symmetric,
    Membarrier,
    /// Readers issue light halves until the heavy one is refused.
    Forbidden,
}

/// As many threads as loom lets a model start.
const THREADS: usize = 4;
/// A thread that has ended needs no fence.
const ENDED: usize = usize::MAX;

/// How many fences each thread has been asked for, and the last one that it knows it has met. Exchanges alone, as they
/// find the latest value and no older one.
struct Requests {
    made: [AtomicUsize; THREADS],
    met: [AtomicUsize; THREADS],
}

loom::lazy_static! {
    static ref REQUESTS: Requests = Requests {
        made: std::array::from_fn(|_| AtomicUsize::new(0)),
        met: std::array::from_fn(|_| AtomicUsize::new(0)),
    };
}

// loom's threads share one of the system's: these are the model's settings, not a thread's.
thread_local! {
    static KIND: Cell<Kind> = const { Cell::new(Kind::Symmetric) };
    static MEMBERS: Cell<usize> = const { Cell::new(0) };
}

loom::thread_local! {
    /// The thread's number among the members of the race, and the latest request that it has met.
    static ME: Cell<Option<(usize, usize)>> = Cell::new(None);
}

/// Chooses the kind for the models that this thread of the system checks from now on.
pub(crate) fn choose(kind: Kind) {
    KIND.set(kind);
    MEMBERS.set(0);
}

/// Says how many threads a race will have, before the first of them starts.
pub(crate) fn expect(members: usize) {
    assert!(members <= THREADS);
    MEMBERS.set(members);
    // The statics are made by the thread that starts the others, so that their making orders nothing among those.
    REQUESTS.made[0].load(Ordering::Relaxed);
    fence(Ordering::SeqCst);
}

/// Runs the race's thread number `index`.
pub(crate) fn member(index: usize, run: impl FnOnce()) {
    ME.with(|me| me.set(Some((index, 0))));
    run();
    ME.with(|me| me.set(None));
    // Release: what the thread did is behind it for a barrier that comes later, and for nobody else.
    REQUESTS.met[index].swap(ENDED, Ordering::Release);
}

/// There was no heavy barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) for_good: bool,
}

pub(crate) fn has_heavy() -> bool {
    KIND.get() != Kind::Symmetric
}

pub(crate) fn heavy() -> Result<(), Refused> {
    if KIND.get() != Kind::Membarrier {
        return Err(Refused { for_good: true });
    }
    fence(Ordering::SeqCst);
    fence_elsewhere();
    fence(Ordering::SeqCst);
    Ok(())
}

/// As the real one: where the barrier is refused it waits, which here is the same.
pub(crate) fn fence_everywhere() {
    fence(Ordering::SeqCst);
    fence_elsewhere();
    fence(Ordering::SeqCst);
}

/// Acts out the time after which what a thread stored before it has reached all others: by a fence in each.
#[derive(Debug)]
pub(crate) struct Settling;

impl Settling {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn is_over(&self) -> bool {
        if KIND.get() == Kind::Forbidden {
            fence_elsewhere();
        }
        fence(Ordering::SeqCst);
        true
    }
}

/// Returns when every other thread of the race has run a full fence, or has ended.
fn fence_elsewhere() {
    let me = ME.with(Cell::get).map(|(index, _)| index);
    let others = || (0..MEMBERS.get()).filter(|&index| Some(index) != me);
    // Release: whoever meets the request sees all that was before it.
    let requests: Vec<_> = others()
        .map(|index| REQUESTS.made[index].fetch_add(1, Ordering::Release) + 1)
        .collect();
    for (index, request) in others().zip(requests) {
        // Acquire: all that the thread did before its fence is behind it.
        while REQUESTS.met[index].fetch_add(0, Ordering::Acquire) < request {
            // It may be waiting for us in the same way.
            checkpoint();
            loom::thread::yield_now();
        }
    }
}

/// Runs the fence that another thread's heavy half waits for, if one does.
pub(crate) fn checkpoint() {
    if KIND.get() == Kind::Symmetric {
        return;
    }
    let Some((index, met)) = ME.with(Cell::get) else {
        return;
    };
    // Relaxed: the fence orders it.
    let made = REQUESTS.made[index].fetch_add(0, Ordering::Relaxed);
    if made > met {
        fence(Ordering::SeqCst);
        ME.with(|me| me.set(Some((index, made))));
        // Release: pairs with the Acquire above.
        REQUESTS.met[index].swap(made, Ordering::Release);
    }
}
