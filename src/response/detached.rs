//! [`Detached`]: work that survives its client.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::Handle;

/// Work that its client's own task does as long as the client waits. When the client goes away it goes on, on a task of its
/// own; without a runtime it ends there.
pub(crate) struct Detached<T: Send + 'static>(Option<Work<T>>);

/// In one place from the start: such futures are large.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T: Send + 'static> Detached<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for Detached<T> {
    type Output = T;

    /// # Panics
    /// When it is polled again after it has given its answer; and if the work does.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out: work that panics must not go on.
        let Some(mut work) = self.0.take() else {
            panic!("polled after it was ready");
        };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.0 = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Detached<T> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

/// Does what can be done without waiting; what is left goes on, on a task of its own.
pub(crate) async fn do_or_detach(mut work: Work<()>) {
    let is_done = |context: &mut Context<'_>| Poll::Ready(work.as_mut().poll(context).is_ready());
    if !std::future::poll_fn(is_done).await {
        tokio::spawn(work);
    }
}
