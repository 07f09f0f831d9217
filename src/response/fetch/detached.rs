//! Work that goes on without a client: handlers and bodies whose clients have gone away, refreshes of stale responses, and what is on
//! its way into the backend. Such work takes a [`Permit`]. The number of permits is limited, and each has a deadline. Who gets none
//! waits for the work, or drops it.

use super::permits::{Permits, Taken};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

/// A future that is boxed from the start, because it is large and is handed on.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Permission to go on without a client, up to a deadline.
#[derive(Debug)]
pub(crate) struct Permit {
    _taken: Taken,
    /// Where the work goes on.
    runtime: Handle,
    until: Option<Instant>,
}

impl Permit {
    /// A permit to go on until the timeout is over. `None` if all are taken, or there is no runtime to go on in.
    pub(crate) fn take(permits: &Arc<Permits>, max: usize, timeout: Duration) -> Option<Self> {
        let runtime = Handle::try_current().ok()?;
        Some(Self {
            _taken: permits.take(max)?,
            runtime,
            // A deadline that is too far away for a clock never comes.
            until: Instant::now().checked_add(timeout),
        })
    }

    /// Does some work on a task of its own. The work gets the permit, and keeps it as long as it needs it.
    pub(crate) fn spawn<F>(self, work: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.runtime.clone().spawn(work(self));
    }

    /// As [`spawn`](Self::spawn), for work that has no deadline.
    pub(crate) fn finish(self, work: Work<()>) {
        self.spawn(|permit| async move {
            work.await;
            drop(permit);
        });
    }

    /// The result of some work, if there is one before the deadline. Otherwise the work has been dropped.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match self.until {
            Some(until) => timeout_at(until, work).await.ok(),
            None => Some(work.await),
        }
    }

    /// Whether the deadline is past. Work that may never have to wait has to ask.
    pub(crate) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// Work that its client's own task does as long as the client waits. If the client goes away before the work is done, the rest of it
/// is handed to `go_on`.
pub(crate) struct Attached<T, F: FnOnce(Work<T>)> {
    work: Option<Work<T>>,
    go_on: Option<F>,
}

impl<T, F: FnOnce(Work<T>)> Attached<T, F> {
    pub(crate) fn new(work: Work<T>, go_on: F) -> Self {
        Self {
            work: Some(work),
            go_on: Some(go_on),
        }
    }
}

// Nothing in it is pinned: the work is boxed.
impl<T, F: FnOnce(Work<T>)> Unpin for Attached<T, F> {}

impl<T, F: FnOnce(Work<T>)> Future for Attached<T, F> {
    type Output = T;

    /// # Panics
    /// When it is polled again after it has given its answer; and if the work does.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // The work is taken out, because work that panics must not go on.
        let Some(mut work) = self.work.take() else {
            panic!("polled after it was ready");
        };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T, F: FnOnce(Work<T>)> Drop for Attached<T, F> {
    fn drop(&mut self) {
        if let (Some(work), Some(go_on)) = (self.work.take(), self.go_on.take()) {
            go_on(work);
        }
    }
}
