//! One room of the response layer.

pub(crate) mod plan;
pub(crate) mod storable;
