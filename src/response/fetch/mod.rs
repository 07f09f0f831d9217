//! One room of the response layer.

pub(crate) mod buffers;
pub(crate) mod detached;
pub(crate) mod driver;
pub(crate) mod flight;
pub(crate) mod handler_call;
pub(crate) mod permits;
pub(crate) mod state;
pub(crate) mod tee;
