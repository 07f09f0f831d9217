//! Loads: what a caller gets for a key, whether it is in the store, has expired there, is being loaded or has to be, and whatever
//! the source and the store are like.
//!
//! # One load
//! 1. *Look*: first a glance into this process's memory ([`glance`]), where a fresh value is all there is to say; else the store is
//!    asked for the key ([`call`]). A value that is there is fresh; one that is *kept* says until when it is.
//! 2. *Decide* ([`decide`]): from what was seen, the time and the options, and from nothing else, follows what is to be done: answer;
//!    answer and refresh in the background; or load.
//! 3. *Join* ([`join`]): who has to load leads the key's load, or waits for its leader. That is single flight, and works
//!    whether or not the store does. See [`Flights`](super::Flights) for why writes win over loads: whatever is stored here
//!    is stored by a leader whom no write has overtaken, loads in the background included.
//! 4. *Lead* ([`lead`]): looks once more, runs the loader, stores what it got, and answers all who wait.
//!
//! # What is kept
//! An entry that has nothing but a time to live is stored as a plain value, as `set` would. Where a load may need it after its time,
//! or needs to know its age, it is kept with its times and stays in the store for as long as any of its windows is open
//! ([`kept`](super::kept)). Its freshness goes by the time of day ([`wall`](super::wall)), which processes share.
//!
//! # Failures
//! A load that failed is noted in this process ([`Failures`](super::flights::Failures)), and not in the store: there it would cost a
//! write for each failure, it could not be noted while the store is down, and a value that expired would count as fresh for others.
//! So each process tries once in a while.
//!
//! # A store that cannot be read
//! is no obstacle to a load; there is nothing stale to go away with, then. A backend that keeps copies may know what was there the last
//! time ([`last_known`](crate::CacheBackend::last_known)): that is never a hit, and the loader is not shown it. When the load has failed, or takes too long, it is looked at
//! (once more): what has become known to be out of date meanwhile is not returned.
//!
//! # Many processes
//! A load for the whole fleet ([`LoadOptions::fleet_single_flight`]) takes the second look in one step with a lease of the key, and waits
//! while another process has it ([`fleet`]). All else is as before, so a store that is down, or has no leases, makes it a load of
//! this process.
//!
//! # In the background
//! A load that goes on without its caller is a task on the caller's Tokio runtime. It owns what it needs, its leader, its loader, the
//! backend, and a permit, of which there is a bounded number. Whatever ends the task, the end of its runtime included, drops these: the
//! leader hands over, the permit is given back. Only loads over an `Arc` can do so; those over a reference wait.
//!
//! | file | what is in it |
//! |---|---|
//! | `options` | [`LoadOptions`] |
//! | `compact` | options in eight bytes each |
//! | `handle` | [`Handle`]: what a load has of its backend, a reference or an `Arc` |
//! | `builder` | [`Load`], which callers write down |
//! | `context` | [`LoadContext`], which loaders get |
//! | `outcome` | [`Answer`], [`Outcome`] |
//! | `glance` | a glance into memory, which is all that most loads come to |
//! | `call` | one load's settings, and its looks at the store |
//! | `decide` | the decision |
//! | `join` | leaders, and those who wait |
//! | `found` | what a leader finds when it looks once more |
//! | `fleet` | one process that loads for all others |
//! | `lead` | the leader's work |
//! | `entry` | what is stored |
//! | `background` | tasks |
//! | `many` | one call of a loader for many keys |
//! | `run` | the driver |

mod background;
mod builder;
mod call;
mod compact;
mod context;
mod decide;
mod entry;
mod fleet;
mod found;
mod glance;
mod handle;
mod join;
mod lead;
mod many;
mod options;
mod outcome;
mod run;

pub use builder::Load;
pub use context::LoadContext;
pub use handle::{Handle, Own, Scoped, Shared, SharedHandle};
pub(super) use many::get_or_load_many;
pub use options::LoadOptions;
pub(super) use options::plain;
pub use outcome::{Answer, Outcome};
pub(crate) use run::get_or_load;
