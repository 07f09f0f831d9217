//! Storing what a handler has answered, beside its client or without one.

use super::detached::{Permit, Work};
use super::flight::Landing;
use super::leading::Leading;
use super::state::State;
use super::tee::Tee;
use crate::response::answer::body::BoxError;
use crate::response::clock::UnixMillis;
use crate::response::entry::stored_response::StoredResponse;
use crate::response::event;
use crate::response::http::content;
use crate::response::outcome::Outcome;
use crate::response::policy::refusal::{Refusal, asks_to_try_again, is_about_request};
use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Handle;

/// What is left to do when a client can be answered.
pub(crate) enum Rest<R: Body> {
    /// The storing has begun and goes on.
    Store(Work<()>),
    /// The body is to be copied on its way to the client, and to be stored.
    Tee(Box<TeeAndStore<R>>),
}

/// A body that is to go to the client, and then into the store.
pub(crate) struct TeeAndStore<R: Body> {
    pub(crate) leading: Box<Leading>,
    pub(crate) stored: StoredResponse,
    pub(crate) keep: Duration,
    pub(crate) tee: Tee<R>,
}

impl<R> Rest<R>
where
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
{
    /// Does the rest while a client gets its answer. The client need not wait for it, unless too much goes on already.
    pub(crate) async fn beside_the_client(self, state: Arc<State>) {
        match self {
            Self::Store(store) => match state.permit() {
                Some(permit) => permit.finish(store),
                None => state.finish(store).await,
            },
            Self::Tee(tee) => match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(tee.run(None))),
                Err(_) => tee.tee.hand_over(),
            },
        }
    }

    /// Does the rest where there is no client.
    pub(crate) async fn without_client(self, permit: Permit) {
        match self {
            Self::Store(store) => {
                store.await;
                drop(permit);
            }
            Self::Tee(tee) => tee.run(Some(permit)).await,
        }
    }
}

impl<R> TeeAndStore<R>
where
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
{
    async fn run(self: Box<Self>, mut permit: Option<Permit>) {
        let Self {
            leading,
            stored,
            keep,
            tee,
        } = *self;
        let status = stored.status;
        // 1. Have the body come.
        let collected = match tee.collect(&leading.state, &mut permit).await {
            Ok(collected) => collected,
            Err(refusal) => return leading.refuse(refusal, status).await,
        };
        let stored = match leading.complete(stored, collected.bytes.clone()) {
            Ok(stored) => stored,
            Err(refusal) => {
                collected.end();
                return leading.refuse(refusal, status).await;
            }
        };
        // 2. Store it. The client need not wait for the store, unless too much goes on already.
        let permit = permit.or_else(|| leading.state.permit());
        let client_waits = permit.is_none();
        if !client_waits {
            collected.end();
        }
        leading.store(stored, keep, leading.state.now()).await;
        if client_waits {
            collected.end();
        }
        drop(permit);
    }
}

impl Leading {
    /// The stored response, now that its body has come.
    ///
    /// # Errors
    /// Why it is not stored.
    pub(crate) fn complete(
        &self,
        mut stored: StoredResponse,
        body: Bytes,
    ) -> Result<Arc<StoredResponse>, Refusal> {
        if body.len() as u64 > self.state.settings.policy.max_body {
            return Err(Refusal::TooLarge);
        }
        if !content::is_whole(stored.status, &stored.headers, body.len()) {
            // Cut short, or worse.
            return Err(Refusal::Failure);
        }
        content::set_length(&mut stored.headers, body.len());
        stored.body = body;
        Ok(Arc::new(stored))
    }

    /// Does what follows from a response not being stored. The stale response that it was to replace is removed, unless the handler
    /// may have answered so for a moment only.
    pub(crate) async fn refuse(&self, refusal: Refusal, status: StatusCode) {
        let Self {
            state, question, ..
        } = self;
        let outcome = Outcome::NotStored(refusal);
        state.count(outcome);
        event::kept(outcome, question.key.as_str(), 0);
        // Followers need not wait for what comes below.
        self.leader.tell(Landing::Alone);
        if refusal.is_passing(status) || !self.speaks_for_others() {
            return;
        }
        if !is_about_request(status) {
            state.set_uncacheable(question.key.as_str());
        }
        if let Some(stale) = &self.stale
            && !asks_to_try_again(status)
            && let Err(error) = state.storage.forget(question, stale).await
        {
            state.backend_failed(&error);
        }
    }

    /// Stores a response, as far as that takes no waiting.
    pub(crate) async fn begin_to_store<R: Body>(
        self: Box<Self>,
        stored: Arc<StoredResponse>,
        keep: Duration,
        now: UnixMillis,
    ) -> Option<Rest<R>> {
        let mut store: Work<()> = Box::pin(async move { self.store(stored, keep, now).await });
        let is_done = poll_fn(|context| Poll::Ready(store.as_mut().poll(context).is_ready())).await;
        (!is_done).then_some(Rest::Store(store))
    }

    /// Gives a response to the followers, then to the backend.
    async fn store(&self, stored: Arc<StoredResponse>, keep: Duration, now: UnixMillis) {
        let Self {
            state, question, ..
        } = self;
        let key = question.key.as_str();
        state.shared.uncacheable.remove(key);
        // A response that has to be revalidated each time is for one client only.
        if stored.is_fresh(now) {
            self.leader.tell(Landing::Shared(Arc::clone(&stored)));
        }
        let storage = &state.storage;
        let is_stored = storage.store(question, &stored, keep, self.observed).await;
        let outcome = match is_stored {
            Ok(true) => Outcome::Stored,
            Ok(false) => Outcome::NotStored(Refusal::Purged),
            Err(error) => return state.backend_failed(&error),
        };
        state.count(outcome);
        event::kept(outcome, key, stored.body.len());
    }
}
