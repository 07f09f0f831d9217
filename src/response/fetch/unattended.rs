//! Handlers that go on without a client.

use super::detached::{Permit, Work};
use super::receiving::Landed;
use super::state::State;
use crate::response::answer::body::BoxError;
use crate::response::event::Unattended;
use crate::response::outcome::Outcome;
use crate::response::policy::refusal::Refusal;
use http_body::Body;
use std::sync::Arc;

/// Sees to a handler's call whose client has gone away: it goes on with a permit, and is dropped if there is none.
pub(crate) fn go_on<R, E>(state: Arc<State>, work: Work<Landed<R, E>>, unattended: Unattended)
where
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
    E: Send + 'static,
{
    match state.permit() {
        Some(permit) => permit.spawn(|permit| to_the_end(state, permit, work, unattended)),
        None => {
            let why = Refusal::DetachedLimit;
            state.count(Outcome::NotStored(why));
            unattended.dropped(why);
        }
    }
}

/// Does all of a call's work as long as the permit lasts. Nobody reads the answer.
pub(crate) async fn to_the_end<R, E>(
    state: Arc<State>,
    permit: Permit,
    work: Work<Landed<R, E>>,
    unattended: Unattended,
) where
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
{
    let rest = match permit.in_time(work).await {
        Some(landed) => landed.rest,
        None => {
            let why = Refusal::DetachedTimeout;
            state.count(Outcome::NotStored(why));
            unattended.dropped(why);
            None
        }
    };
    if let Some(rest) = rest {
        rest.without_client(permit).await;
    }
}
