//! [`CacheResponseService`].

use super::answer::body::{BoxError, CacheBody};
use super::answer::from_stored::answer;
use super::answer::headers::add_status;
use super::entry::stored_response::StoredResponse;
use super::event;
use super::fetch::driver::Fetch;
use super::fetch::state::State;
use super::future::ResponseFuture;
use super::http::cache_status::ForwardReason;
use super::outcome::{Forward, Outcome};
use super::request::admission::{self, Caller};
use super::request::bypass::Bypass;
use super::request::conditions::Conditions;
use super::request::directives::RequestDirectives;
use super::request::invalidation::outdated_keys;
use super::request::key::Key;
use super::request::question::Question;
use bytes::Buf;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body;
use std::fmt;
use std::mem::replace;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// A service whose responses are cached; made by [`CacheResponse`](super::CacheResponse).
///
/// Clones share what is cached and what goes on; each clone has a readiness of its own, that of its inner service. A hit
/// leaves the inner service untouched, and ready.
///
/// Bodies of requests have to be [`http_body::Body`]s, because a GET is cached only if its body is empty. That is so if the body says
/// that its stream has ended, or, before HTTP/2, that it is exactly 0 bytes long.
#[derive(Clone)]
pub struct CacheResponseService<S> {
    inner: S,
    state: Arc<State>,
}

impl<S> CacheResponseService<S> {
    pub(crate) fn new(inner: S, state: Arc<State>) -> Self {
        Self { inner, state }
    }
}

impl<S, B, R> Service<Request<B>> for CacheResponseService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    R: Body + Send + 'static,
    R::Data: Buf + Send,
    R::Error: Into<BoxError>,
{
    type Response = Response<CacheBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    /// # Panics
    /// The future may panic on a tokio runtime without timers, because it takes one to wait for another request's handler; and
    /// outside a runtime if the backend does. Outside a runtime nothing goes on without its client, no request waits for another
    /// one, and bodies that come in pieces are passed through.
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let policy = &self.state.settings.policy;
        // 1. See whether the cache has anything to do with the request.
        let is_get = *request.method() == Method::GET;
        if !is_get && *request.method() != Method::HEAD {
            event::bypassed(Bypass::Method, request.uri().path());
            if policy.by_headers() && !request.method().is_safe() {
                return self.call_unsafe(request);
            }
            return ResponseFuture::pass(self.inner.call(request), None);
        }
        let (parts, body) = request.into_parts();
        let (key, caller) = match self.admit(&parts, &body) {
            Ok(admitted) => admitted,
            Err(bypass) => return self.bypass(bypass, Request::from_parts(parts, body)),
        };
        let directives = if policy.by_headers() {
            RequestDirectives::of(&parts.headers)
        } else {
            RequestDirectives::default()
        };
        let question = Question {
            key,
            is_authorized: caller == Caller::WithCredentials
                && !self.state.settings.keys.tells_callers_apart(),
            conditions: Conditions::of(&parts.method, &parts.headers),
            directives,
            head: parts,
        };
        // 2. Answer what is found fresh without waiting: under the key itself, and then wherever else it may be.
        if let Some(stored) = self.state.storage.find_plain(&question)
            && let Some(hit) = self.hit(&question, &stored)
        {
            return hit;
        }
        let landed = self.state.shared.flights.landed();
        let found = self.state.storage.find_now(&question);
        if let Some(stored) = found.as_ref().and_then(|found| found.stored.as_ref())
            && let Some(hit) = self.hit(&question, stored)
        {
            return hit;
        }
        // 3. Fetch anything else.
        let fetch = Fetch {
            state: Arc::clone(&self.state),
            inner: self.take_ready(),
            body,
            question,
            found,
            landed,
        };
        ResponseFuture::work(Box::pin(fetch.run()))
    }
}

