//! One room of the response layer.

pub(crate) mod authority;
pub(crate) mod key;
pub(crate) mod original;
pub(crate) mod query;
pub(crate) mod vary;
