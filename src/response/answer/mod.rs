//! Answers: heads and bodies as clients get them.

pub(crate) mod body;
pub(crate) mod buffers;
pub(crate) mod from_stored;
pub(crate) mod headers;
