//! What a leader makes of its handler's answer: an answer for the client, and the rest of the work.

use super::flight::Landing;
use super::leading::Leading;
use super::storing::{Rest, TeeAndStore};
use super::tee::{Begun, Tee, begin};
use crate::response::answer::body::{BoxError, CacheBody};
use crate::response::answer::from_stored::{answer, not_modified};
use crate::response::answer::headers::{add, add_status};
use crate::response::clock::UnixMillis;
use crate::response::entry::stored_response::StoredResponse;
use crate::response::entry::update::updated_head;
use crate::response::http::fields;
use crate::response::outcome::{Failure, Outcome, Staleness};
use crate::response::policy::plan::Plan;
use crate::response::policy::refusal::Refusal;
use http::header::SET_COOKIE;
use http::{HeaderMap, Response, StatusCode, response};
use http_body::Body;
use std::sync::Arc;
use std::time::Duration;

/// What a leader has come to.
pub(crate) struct Landed<R: Body, E> {
    pub(crate) answer: Result<Response<CacheBody<R>>, E>,
    pub(crate) outcome: Outcome,
    pub(crate) rest: Option<Rest<R>>,
}

impl<R: Body, E> Landed<R, E> {
    pub(crate) fn failed(error: E) -> Self {
        Self {
            answer: Err(error),
            outcome: Outcome::Failed(Failure::Error),
            rest: None,
        }
    }

    fn new(response: Response<CacheBody<R>>, outcome: Outcome) -> Self {
        Self {
            answer: Ok(response),
            outcome,
            rest: None,
        }
    }

    fn with(self, rest: Option<Rest<R>>) -> Self {
        Self { rest, ..self }
    }
}

/// How the answer to a leader's own client begins.
enum ClientHead<B> {
    Handlers(response::Parts),
    /// The client has the response already.
    NotModified(Response<CacheBody<B>>),
}

/// A response that is to be stored once it has a body, and for how long the store keeps it.
type Planned = (StoredResponse, Duration);

impl Leading {
    /// The stale response, where it may stand in for an error: RFC 5861 §4.
    pub(crate) fn instead_of_error<R: Body, E>(&self) -> Option<Landed<R, E>> {
        let now = self.state.now();
        let stale = self.stale.as_ref();
        let stale = stale.filter(|stale| stale.serves_if_error(now))?;
        let outcome = Outcome::Stale(Staleness::IfError);
        self.state.count(outcome);
        self.leader.tell(Landing::Shared(Arc::clone(stale)));
        let status = outcome.hit_status(stale.ttl_seconds(now));
        let response = answer(stale, &self.question.conditions, now, status);
        Some(Landed::new(response, outcome))
    }

    /// The handler says with a 304 that the stored response is still good: RFC 9111 §4.3.4.
    pub(crate) async fn refresh<R: Body, E>(
        self: Box<Self>,
        fresh: response::Parts,
    ) -> Landed<R, E> {
        let now = self.state.now();
        let outcome = Outcome::Revalidated;
        let forward = self.forward;
        let status = |will_be_stored| {
            let response = Some((StatusCode::NOT_MODIFIED, will_be_stored));
            outcome.forward_status(forward, response)
        };
        if let Some((updated, keep)) = self.updated(&fresh, now) {
            self.state.count(outcome);
            let mut response = answer(&updated, &self.question.conditions, now, status(true));
            hand_on_cookies(&fresh, &mut response);
            let rest = self.begin_to_store(Arc::new(updated), keep, now).await;
            return Landed::new(response, outcome).with(rest);
        }
        // The response may not be kept, or the 304 is about another one: once it is stale, this is the last answer from it.
        let mut response = match &self.stale {
            Some(stale) => {
                if self.speaks_for_others() {
                    let _ = self.state.storage.remove(self.question.key.as_str()).await;
                }
                answer(stale, &self.question.conditions, now, status(false))
            }
            None => not_modified(&fresh.headers, 0, status(false)),
        };
        hand_on_cookies(&fresh, &mut response);
        Landed::new(response, outcome)
    }

    /// The stored response with what a 304 brings, and for how long the store keeps it now.
    fn updated(&self, fresh: &response::Parts, now: UnixMillis) -> Option<Planned> {
        let stale = self.stale.as_ref()?;
        let merged = updated_head(stale, fresh)?;
        let plan = self.plan(&merged, now).ok()?;
        let keep = plan.keep;
        let mut updated = self.head(plan, merged.status, merged.headers, now)?;
        updated.body = stale.body.clone();
        Some((updated, keep))
    }

