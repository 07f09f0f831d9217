//! The concurrent core: with `arch` all `unsafe` of the crate, no async, no serde, no features.
//!
//! # The life of one entry
//!
//! 1. A writer hashes the key, pins ([`write`]), and looks the key up as a reader would ([`shard`], `look`): this is where keys are
//!    compared. Then it takes the shard's lock and checks that what it saw still stands (`locate`).
//! 2. It takes a slot ([`slab`]), that of an entry at the end of step 6 if there is one, and a token of the [`budget`],
//!    evicting the shard's oldest entry, or what the policy chooses, if there is none left, fills the slot, and files the slot's id in the [`index`]: with
//!    that Release store the entry is published.
//! 3. It links the slot at the front of the [`list`], or where an adaptive [`policy`] says, and, if the entry has a deadline before which nobody would look at the
//!    id, files that in the timer [`wheel`]. It lets go of the lock.
//! 4. Readers pin ([`reclaim`]), find the id in the index, go to the slot, compare the key, look at the deadline, leave a
//!    stamp, and clone the value; then they unpin. One that is to run a closure names the slot on its own record, unpins, and runs it then. No lock, and no line that another reader needs is written.
//! 5. Replaced, removed, evicted or expired, the id leaves index and list under the lock, its token goes to the next entry or
//!    back to the budget, and the slot goes into [`limbo`]. The wheel finds out when it next comes across the id.
//! 6. When every reader that might have found it has unpinned, some later write moves the entry into its [`garbage`], puts its own
//!    in the slot or leaves it vacant, and drops the old one after letting go of the lock and the pin.
//! 7. A segment of slots that only a burst needed is given back when all of them are vacant.
//!
//! # Locks
//!
//! One mutex a shard. A thread holds one at a time, and before that perhaps one of the budget's: as the one that collects weight, or for one
//! step of a resize. No user code runs under a lock: no `Hash`, `Eq`, `Clone` or `Drop` of keys and
//! values, no closure.
//!
//! # Who may touch what
//!
//! | field | read by | written by |
//! |---|---|---|
//! | `Index` tags and ids of a range, and its annex | pinned readers; the shard's writer | the shard's writer |
//! | `Slab::further` | pinned readers; the shard's writer | the shard's writer, before it gives out an id of that segment, and when all slots of it are vacant again |
//! | `Slot::entry` | pinned readers that found its id; the shard's writer | the shard's writer: while the slot is vacant, and when its grace period is over |
//! | `Slot::meta`, and the limit beside it | readers and the shard's writer | the shard's writer, while the slot is vacant; after that the same, by compare-and-swap: later by readers, nearer by the writer alone, to its end by either ([`life`]) |
//! | `Member::stamp` | readers and the shard's writer | the same; a lost store is a lost use |
//! | `Member::node`, `Slot::timer` | the lock's holder | the lock's holder |
//! | `Front::current` | hits | the shard's writer |
//! | `Front::era`, `Front::owner` | hits in an exact list; the shard's writer | the shard's writer; in an exact list also readers, unless two read at the same time |
//! | `Back::version` | writers before and under the lock | the shard's writer |
//! | `Back::due` | writers of other shards, as a hint | the shard's writer |
//! | `Slab::used`, `Inner` (vacancies, limbo, list, wheel, counts, adaptive policy) | the lock's holder | the lock's holder |
//! | `Pool::free` | anybody | anybody, by compare-and-swap |
//! | `Pool::max`, `Pool::changes` | anybody | who holds the lock of `Pool::target` |
//! | `Pool::pinned` | writers | the shard's writer |
//! | the word for the weight, beside a slot | the shard's writer; writers that found its id | the shard's writer, before it files the id |
//! | `Store::swept` | writers, as a hint | writers |
//! | `Balance` | writers, if the policy is adaptive | the same, by compare-and-swap |
//! | `Domain::epoch` | pins | collectors |
//! | `Domain::asked` | collectors | collectors, after a heavy barrier or once readers have settled; who leases a record |
//! | `Group::leased` | collectors; threads that read for the first time | threads that read for the first time, or end |
//! | `Record::holds` | collectors | its thread |
//! | `Record::state` | collectors | its thread; a collector that marks an idle thread offline; who takes an abandoned record back |
//! | `Record::counts` | `stats` | its thread |

#[cfg(all(test, not(nori_loom)))]
mod backlog;
mod budget;
mod bulk;
mod entry;
mod garbage;
mod index;
mod life;
mod limbo;
mod links;
mod list;
mod listener;
mod meta;
#[cfg(not(nori_loom))]
pub(crate) mod own;
mod policy;
pub(crate) mod reclaim;
mod resize;
mod shard;
mod side;
mod sizing;
mod slab;
mod store;
mod wheel;
mod write;

pub(crate) use index::Route;
pub(crate) use life::{Deadlines, EXPIRED, INHERITED, Life, Limit, MetaWord};
#[cfg(not(nori_loom))]
pub(crate) use listener::Listener;
#[cfg(not(nori_loom))]
pub use listener::RemovalCause;
pub(crate) use meta::{Meta, NEVER};
#[cfg(not(nori_loom))]
pub use policy::Policy;
pub(crate) use resize::TooMuchPinned;
pub(crate) use shard::{Care, Held, Hit, Needs, Pinning, Plain, Seen, Special, Terms, Weighed};
pub(crate) use side::SideWords;
pub(crate) use sizing::Plan;
pub(crate) use store::Store;
pub(crate) use write::{Gate, NotPut, Open, Refusal, Write};
