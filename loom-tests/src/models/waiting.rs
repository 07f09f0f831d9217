//! Threads that wait for futures.

use loom::sync::{Condvar, Mutex};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Whether a thread is to look again.
struct Signal {
    given: Mutex<bool>,
    bell: Condvar,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        *self.given.lock().unwrap() = true;
        self.bell.notify_one();
    }
}

/// Runs a future to its end; loom reports a deadlock if nobody wakes it.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let signal = Arc::new(Signal {
        given: Mutex::new(false),
        bell: Condvar::new(),
    });
    let waker = Waker::from(Arc::clone(&signal));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let mut given = signal.given.lock().unwrap();
        while !*given {
            given = signal.bell.wait(given).unwrap();
        }
        *given = false;
    }
}

/// Polls a future once, and drops it.
pub(super) fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}
