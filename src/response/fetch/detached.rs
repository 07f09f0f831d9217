//! Work that goes on though nobody waits for it: handlers and bodies whose clients have gone away, refreshes of what is stale,
//! what is on its way into the backend. It takes a [`Permit`]. There are so many of them, and each lasts for so long; whoever
//! gets none waits for the work, or drops it.

use crate::response::fetch::permits::Taken;
use crate::response::fetch::state::Core;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

/// In one place from the start: such futures are large.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Leave to go on though nobody waits, up to a deadline.
#[derive(Debug)]
pub(crate) struct Permit {
    _taken: Taken,
    /// Where to.
    runtime: Handle,
    until: Option<Instant>,
}

impl Core {
    /// A permit; `None` if all are out, or there is no runtime to go on in.
    pub(crate) fn permit(&self) -> Option<Permit> {
        let runtime = Handle::try_current().ok()?;
        Some(Permit {
            _taken: self.shared.permits.take(self.settings.max_detached)?,
            runtime,
            // What lies beyond all time is never.
            until: Instant::now().checked_add(self.settings.detached_timeout),
        })
    }
}

impl Permit {
    /// Does some work on a task of its own. It has the permit, and keeps it for as long as it needs it.
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

    /// What work comes to, if that is before the deadline. If it is not, the work has been dropped.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match self.until {
            Some(until) => timeout_at(until, work).await.ok(),
            None => Some(work.await),
        }
    }

    /// For work that may never have to wait.
    pub(crate) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// Does work that its client waits for. If the client goes away, it goes on with a permit, and without a deadline: what the
/// backend is asked for has an end of its own, and is not left half done.
pub(crate) fn finish(core: Arc<Core>, work: Work<()>) -> impl Future<Output = ()> + Send {
    Attached::new(work, move |work| match core.permit() {
        Some(permit) => permit.finish(work),
        None => core.shared.stats.undetached.add(),
    })
}

/// Work that its client's own task does as long as the client waits. If the client goes away before, what is left of the work is
/// handed to `go_on`.
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

// Nothing in it is pinned: the work is in a place of its own.
impl<T, F: FnOnce(Work<T>)> Unpin for Attached<T, F> {}

impl<T, F: FnOnce(Work<T>)> Future for Attached<T, F> {
    type Output = T;

    /// # Panics
    /// When it is polled again after it has given its answer; and if the work does.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out: work that panics must not go on.
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
