//! [`Fetch`]: a request on its way, from the look into the backend to its answer.

use super::decide::{Decision, Situation, Usability};
use super::detached::{Attached, Permit, Work};
use super::flight::{Follower, Joined, Landing, Leader, Name};
use super::handler_call::HandlerCall;
use super::leading::Leading;
use super::state::State;
use super::unattended::{go_on, to_the_end};
use crate::response::answer::body::{BoxError, CacheBody};
use crate::response::answer::from_stored::{answer, gateway_timeout};
use crate::response::answer::headers::add_status;
use crate::response::clock::UnixMillis;
use crate::response::entry::stored_response::StoredResponse;
use crate::response::entry::update::is_outdated;
use crate::response::event;
use crate::response::http::cache_status::ForwardReason;
use crate::response::outcome::{Forward, Outcome, PassReason, Staleness};
use crate::response::request::conditions::Conditions;
use crate::response::request::question::Question;
use crate::response::storage::lookup::Lookup;
use bytes::Buf;
use http::header::CACHE_CONTROL;
use http::{Request, Response, StatusCode};
use http_body::Body;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tower_service::Service;

/// How often a follower looks again when it has waited for another variant.
const MAX_VARIANT_RETRIES: u32 = 2;

/// A request that was not answered at once.
pub(crate) struct Fetch<S, B> {
    pub(crate) state: Arc<State>,
    /// Ready.
    pub(crate) inner: S,
    pub(crate) body: B,
    pub(crate) question: Question,
    /// What was found at once, and how many flights had landed before.
    pub(crate) found: Option<Lookup>,
    pub(crate) landed: u64,
}

type Answer<R, E> = Result<Response<CacheBody<R>>, E>;

/// Who sees to it that a stale response is replaced.
enum Refresh {
    /// Another request does already.
    UnderWay,
    /// This request does.
    Starts(Leader, Permit),
}

/// What a follower has come to.
enum Followed {
    /// The leader's response answers the question.
    Shared(Arc<StoredResponse>),
    /// It answers another question. Now that it is stored, it is known what tells the two apart.
    LookAgain,
    /// There is nothing to share.
    LeadAlone,
}

