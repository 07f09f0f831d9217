//! One room of the response layer.

pub(crate) mod default_backend;
pub(crate) mod known_purges;
pub(crate) mod lookup;
pub(crate) mod own_keys;
pub(crate) mod purge_list;
