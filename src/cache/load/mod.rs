//! Loading: what is not in the cache is loaded once, however many ask for it.
//!
//! # A load
//! The first caller that misses a key *leads*: it files a [`Flight`](flight::Flight) in the [`table`], looks again, runs its loader,
//! stores what that returns, takes the flight out of the table and answers those who wait. Callers that come meanwhile, the
//! *followers*, find the flight and wait for it: on a thread, or as a future on whatever executor polls it. A leader whose loader
//! panics or fails, or whose future is dropped, answers nothing: its followers look again, and one of them leads with its own
//! loader. So an error is the type of the caller whose loader returned it, and no two callers need have the same; sharing one
//! among callers of any types would take `'static` and a cast at run time.
//!
//! # Writes win
//! What a write has changed while a load was going on must not be overwritten by that load. So each write, before it touches the
//! store, [overtakes](table::Table::overtake) the flights of its keys: they will not store, and leave the table, so that callers that
//! come after the write load afresh. Those who already waited are answered with what was loaded.
//!
//! 1. *The flight is there when the write asks.* The flight's own lock decides: the leader stores under it, if the write was not
//!    first. If the leader was first, what it stored is there before the write begins, and goes the way of all that a write replaces or
//!    removes. Only the core runs under that lock, no user code: the value is put in its place by an attempt that compares no keys.
//! 2. *It comes later.* The write asks behind a fence, and a load passes one when it is in the table and has read nothing yet. So a load
//!    that the write does not find reads what the write's caller did before, and need not be overtaken.
//! 3. *It is over already.* Then the write sees what it stored.
//!
//! A leader looks once more before it loads, since another load may have ended between its miss and its lead. What it finds is not for
//! followers: a write that began before it led may be about to remove it.
//!
//! What a write costs where nobody loads, the [`table`] says.
//!
//! # No wait in a circle
//! Loaders run inside [`flights::inside`](crate::flights::inside), so a caller that would wait for its own load, or for one that waits
//! for it, is told so instead.

mod asynchronous;
mod blocking;
mod call;
pub(crate) mod flight;
mod loaded;
mod many;
pub(crate) mod stats;
pub(crate) mod table;

pub use loaded::Loaded;
pub(crate) use stats::Counters;
pub use stats::LoadStats;
