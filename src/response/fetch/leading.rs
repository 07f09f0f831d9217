//! [`Leading`]: what a leader knows while its handler is called and its response is stored.

use super::flight::Leader;
use super::state::State;
use crate::response::clock::UnixMillis;
use crate::response::entry::stored_response::StoredResponse;
use crate::response::outcome::Forward;
use crate::response::request::question::Question;
use crate::response::storage::handle::ObservedPurges;
use std::sync::Arc;

pub(crate) struct Leading {
    pub(crate) state: Arc<State>,
    pub(crate) question: Question,
    pub(crate) leader: Leader,
    /// What the handler's response is to replace.
    pub(crate) stale: Option<Arc<StoredResponse>>,
    /// What was purged when the request came.
    pub(crate) observed: ObservedPurges,
    pub(crate) forward: Forward,
    pub(crate) asked_at: UnixMillis,
}

impl Leading {
    /// Whether an answer that is not stored says anything about what others would get. An answer to one caller does not. Nor does an
    /// answer that a client has asked for although a fresh response is stored: otherwise one odd request would take it away from all clients.
    pub(crate) fn speaks_for_others(&self) -> bool {
        let now = self.state.now();
        let has_fresh = self.stale.as_ref().is_some_and(|old| old.is_fresh(now));
        !self.question.is_authorized && !has_fresh
    }
}
