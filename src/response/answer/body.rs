//! [`CacheBody`]: the body of every response that a cached service gives.

use super::buffers::Held;
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

pin_project! {
    /// The body of a response: the bytes of a stored response, which it shares with the store, or the handler's own body, as it is or
    /// while it is being stored.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use nori_cache::response::CacheBody;
    ///
    /// # fn body(_: CacheBody<http_body_util::Full<Bytes>>) {}
    /// fn is_body<B: http_body::Body<Data = Bytes>>() {}
    /// is_body::<CacheBody<http_body_util::Full<Bytes>>>();
    /// ```
    pub struct CacheBody<B> {
        #[pin]
        source: Source<B>,
    }
}

pin_project! {
    #[project = Projected]
    enum Source<B> {
        Stored { bytes: Bytes },
        Handler { #[pin] body: B },
        Copied { parts: mpsc::UnboundedReceiver<Part<B>>, left: Option<u64>, ended: bool },
        Rest { body: Pin<Box<B>> },
    }
}

/// What comes from the task that stores a body while it goes to the client.
pub(crate) enum Part<B> {
    /// A piece, which is counted as long as it waits here.
    Data(Bytes, Option<Held>),
    Trailers(HeaderMap),
    /// The body is not to be stored after all: the rest comes from the handler directly.
    Rest(Pin<Box<B>>),
    Failed(BoxError),
    End,
}

impl<B> CacheBody<B> {
    pub(crate) fn stored(bytes: Bytes) -> Self {
        Self {
            source: Source::Stored { bytes },
        }
    }

    pub(crate) fn handler(body: B) -> Self {
        Self {
            source: Source::Handler { body },
        }
    }

    pub(crate) fn copied(parts: mpsc::UnboundedReceiver<Part<B>>, left: Option<u64>) -> Self {
        Self {
            source: Source::Copied {
                parts,
                left,
                ended: false,
            },
        }
    }
}

impl<B> Body for CacheBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.as_mut().project().source.project() {
            Projected::Stored { bytes } => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Projected::Handler { body } => body.poll_frame(context).map(to_bytes),
            Projected::Rest { body } => body.as_mut().poll_frame(context).map(to_bytes),
            Projected::Copied { ended: true, .. } => Poll::Ready(None),
            Projected::Copied { parts, left, ended } => match ready!(parts.poll_recv(context)) {
                Some(Part::Data(bytes, held)) => {
                    drop(held);
                    *left = left.map(|left| left.saturating_sub(bytes.len() as u64));
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
                Some(Part::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Some(Part::Rest(body)) => {
                    self.as_mut().project().source.set(Source::Rest { body });
                    self.poll_frame(context)
                }
                Some(Part::Failed(error)) => {
                    *ended = true;
                    Poll::Ready(Some(Err(error)))
                }
                Some(Part::End) => {
                    *ended = true;
                    Poll::Ready(None)
                }
                // The task is gone. What came so far must not be taken for the whole.
                None => {
                    *ended = true;
                    Poll::Ready(Some(
                        Err("the response's body ended before its time".into()),
                    ))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Stored { bytes } => bytes.is_empty(),
            Source::Handler { body } => body.is_end_stream(),
            Source::Rest { body } => body.is_end_stream(),
            Source::Copied { ended, .. } => *ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Stored { bytes } => SizeHint::with_exact(bytes.len() as u64),
            Source::Handler { body } => body.size_hint(),
            Source::Rest { body } => body.size_hint(),
            Source::Copied {
                left: Some(left), ..
            } => SizeHint::with_exact(*left),
            Source::Copied { left: None, .. } => SizeHint::default(),
        }
    }
}

fn to_bytes<D: Buf, E: Into<BoxError>>(
    frame: Option<Result<Frame<D>, E>>,
) -> Option<Result<Frame<Bytes>, BoxError>> {
    frame.map(|frame| match frame {
        // For `Bytes` this is no copy.
        Ok(frame) => Ok(frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))),
        Err(error) => Err(error.into()),
    })
}

impl<B> Default for CacheBody<B> {
    /// An empty body.
    fn default() -> Self {
        Self::stored(Bytes::new())
    }
}

impl<B> fmt::Debug for CacheBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.source {
            Source::Stored { .. } => "CacheBody::Stored",
            Source::Handler { .. } => "CacheBody::Handler",
            Source::Copied { .. } => "CacheBody::Copied",
            Source::Rest { .. } => "CacheBody::Rest",
        })
    }
}