impl<S, B, R> Fetch<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
    R: Body + Send + 'static,
    R::Data: Buf + Send,
    R::Error: Into<BoxError>,
{
    // This is no `async fn`, because its future would hold `self` twice.
    pub(crate) fn run(mut self) -> impl Future<Output = Answer<R, S::Error>> + Send {
        let state = Arc::clone(&self.state);
        async move {
            let mut forward = Forward::new(ForwardReason::UriMiss);
            let mut retries = MAX_VARIANT_RETRIES;
            loop {
                // 1. Look.
                let lookup = match self.found.take() {
                    Some(lookup) => lookup,
                    None => self.look(&mut forward).await,
                };
                let name = self.flight_name(&lookup);
                // 2. Decide.
                let now = state.now();
                let (situation, decision, refresh) = self.decide(&lookup, &name, now);
                // 3. Serve what is stored.
                if let Some(stored) = &lookup.stored {
                    if let Decision::Serve(outcome) = decision {
                        return Ok(self.serve(stored, outcome, forward, now));
                    }
                    if decision == Decision::ServeAndRevalidate {
                        let outcome = Outcome::Stale(Staleness::Revalidating);
                        let response = self.serve(stored, outcome, forward, now);
                        if let Some(Refresh::Starts(leader, permit)) = refresh {
                            self.revalidate(leader, permit, lookup);
                        }
                        return Ok(response);
                    }
                }
                // 4. Or send the request on.
                if lookup.has_others {
                    forward.reason = ForwardReason::VaryMiss;
                }
                forward.reason = situation.forward_reason(forward.reason);
                match decision {
                    Decision::GatewayTimeout => return Ok(self.time_out(forward)),
                    Decision::Pass(reason) => {
                        state.count(Outcome::Passed(reason));
                        return Box::pin(self.pass(reason, lookup.stored, forward)).await;
                    }
                    Decision::LeadAlone => {
                        let leader = state.shared.flights.lead_alone(name);
                        return self.lead(leader, lookup, forward).await;
                    }
                    // The other two are done with: they are decided only if something is stored.
                    Decision::Join | Decision::Serve(_) | Decision::ServeAndRevalidate => (),
                }
                // 5. Lead, if nobody does. If a flight has landed since the look, look again first.
                let follower = match state.shared.flights.join(name.clone()) {
                    Joined::Follows(follower) => follower,
                    Joined::Leads(leader) if state.shared.flights.landed() == self.landed => {
                        return self.lead(leader, lookup, forward).await;
                    }
                    Joined::Leads(leader) => {
                        let lookup = self.look(&mut forward).await;
                        let now = state.now();
                        if let Some(stored) = &lookup.stored
                            && usability(&self.question, stored, now).is_fresh_and_accepted()
                        {
                            leader.tell(Landing::Shared(Arc::clone(stored)));
                            return Ok(self.serve(stored, Outcome::Hit, forward, now));
                        }
                        return self.lead(leader, lookup, forward).await;
                    }
                };
                // 6. Or follow.
                let may_look_again = retries > 0;
                match follow(&state, &self.question, &lookup, &follower, may_look_again).await {
                    Followed::Shared(stored) => return Ok(self.collapse(&stored, forward)),
                    Followed::LookAgain => retries -= 1,
                    Followed::LeadAlone => {
                        let leader = state.shared.flights.lead_alone(name);
                        return self.lead(leader, lookup, forward).await;
                    }
                }
            }
        }
    }

    /// Looks into the backend. Where that fails, what the layer knows by itself has to do.
    async fn look(&mut self, forward: &mut Forward) -> Lookup {
        let storage = &self.state.storage;
        self.landed = self.state.shared.flights.landed();
        let known = storage.known_purges(self.question.key.as_str());
        match storage.find(&self.question).await {
            Ok(lookup) => lookup,
            Err(error) => {
                self.state.backend_failed(&error);
                forward.is_backend_down = true;
                Lookup::blind(known)
            }
        }
    }

    /// The name of the flight of those requests that may wait for each other.
    fn flight_name(&self, lookup: &Lookup) -> Name {
        let names = match &lookup.signpost {
            Some(signpost) => &signpost.names,
            None => &self.state.settings.keys.vary_on,
        };
        let question = &self.question;
        let said: Vec<_> = names
            .iter()
            .map(|name| (name, question.says(name)))
            .collect();
        let flights = &self.state.shared.flights;
        let (key, marks) = (&question.key, lookup.observed.marks);
        flights.name(key.as_str(), (key, question.is_authorized, said), marks)
    }

    /// What is to be done, and who sees to it that a stale response which is served is replaced.
    fn decide(
        &self,
        lookup: &Lookup,
        name: &Name,
        now: UnixMillis,
    ) -> (Situation, Decision, Option<Refresh>) {
        let situation = self.situation(lookup, now);
        let decision = situation.decide();
        if decision != Decision::ServeAndRevalidate {
            return (situation, decision, None);
        }
        if let Some(refresh) = self.refresh(name) {
            return (situation, decision, Some(refresh));
        }
        let situation = Situation {
            can_revalidate: false,
            ..situation
        };
        (situation, situation.decide(), None)
    }

    /// What is known before it is tried whether a stale response can be revalidated.
    fn situation(&self, lookup: &Lookup, now: UnixMillis) -> Situation {
        let question = &self.question;
        let key = &question.key;
        let stored = lookup.stored.as_ref();
        let pass = if question.conditions.is_head {
            Some(PassReason::Head)
        } else if question.conditions.has_range() {
            Some(PassReason::Range)
        } else if question.directives.no_store {
            Some(PassReason::NoStore)
        } else {
            None
        };
        Situation {
            stored: stored.map(|stored| usability(question, stored, now)),
            can_revalidate: true,
            only_if_cached: question.directives.only_if_cached,
            pass,
            is_for_itself: question.is_authorized || self.state.is_uncacheable(key.as_str()),
        }
    }

    /// Who sees to it that a stale response is replaced. `None` if nobody does and this request cannot: then the handler answers, so
    /// that no stale response is served without a refresh.
    fn refresh(&self, flight: &Name) -> Option<Refresh> {
        let flights = &self.state.shared.flights;
        // The answer to such a request is no whole response, or must not be stored.
        if self.question.conditions.is_head || self.question.directives.no_store {
            return flights.has(flight).then_some(Refresh::UnderWay);
        }
        match flights.join(flight.clone()) {
            Joined::Follows(_) => Some(Refresh::UnderWay),
            Joined::Leads(leader) => Some(Refresh::Starts(leader, self.state.permit()?)),
        }
    }

    fn answered(&self, outcome: Outcome, forward: Forward) {
        let key = self.question.key.as_str();
        event::answered(outcome, key, forward.is_backend_down);
    }

    fn serve(
        &self,
        stored: &StoredResponse,
        outcome: Outcome,
        forward: Forward,
        now: UnixMillis,
    ) -> Response<CacheBody<R>> {
        self.state.count(outcome);
        self.answered(outcome, forward);
        let status = outcome.hit_status(stored.ttl_seconds(now));
        answer(stored, &self.question.conditions, now, status)
    }

    fn collapse(&self, stored: &StoredResponse, forward: Forward) -> Response<CacheBody<R>> {
        let outcome = Outcome::Collapsed;
        self.state.count(outcome);
        self.answered(outcome, forward);
        let now = self.state.now();
        let status = outcome.forward_status(forward, None);
        answer(stored, &self.question.conditions, now, status)
    }

    fn time_out(&self, forward: Forward) -> Response<CacheBody<R>> {
        let outcome = Outcome::GatewayTimeout;
        self.answered(outcome, forward);
        gateway_timeout(outcome.forward_status(forward, None))
    }

    /// Has the handler answer, and does not store that.
    async fn pass(
        self,
        reason: PassReason,
        stored: Option<Arc<StoredResponse>>,
        forward: Forward,
    ) -> Answer<R, S::Error> {
        let outcome = Outcome::Passed(reason);
        self.answered(outcome, forward);
        let Self {
            state,
            mut inner,
            body,
            question,
            ..
        } = self;
        let request = Request::from_parts(question.head, body);
        let mut response = inner.call(request).await?;
        // RFC 9111 §4.3.5.
        if state.settings.policy.by_headers()
            && question.conditions.is_head
            && response.status() == StatusCode::OK
            && stored.is_some_and(|stored| is_outdated(&stored, response.headers()))
            && let Err(error) = state.storage.remove(question.key.as_str()).await
        {
            state.backend_failed(&error);
        }
        let status = outcome.forward_status(forward, Some((response.status(), false)));
        add_status(response.headers_mut(), status);
        Ok(response.map(CacheBody::handler))
    }

    /// Calls the handler: in the client's own task as long as the client waits for it, and then with a permit.
    fn lead(
        self,
        leader: Leader,
        lookup: Lookup,
        forward: Forward,
    ) -> impl Future<Output = Answer<R, S::Error>> + Send {
        let state = Arc::clone(&self.state);
        state.count(Outcome::Miss);
        let client = event::WaitingClient::new(leader.key(), forward.is_backend_down);
        let unattended = event::Unattended::new(leader.key());
        // A call that nobody can follow is not missed. But callers with credentials never follow, and what they get may be for all.
        let goes_on = !leader.is_alone() || self.question.is_authorized;
        let work: Work<_> = Box::pin(self.into_call(leader, lookup, forward).run());
        let left = Arc::clone(&state);
        let call = Attached::new(work, move |work| {
            if goes_on {
                go_on(left, work, unattended);
            }
        });
        async move {
            let landed = call.await;
            client.answered(landed.outcome);
            if let Some(rest) = landed.rest {
                rest.beside_the_client(state).await;
            }
            landed.answer
        }
    }

    /// Replaces a stale response behind the client's back.
    fn revalidate(mut self, leader: Leader, permit: Permit, lookup: Lookup) {
        let state = Arc::clone(&self.state);
        let unattended = event::Unattended::new(leader.key());
        // The refresh asks for the whole response, because it is for everybody.
        self.question.conditions = Conditions::default();
        let is_for_cache = self.question.directives.only_if_cached;
        let mut call = self.into_call(leader, lookup, Forward::new(ForwardReason::Stale));
        if is_for_cache {
            // The directive was meant for this cache, and would keep the next one from asking.
            call.parts.headers.remove(CACHE_CONTROL);
        }
        let work: Work<_> = Box::pin(call.run());
        permit.spawn(|permit| to_the_end(state, permit, work, unattended));
    }

    fn into_call(mut self, leader: Leader, lookup: Lookup, forward: Forward) -> HandlerCall<S, B> {
        let parts = self.question.give_head();
        let leading = Leading {
            asked_at: self.state.now(),
            state: self.state,
            question: self.question,
            leader,
            stale: lookup.stored,
            observed: lookup.observed,
            forward,
        };
        HandlerCall {
            inner: self.inner,
            parts,
            body: self.body,
            leading: Box::new(leading),
        }
    }
}

