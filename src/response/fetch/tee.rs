//! [`Tee`]: a body on its way to the client and into the store.
//!
//! The body is collected in memory of its own, and its pieces go to the client as they come. A piece that the client waits for is
//! handed on as it is. Others wait for the client in memory of their own, because a piece may be a slice of something larger.

use super::detached::Permit;
use super::state::State;
use crate::response::answer::body::{BoxError, Part};
use crate::response::entry::own_memory;
use crate::response::policy::refusal::Refusal;
use bytes::{Buf, Bytes};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use std::future::{Future, poll_fn};
use std::mem::replace;
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::sync::mpsc;
use tokio::task::coop::consume_budget;

/// What there is of a body at the first look.
pub(crate) enum Begun<D> {
    Whole(Bytes),
    /// It comes in pieces. This is what the first look has found.
    Pieces(First<D>),
}

pub(crate) type First<D> = Poll<Option<Result<Frame<D>, BoxError>>>;

/// Looks at a body once.
pub(crate) async fn begin<R>(body: &mut Pin<Box<R>>) -> Begun<R::Data>
where
    R: Body,
    R::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return Begun::Whole(Bytes::new());
    }
    let first = poll_fn(|context| Poll::Ready(body.as_mut().poll_frame(context))).await;
    let first = first.map(|frame| frame.map(|frame| frame.map_err(Into::into)));
    match first {
        Poll::Ready(Some(Ok(frame))) if body.is_end_stream() => match frame.into_data() {
            Ok(mut data) => Begun::Whole(own_memory::body(data.copy_to_bytes(data.remaining()))),
            Err(frame) => Begun::Pieces(Poll::Ready(Some(Ok(frame)))),
        },
        first => Begun::Pieces(first),
    }
}

/// A body that comes in pieces, for two readers.
pub(crate) struct Tee<R: Body> {
    body: Pin<Box<R>>,
    first: First<R::Data>,
    to_client: mpsc::UnboundedSender<Part<R>>,
}

/// A body that has come. The client has all of it, but does not know yet that this is the end.
pub(crate) struct Collected<R> {
    pub(crate) bytes: Bytes,
    to_client: mpsc::UnboundedSender<Part<R>>,
}

impl<R> Collected<R> {
    /// Tells the client that this is the end.
    pub(crate) fn end(&self) {
        let _ = self.to_client.send(Part::End);
    }
}

impl<R> Tee<R>
where
    R: Body,
    R::Error: Into<BoxError>,
{
    pub(crate) fn new(
        body: Pin<Box<R>>,
        first: First<R::Data>,
    ) -> (Self, mpsc::UnboundedReceiver<Part<R>>) {
        let (to_client, from_tee) = mpsc::unbounded_channel();
        let tee = Self {
            body,
            first,
            to_client,
        };
        (tee, from_tee)
    }

    /// Leaves the rest of the body to the client, who then reads it from the handler itself.
    pub(crate) fn hand_over(mut self) {
        match replace(&mut self.first, Poll::Pending) {
            Poll::Ready(Some(Ok(frame))) => self.send(frame),
            Poll::Ready(Some(Err(error))) => drop(self.to_client.send(Part::Failed(error))),
            Poll::Ready(None) => drop(self.to_client.send(Part::End)),
            Poll::Pending => (),
        }
        let _ = self.to_client.send(Part::Rest(self.body));
    }

    /// Sends the body to the client as it comes, and collects it. From when on the client is gone this takes a permit.
    ///
    /// # Errors
    /// If the body failed, if it is too large to be stored, or if the client is gone and there is no permit, or no longer. A client
    /// that is still there gets the rest from the handler itself.
    pub(crate) async fn collect(
        mut self,
        state: &State,
        permit: &mut Option<Permit>,
    ) -> Result<Collected<R>, Refusal> {
        let account = state.shared.buffers.account(state.settings.max_buffered());
        let Some(mut held) = account.hold(0) else {
            self.hand_over();
            return Err(Refusal::Buffers);
        };
        let mut whole = Vec::new();
        while let Some(frame) = self.next(state, permit).await? {
            // 1. Take the bytes out of the frame.
            let mut data = match frame.map(Frame::into_data) {
                Ok(Ok(data)) => data,
                // Trailers come last: RFC 9110 §6.5.
                Ok(Err(frame)) if frame.is_trailers() => {
                    self.send(frame);
                    break;
                }
                Ok(Err(_)) => continue,
                Err(error) => {
                    let _ = self.to_client.send(Part::Failed(error));
                    return Err(Refusal::Failure);
                }
            };
            let piece = data.copy_to_bytes(data.remaining());
            if piece.is_empty() {
                continue;
            }
            // 2. Collect them, if there is room.
            if (whole.len() + piece.len()) as u64 > state.settings.policy.max_body {
                return Err(self.give_up(piece, Refusal::TooLarge));
            }
            let is_awaited = account.held() == held.bytes();
            if !held.grow(piece.len()) {
                return Err(self.give_up(piece, Refusal::Buffers));
            }
            whole.extend_from_slice(&piece);
            // 3. Send them to the client, if it is still there.
            if self.to_client.is_closed() {
                continue;
            }
            let Some(waits) = account.hold(piece.len()) else {
                return Err(self.give_up(piece, Refusal::Buffers));
            };
            let piece = if is_awaited {
                piece
            } else {
                own_memory::body(piece)
            };
            let _ = self.to_client.send(Part::Data(piece, Some(waits)));
        }
        Ok(Collected {
            bytes: own_memory::cut(whole),
            to_client: self.to_client,
        })
    }

    fn give_up(self, piece: Bytes, refusal: Refusal) -> Refusal {
        let _ = self.to_client.send(Part::Data(piece, None));
        self.hand_over();
        refusal
    }

    fn send(&self, frame: Frame<R::Data>) {
        let part = match frame.into_data() {
            Ok(mut data) => Part::Data(data.copy_to_bytes(data.remaining()), None),
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => Part::Trailers(trailers),
                Err(_) => return,
            },
        };
        let _ = self.to_client.send(part);
    }

    /// The next frame. From when on the client is gone it takes a permit to wait for it.
    async fn next(
        &mut self,
        state: &State,
        permit: &mut Option<Permit>,
    ) -> Result<Next<R>, Refusal> {
        let first = replace(&mut self.first, Poll::Pending);
        if let Poll::Ready(first) = first {
            return Ok(first);
        }
        // So that a body that never waits does not keep others from having their turn.
        consume_budget().await;
        if permit.is_none() {
            if let Some(frame) = self.next_for_client().await {
                return Ok(frame);
            }
            *permit = Some(state.permit().ok_or(Refusal::DetachedLimit)?);
        }
        let permit = permit.as_ref().filter(|permit| !permit.is_over());
        let permit = permit.ok_or(Refusal::DetachedTimeout)?;
        let frame = permit.in_time(self.body.frame()).await;
        let frame = frame.ok_or(Refusal::DetachedTimeout)?;
        Ok(frame.map(|frame| frame.map_err(Into::into)))
    }

    /// The next frame; `None` if the client goes away before it comes.
    async fn next_for_client(&mut self) -> Option<Next<R>> {
        let mut gone = pin!(self.to_client.closed());
        let body = &mut self.body;
        poll_fn(|context| {
            if gone.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            let frame = body.as_mut().poll_frame(context);
            frame.map(|frame| Some(frame.map(|frame| frame.map_err(Into::into))))
        })
        .await
    }
}

/// A frame, or the end.
type Next<R> = Option<Result<Frame<<R as Body>::Data>, BoxError>>;
