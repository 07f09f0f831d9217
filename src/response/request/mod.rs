//! What a request asks for, and whether it has anything to do with the cache.

pub(crate) mod admission;
pub(crate) mod authority;
pub(crate) mod bypass;
pub(crate) mod conditions;
pub(crate) mod directives;
pub(crate) mod invalidation;
pub(crate) mod key;
pub(crate) mod key_settings;
pub(crate) mod original;
pub(crate) mod query;
pub(crate) mod question;
