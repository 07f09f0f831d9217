//! What loads and updates have in common, whether of the typed cache or of a backend: those who wait for another's work wait in a
//! [`queue`], and in no circle, which the [`wait_graph`] finds; how many go on at a time, [`permits`] bound.
//!
//! Waiting needs no runtime: a future that waits is woken on whatever executor polls it, and [`block_on`] waits on a thread.

mod block_on;
#[cfg_attr(not(feature = "backend"), allow(dead_code))]
pub(crate) mod permits;
// Backends use all of it.
#[cfg_attr(not(feature = "backend"), allow(dead_code))]
pub(crate) mod queue;
#[cfg_attr(not(feature = "backend"), allow(dead_code))]
pub(crate) mod wait_graph;
pub(crate) mod wake;

pub(crate) use block_on::block_on;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use wait_graph::{Inside, Node, Wait};

/// Runs a closure's future so that the waits inside it are known to be those of these flights.
pub(crate) async fn inside<F: Future>(nodes: &[Node], future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _inside = Inside::enter(nodes);
        future.as_mut().poll(context)
    })
    .await
}

/// Waits for a flight's end; `None` if that would be for ever, as the flight waits for one that the caller is part of.
pub(crate) async fn unless_circular<F: Future>(node: Node, wait: F) -> Option<F::Output> {
    let mut wait = pin!(wait);
    let mut entered = None;
    poll_fn(|context| {
        if let Poll::Ready(output) = wait.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        if entered.is_none() {
            entered = Wait::enter(node);
            if entered.is_none() {
                return Poll::Ready(None);
            }
        }
        Poll::Pending
    })
    .await
}
