//! The barrier that the domain runs with under loom, in the place of `core/reclaim/barrier.rs`.
//!
//! A model runs with either of its two kinds. [`Kind::Symmetric`] is two full fences. [`Kind::Membarrier`] acts out what
//! Linux promises: [`light`] does nothing at all, and [`heavy`] makes every other thread run a full fence wherever it
//! happens to be, before it returns. The fence cannot be forced upon a thread from outside, so each thread looks before
//! each operation whether one is wanted ([`checkpoint`]) and the caller waits until all have had theirs.

use crate::atomics::fence;
use loom::sync::atomic::{AtomicUsize, Ordering};
use std::cell::Cell;

/// How the two halves are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Symmetric,
    Membarrier,
}

/// As many threads as loom lets a model start.
const THREADS: usize = 4;
/// A thread that has ended needs no fence.
const ENDED: usize = usize::MAX;

struct Requests {
    begun: AtomicUsize,
    /// The latest request that each thread has met.
    met: [AtomicUsize; THREADS],
}

loom::lazy_static! {
    static ref REQUESTS: Requests = Requests {
        begun: AtomicUsize::new(0),
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
    REQUESTS.begun.load(Ordering::Relaxed);
    fence(Ordering::SeqCst);
}

/// Runs the race's thread number `index`.
pub(crate) fn member(index: usize, run: impl FnOnce()) {
    ME.with(|me| me.set(Some((index, 0))));
    run();
    ME.with(|me| me.set(None));
    // Release: what the thread did is behind it for a barrier that comes later, and for nobody else.
    REQUESTS.met[index].store(ENDED, Ordering::Release);
}

pub(crate) fn light() {
    if KIND.get() == Kind::Symmetric {
        fence(Ordering::SeqCst);
    }
}

pub(crate) fn heavy() {
    fence(Ordering::SeqCst);
    if KIND.get() == Kind::Symmetric {
        return;
    }
    // Release: whoever meets the request sees all that was before it.
    let request = REQUESTS.begun.fetch_add(1, Ordering::Release) + 1;
    let me = ME.with(Cell::get).map(|(index, _)| index);
    for index in (0..MEMBERS.get()).filter(|&index| Some(index) != me) {
        // Acquire: all that the thread did before its fence is behind it.
        while REQUESTS.met[index].load(Ordering::Acquire) < request {
            // It may be waiting for us in the same way.
            checkpoint();
            loom::thread::yield_now();
        }
    }
    fence(Ordering::SeqCst);
}

/// Runs the fence that another thread's [`heavy`] waits for, if one does.
pub(crate) fn checkpoint() {
    if KIND.get() == Kind::Symmetric {
        return;
    }
    let Some((index, met)) = ME.with(Cell::get) else {
        return;
    };
    // Relaxed: who looks too early is asked until it has looked again; the fence orders it.
    let begun = REQUESTS.begun.load(Ordering::Relaxed);
    if begun > met {
        fence(Ordering::SeqCst);
        ME.with(|me| me.set(Some((index, begun))));
        REQUESTS.met[index].store(begun, Ordering::Release);
    }
}
