//! What the methods of a backend return.

use crate::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The future of a backend's call: an answer that is ready, or a boxed future. A ready one allocates nothing.
///
/// ```
/// use nori_cache::{BackendFuture, Error};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let ready = BackendFuture::ready(Ok(1));
/// let boxed = BackendFuture::boxed(async { Ok(2) });
/// assert_eq!(ready.await? + boxed.await?, 3);
/// # Ok(())
/// # }
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct BackendFuture<'a, T>(State<'a, T>);

enum State<'a, T> {
    /// Empty once it has been taken.
    Ready(Option<Result<T, Error>>),
    Boxed(Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>),
}

impl<'a, T> BackendFuture<'a, T> {
    /// An answer that is known already.
    #[inline]
    pub fn ready(answer: Result<T, Error>) -> Self {
        Self(State::Ready(Some(answer)))
    }

    /// An answer that is to be waited for.
    pub fn boxed(future: impl Future<Output = Result<T, Error>> + Send + 'a) -> Self {
        Self(State::Boxed(Box::pin(future)))
    }
}

// Nothing in it is ever pinned in place.
impl<T> Unpin for BackendFuture<'_, T> {}

impl<T> Future for BackendFuture<'_, T> {
    type Output = Result<T, Error>;

    /// # Panics
    /// When it is polled again after it has given its answer.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(answer) => match answer.take() {
                Some(answer) => Poll::Ready(answer),
                None => panic!("polled after it was ready"),
            },
            State::Boxed(future) => future.as_mut().poll(context),
        }
    }
}

impl<T> fmt::Debug for BackendFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            State::Ready(_) => "BackendFuture::Ready",
            State::Boxed(_) => "BackendFuture::Boxed",
        })
    }
}