    /// The handler has answered in full.
    pub(crate) async fn receive<R, E>(self: Box<Self>, response: Response<R>) -> Landed<R, E>
    where
        R: Body + Send + 'static,
        R::Data: Send,
        R::Error: Into<BoxError>,
    {
        let (parts, body) = response.into_parts();
        let now = self.state.now();
        let length = body.size_hint().exact();
        // 1. See whether the response may be stored.
        let (stored, keep) = match self.planned(&parts, length, now) {
            Ok(planned) => planned,
            Err(refusal) => return self.hand_on(parts, body, refusal).await,
        };
        // 2. Make the head of the client's answer.
        let head = self.client_head(parts, &stored);
        // 3. Store a body that is there at once. Have any other copied on its way.
        let mut body = Box::pin(body);
        let (body, rest) = match begin(&mut body).await {
            Begun::Whole(bytes) => {
                let rest = self.receive_whole(stored, keep, bytes.clone(), now).await;
                (CacheBody::stored(bytes), rest)
            }
            Begun::Pieces(first) => {
                let (tee, pieces) = Tee::new(body, first);
                let rest = Rest::Tee(Box::new(TeeAndStore {
                    leading: self,
                    stored,
                    keep,
                    tee,
                }));
                (CacheBody::copied(pieces, length), Some(rest))
            }
        };
        let response = match head {
            ClientHead::Handlers(parts) => Response::from_parts(parts, body),
            ClientHead::NotModified(response) => response,
        };
        Landed::new(response, Outcome::Miss).with(rest)
    }

    /// The response as it is stored, without its body.
    ///
    /// # Errors
    /// Why it is not stored.
    fn planned(
        &self,
        parts: &response::Parts,
        length: Option<u64>,
        now: UnixMillis,
    ) -> Result<Planned, Refusal> {
        let plan = self.plan(parts, now)?;
        if length.is_some_and(|length| length > self.state.settings.policy.max_body) {
            return Err(Refusal::TooLarge);
        }
        let keep = plan.keep;
        let headers = fields::stored(&parts.headers).ok_or(Refusal::Headers)?;
        let stored = self.head(plan, parts.status, headers, now);
        Ok((stored.ok_or(Refusal::Headers)?, keep))
    }

    fn plan(&self, response: &response::Parts, now: UnixMillis) -> Result<Plan, Refusal> {
        let is_authorized = self.question.is_authorized;
        let policy = &self.state.settings.policy;
        Plan::of(policy, is_authorized, response, self.asked_at, now)
    }

    /// A stored response without its body; `None` if it has too many headers.
    fn head(
        &self,
        plan: Plan,
        status: StatusCode,
        headers: HeaderMap,
        now: UnixMillis,
    ) -> Option<StoredResponse> {
        let keyed = &self.state.settings.keys.vary_on;
        let observed = (self.observed.last, self.observed.tags);
        StoredResponse::new(
            plan,
            (status, headers),
            &self.question,
            keyed,
            observed,
            now,
        )
    }

    /// Hands on a response that is not stored.
    async fn hand_on<R: Body, E>(
        &self,
        mut parts: response::Parts,
        body: R,
        refusal: Refusal,
    ) -> Landed<R, E> {
        self.refuse(refusal, parts.status).await;
        let outcome = Outcome::Uncacheable(refusal);
        let status = outcome.forward_status(self.forward, Some((parts.status, false)));
        add_status(&mut parts.headers, status);
        let response = Response::from_parts(parts, CacheBody::handler(body));
        Landed::new(response, outcome)
    }

    /// The head of the answer to this leader's own client.
    fn client_head<B>(&self, mut parts: response::Parts, stored: &StoredResponse) -> ClientHead<B> {
        let status = Outcome::Miss.forward_status(self.forward, Some((parts.status, true)));
        let conditions = &self.question.conditions;
        if conditions.is_not_modified(parts.status, &parts.headers) {
            return ClientHead::NotModified(not_modified(&stored.headers, 0, status));
        }
        add_status(&mut parts.headers, status);
        ClientHead::Handlers(parts)
    }

    async fn receive_whole<R: Body>(
        self: Box<Self>,
        stored: StoredResponse,
        keep: Duration,
        body: bytes::Bytes,
        now: UnixMillis,
    ) -> Option<Rest<R>> {
        let status = stored.status;
        match self.complete(stored, body) {
            Ok(stored) => self.begin_to_store(stored, keep, now).await,
            Err(refusal) => {
                self.refuse(refusal, status).await;
                None
            }
        }
    }
}

/// Cookies are not stored, and must not be lost: they are for this client.
fn hand_on_cookies<B>(fresh: &response::Parts, response: &mut Response<B>) {
    for cookie in fresh.headers.get_all(SET_COOKIE) {
        add(response.headers_mut(), SET_COOKIE, cookie.clone());
    }
}
