//! [`ResponseFuture`].

use super::answer::body::CacheBody;
use super::answer::headers::add_status;
use http::{HeaderValue, Response};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pin_project! {
    /// The future of a [`CacheResponseService`](super::CacheResponseService): a hit is in it from the start, what passes
    /// through is the handler's own future, and only what is looked up, waited for or stored is boxed.
    ///
    /// # Cancel safety
    /// May be dropped at any time. A handler that was started to fill the cache runs on, within
    /// [`max_detached`](super::CacheResponse::max_detached) and
    /// [`detached_timeout`](super::CacheResponse::detached_timeout).
    pub struct ResponseFuture<F, B, E> {
        #[pin]
        state: State<F, B, E>,
    }
}

type Work<B, E> = Pin<Box<dyn Future<Output = Result<Response<CacheBody<B>>, E>> + Send>>;

pin_project! {
    #[project = Projected]
    enum State<F, B, E> {
        Hit { response: Option<Response<CacheBody<B>>> },
        Pass { #[pin] future: F, status: Option<HeaderValue> },
        Work { work: Work<B, E> },
    }
}

impl<F, B, E> ResponseFuture<F, B, E> {
    pub(crate) fn hit(response: Response<CacheBody<B>>) -> Self {
        Self {
            state: State::Hit {
                response: Some(response),
            },
        }
    }

    pub(crate) fn pass(future: F, status: Option<HeaderValue>) -> Self {
        Self {
            state: State::Pass { future, status },
        }
    }

    pub(crate) fn work(work: Work<B, E>) -> Self {
        Self {
            state: State::Work { work },
        }
    }
}

impl<F, B, E> Future for ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<CacheBody<B>>, E>;

    /// # Panics
    /// When it is polled again after it has given its answer; and if the handler does.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Hit { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => panic!("polled after it was ready"),
            },
            Projected::Pass { future, status } => {
                let mut response = ready!(future.poll(context))?;
                if let Some(status) = status.take() {
                    add_status(response.headers_mut(), status);
                }
                Poll::Ready(Ok(response.map(CacheBody::handler)))
            }
            Projected::Work { work } => work.as_mut().poll(context),
        }
    }
}

impl<F, B, E> fmt::Debug for ResponseFuture<F, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Hit { .. } => "ResponseFuture::Hit",
            State::Pass { .. } => "ResponseFuture::Pass",
            State::Work { .. } => "ResponseFuture::Work",
        })
    }
}