/// What may be done with a stored response that answers a question.
fn usability(question: &Question, stored: &StoredResponse, now: UnixMillis) -> Usability {
    let (age, fresh) = (stored.age(now), stored.lifetime.fresh);
    let directives = &question.directives;
    Usability {
        is_fresh: stored.is_fresh(now),
        is_accepted: directives.accept(age, fresh),
        while_revalidating: stored.serves_while_revalidating(now),
        is_accepted_stale: !stored.lifetime.strict && directives.accept_stale(age, fresh),
    }
}

/// Waits for what a leader has to share, until patience ends.
async fn follow(
    state: &State,
    question: &Question,
    lookup: &Lookup,
    follower: &Follower,
    may_look_again: bool,
) -> Followed {
    let patience = state.settings.patience;
    let Some(Landing::Shared(stored)) = within(patience, follower.landing()).await else {
        return Followed::LeadAlone;
    };
    let storage = &state.storage;
    if storage
        .is_purged(question.key.as_str(), lookup, &stored)
        .await
    {
        // The request came after a purge that the response has not observed.
        return Followed::LeadAlone;
    }
    if stored.matches(question) {
        return Followed::Shared(stored);
    }
    if may_look_again {
        let _ = within(patience, follower.ended()).await;
        return Followed::LookAgain;
    }
    Followed::LeadAlone
}

/// The result of some work, if there is one in time. Where there is no runtime to tell the time, this does not wait.
async fn within<T>(patience: Duration, what: impl Future<Output = T>) -> Option<T> {
    Handle::try_current().ok()?;
    timeout(patience, what).await.ok()
}
