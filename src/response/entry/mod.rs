//! Stored responses: what they are, for how long they may be served, whether they can be believed, and how they are written.

pub(crate) mod credible;
pub(crate) mod lifetime;
pub(crate) mod made_for;
pub(crate) mod own_memory;
pub(crate) mod purge_count;
pub(crate) mod purge_number;
pub(crate) mod signpost;
pub(crate) mod stored_response;
pub(crate) mod stored_tag;
pub(crate) mod tag_purges;
pub(crate) mod update;
pub(crate) mod wire;
