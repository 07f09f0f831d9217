//! One room of the response layer.

pub(crate) mod body;
pub(crate) mod build;
