//! Runs operations on an organ of nori-cache and on a naive model of it, and compares the two after every step.
//!
//! The operations come from libFuzzer (`scripts/fuzz`) or from a seeded generator (`cargo test` in this folder, which needs
//! neither nightly nor cargo-fuzz).
//!
//! The organs are private to the crate, so its sources are compiled here once more, with the modules that the fuzzers look
//! into made visible. `cfg(fuzzing)` turns on the organs' `validate()`; here it is always set, by build.rs.

pub mod organs;

#[allow(dead_code)]
#[path = "../../src/arch/mod.rs"]
mod arch;
#[allow(dead_code, unused_imports)]
#[path = "../../src/backend/mod.rs"]
mod backend;
#[allow(dead_code, unused_imports)]
#[path = "../../src/cache/mod.rs"]
mod cache;
#[allow(dead_code)]
#[path = "../../src/error.rs"]
mod error;
#[allow(dead_code)]
#[path = "../../src/flights/mod.rs"]
mod flights;
#[allow(dead_code)]
#[path = "../../src/histogram.rs"]
mod histogram;
#[allow(dead_code, unused_imports)]
#[path = "../../src/sync.rs"]
mod sync;
#[allow(dead_code)]
#[path = "../../src/time/mod.rs"]
mod time;

/// As `src/core/mod.rs`, but for the visibility of its modules.
#[allow(dead_code)]
#[path = "../../src/core"]
mod core {
    pub(crate) mod budget;
    mod bulk;
    pub(crate) mod entry;
    pub(crate) mod garbage;
    pub(crate) mod index;
    pub(crate) mod life;
    mod limbo;
    mod links;
    pub(crate) mod list;
    pub(crate) mod listener;
    pub(crate) mod meta;
    pub(crate) mod own;
    mod policy;
    pub(crate) mod reclaim;
    mod resize;
    pub(crate) mod shard;
    mod side;
    mod sizing;
    mod slab;
    mod store;
    pub(crate) mod wheel;
    mod write;

    pub(crate) use index::Route;
    pub(crate) use life::{Deadlines, EXPIRED, INHERITED, Life, Limit, MetaWord};
    pub(crate) use listener::Listener;
    pub use listener::RemovalCause;
    pub(crate) use meta::{Meta, NEVER};
    pub use policy::Policy;
    pub(crate) use resize::TooMuchPinned;
    pub(crate) use shard::{Care, Held, Hit, Needs, Pinning, Plain, Seen, Special, Terms, Weighed};
    pub(crate) use side::SideWords;
    pub(crate) use sizing::Plan;
    pub(crate) use store::Store;
    pub(crate) use write::{Gate, NotPut, Open, Refusal, Write};
}

/// The rooms of `src/response` that stored responses are made of.
#[allow(dead_code, unused_imports)]
#[path = "../../src/response"]
mod response {
    pub(crate) mod clock;
    pub(crate) mod entry;
    pub(crate) mod http;
    mod policy;
    /// As `src/response/request/mod.rs`, but for what looks at bodies.
    mod request {
        mod authority;
        mod bypass;
        mod conditions;
        mod directives;
        pub(crate) mod key;
        pub(crate) mod key_settings;
        mod original;
        mod query;
        pub(crate) mod question;
    }
}
