//! A body on its way to the client and into the store.

use super::body::{BoxError, Part};
use super::policy::Refusal;
use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use tokio::sync::mpsc;

/// What there is of a body at once.
pub(crate) enum Begun<D> {
    Whole(Bytes),
    /// The first look at it, if there was one.
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
            Ok(mut data) => Begun::Whole(data.copy_to_bytes(data.remaining())),
            Err(frame) => Begun::Pieces(Poll::Ready(Some(Ok(frame)))),
        },
        first => Begun::Pieces(first),
    }
}

/// Sends a body to the client as it comes, and collects it.
///
/// # Errors
/// If it failed or is too large to be stored: then the client gets the rest from the handler itself.
pub(crate) async fn copy<R>(
    mut body: Pin<Box<R>>,
    mut first: First<R::Data>,
    to_client: &mpsc::UnboundedSender<Part<R>>,
    max: u64,
) -> Result<Bytes, Refusal>
where
    R: Body,
    R::Error: Into<BoxError>,
{
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut length = 0;
    // Sending fails when the client is gone: then the body is collected all the same.
    loop {
        let frame = match std::mem::replace(&mut first, Poll::Pending) {
            Poll::Ready(frame) => frame,
            Poll::Pending => body.frame().await.map(|frame| frame.map_err(Into::into)),
        };
        match frame {
            None => break,
            Some(Err(error)) => {
                let _ = to_client.send(Part::Failed(error));
                return Err(Refusal::Failure);
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(mut data) => {
                    let piece = data.copy_to_bytes(data.remaining());
                    length += piece.len() as u64;
                    let _ = to_client.send(Part::Data(piece.clone()));
                    if length > max {
                        let _ = to_client.send(Part::Rest(body));
                        return Err(Refusal::TooLarge);
                    }
                    pieces.push(piece);
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        let _ = to_client.send(Part::Trailers(trailers));
                    }
                }
            },
        }
    }
    let _ = to_client.send(Part::End);
    Ok(match pieces.len() {
        0 => Bytes::new(),
        1 => pieces.swap_remove(0),
        _ => {
            let mut whole = BytesMut::with_capacity(length as usize);
            pieces
                .iter()
                .for_each(|piece| whole.extend_from_slice(piece));
            whole.freeze()
        }
    })
}
