//! What happens to a request that cannot be answered at once.
//!
//! The [driver] looks into the backend, has the [decision](decide) made, and does what it says: it serves what is stored, follows
//! another request's [flight], or leads one. A leader [calls the handler](handler_call), and answers its own client as soon as there
//! are [headers](receiving). A body that is there in one piece is [stored](storing) at once. Any other is copied on its way to the
//! client by a [tee], on a task of its own, which neither a slow client nor one that has gone away holds up, because others may be
//! waiting for the whole. So a leader's call results in an answer and in the rest of the work, which is done beside the client or
//! [without one](unattended).

pub(crate) mod decide;
pub(crate) mod detached;
pub(crate) mod driver;
pub(crate) mod flight;
mod handler_call;
mod leading;
pub(crate) mod permits;
mod receiving;
pub(crate) mod state;
mod storing;
mod tee;
mod unattended;
mod uncacheable;
