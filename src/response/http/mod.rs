//! One room of the response layer.

pub(crate) mod cache_status;
pub(crate) mod directives;
pub(crate) mod structured;
pub(crate) mod validators;
