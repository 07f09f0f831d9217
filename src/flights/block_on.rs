//! Waiting on a thread.
//!
//! Not by parking it: a loader may use the thread's one token for itself.

use crate::sync::{Condvar, Mutex};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// What a thread sleeps on that waits for a future.
struct Sleeper {
    is_woken: Mutex<bool>,
    bell: Condvar,
}

impl Sleeper {
    fn sleep(&self) {
        let mut is_woken = self.is_woken.lock();
        while !*is_woken {
            is_woken = self.bell.wait(is_woken);
        }
        *is_woken = false;
    }
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        *self.is_woken.lock() = true;
        self.bell.notify_one();
    }
}

/// Runs a future to its end on this thread, which sleeps while it has to wait. A future that is ready at once costs no more than
/// its poll.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let first = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    if let Poll::Ready(output) = first {
        return output;
    }
    let sleeper = Arc::new(Sleeper {
        is_woken: Mutex::new(false),
        bell: Condvar::new(),
    });
    let waker = Waker::from(Arc::clone(&sleeper));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        sleeper.sleep();
    }
}
