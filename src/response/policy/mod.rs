//! Whether a response may be stored, and for how long: RFC 9111 §3 and §4.2 for a shared cache, with what services get wrong in
//! mind.
//!
//! The two [modes](settings::Mode) differ in who says how long a response is fresh. What keeps a response from being stored is
//! the same in both, but in timed mode a response can also shorten its lifetime.

pub(crate) mod lifetime;
pub(crate) mod plan;
pub(crate) mod refusal;
pub(crate) mod settings;
pub(crate) mod storable;
pub(crate) mod tags;
pub(crate) mod variants;