impl<S> CacheResponseService<S> {
    /// The answer from a stored response, if it is fresh for sure.
    #[inline]
    fn hit<F, R, E>(
        &self,
        question: &Question,
        stored: &StoredResponse,
    ) -> Option<ResponseFuture<F, R, E>> {
        let now = self.state.soon();
        let is_accepted = question
            .directives
            .accept(stored.age(now), stored.lifetime.fresh);
        if !stored.is_fresh(now) || !is_accepted {
            return None;
        }
        let outcome = Outcome::Hit;
        self.state.count(outcome);
        event::answered(outcome, question.key.as_str(), false);
        let status = outcome.hit_status(stored.ttl_seconds(now));
        let response = answer(stored, &question.conditions, now, status);
        Some(ResponseFuture::hit(response))
    }

    /// The key of a GET or HEAD, and whose it is.
    ///
    /// # Errors
    /// Why it is passed through.
    fn admit<B: Body + 'static>(&self, parts: &Parts, body: &B) -> Result<(Key, Caller), Bypass> {
        let settings = &self.state.settings;
        if settings.bypass.as_ref().is_some_and(|bypass| bypass(parts)) {
            return Err(Bypass::Hook);
        }
        let caller = admission::check(parts, body)?;
        let key = Key::of::<B>(&settings.keys, settings.policy.rules(), parts)?;
        let flights = &self.state.shared.flights;
        let aboard = parts.extensions.get();
        if aboard.is_some_and(|aboard| flights.carries(aboard, key.as_str())) {
            return Err(Bypass::Within);
        }
        Ok((key, caller))
    }

    /// Passes a request through.
    fn bypass<B, R>(
        &mut self,
        bypass: Bypass,
        request: Request<B>,
    ) -> ResponseFuture<S::Future, R, S::Error>
    where
        S: Service<Request<B>, Response = Response<R>>,
    {
        if bypass == Bypass::OriginalUriUnknown {
            self.state.shared.path_unknown();
        }
        let outcome = Outcome::Bypassed(bypass);
        self.state.count(outcome);
        event::bypassed(bypass, request.uri().path());
        let status = outcome.forward_status(Forward::new(ForwardReason::Bypass), None);
        ResponseFuture::pass(self.inner.call(request), Some(status))
    }

    /// The inner service that has said that it is ready. A clone of it, which has not, takes its place.
    fn take_ready(&mut self) -> S
    where
        S: Clone,
    {
        let clone = self.inner.clone();
        replace(&mut self.inner, clone)
    }

    /// Calls the handler with a method that changes things. If it succeeds, what is stored of these things is removed: RFC 9111 §4.4.
    fn call_unsafe<B, R>(&mut self, request: Request<B>) -> ResponseFuture<S::Future, R, S::Error>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Send + 'static,
        S::Future: Send + 'static,
        B: Send + 'static,
        R: Body + Send + 'static,
    {
        let state = Arc::clone(&self.state);
        let (parts, body) = request.into_parts();
        let (mut get, ()) = Request::new(()).into_parts();
        get.uri = parts.uri.clone();
        get.headers = parts.headers.clone();
        get.extensions = parts.extensions.clone();
        let future = self.inner.call(Request::from_parts(parts, body));
        ResponseFuture::work(Box::pin(async move {
            let mut response = future.await?;
            let status = response.status();
            if status.is_success() || status.is_redirection() {
                let settings = &state.settings;
                let rules = settings.policy.rules();
                let keys = outdated_keys(&settings.keys, rules, get, response.headers());
                let removal = remove_all(Arc::clone(&state), keys);
                state.finish(Box::pin(removal)).await;
            }
            let outcome = Outcome::Bypassed(Bypass::Method);
            let status = outcome.forward_status(Forward::new(ForwardReason::Method), None);
            add_status(response.headers_mut(), status);
            Ok(response.map(CacheBody::handler))
        }))
    }
}

async fn remove_all(state: Arc<State>, keys: Vec<String>) {
    for key in keys {
        if let Err(error) = state.storage.remove(&key).await {
            state.backend_failed(&error);
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for CacheResponseService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheResponseService")
            .field("inner", &self.inner)
            .field("settings", &self.state.settings)
            .finish_non_exhaustive()
    }
}
