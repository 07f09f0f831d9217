//! tokio's `Notify`, as far as it is used: to wake all who wait.

use crate::sync::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How often all were woken.
    rounds: usize,
    waiting: Vec<Waker>,
}

/// Ready when all have been woken since it was made.
pub(crate) struct Notified<'n> {
    notify: &'n Notify,
    round: usize,
}

impl Notify {
    pub(crate) fn notify_waiters(&self) {
        let mut state = self.state.lock();
        state.rounds += 1;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        Notified {
            notify: self,
            round: self.state.lock().rounds,
        }
    }
}

impl Notified<'_> {
    /// tokio needs it for `notify_one`; those who are woken all together are in line from the start.
    pub(crate) fn enable(self: Pin<&mut Self>) -> bool {
        self.notify.state.lock().rounds != self.round
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.notify.state.lock();
        if state.rounds != self.round {
            return Poll::Ready(());
        }
        state.waiting.push(context.waker().clone());
        Poll::Pending
    }
}
