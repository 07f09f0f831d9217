//! One room of the response layer.

pub(crate) mod own_memory;
pub(crate) mod stored_response;
pub(crate) mod update;
pub(crate) mod wire;
