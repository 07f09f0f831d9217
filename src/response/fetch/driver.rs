//! What happens to a request that the layer cannot answer at once: look in the backend, follow another's handler, or lead.

use crate::response::answer::body::{BoxError, CacheBody};
use crate::response::answer::build::{Wishes, add_status, answer, only_if_cached};
use crate::response::entry::stored_response::Entry;
use crate::response::entry::update::is_outdated;
use crate::response::event;
use crate::response::fetch::detached::{Attached, Permit, Work};
use crate::response::fetch::flight::{Joined, Leader, Name, Outcome};
use crate::response::fetch::handler_call::{Landed, Lead, Led};
use crate::response::fetch::state::Core;
use crate::response::http::cache_status::{Forward, hit};
use crate::response::http::directives::Directives;
use crate::response::policy::plan::Refusal;
use crate::response::request::key::Asked;
use crate::response::request::vary::normalized;
use crate::response::storage::lookup::Found;
use bytes::Buf;
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tower_service::Service;

/// So often a follower looks again when what it waited for was another variant.
const VARIANT_RETRIES: u32 = 2;

/// A request on its way.
pub(crate) struct Fetch<S, B> {
    pub(crate) core: Arc<Core>,
    /// Ready.
    pub(crate) inner: S,
    pub(crate) parts: Parts,
    pub(crate) body: B,
    pub(crate) asked: Asked,
    pub(crate) wishes: Wishes,
    pub(crate) limits: Limits,
    /// What was found at once, and how many flights had landed before.
    pub(crate) found: Option<Found>,
    pub(crate) landed: u64,
}

/// What the request's own `Cache-Control` says: heeded where headers govern, nothing in timed mode.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits(Directives);

impl Limits {
    pub(crate) fn new(directives: Directives) -> Self {
        Self(directives)
    }

    /// Whether an entry will do although it is so stale: RFC 9111 §5.2.1.2.
    fn accept_stale(&self, entry: &Entry, now: u64) -> bool {
        let most = self.0.max_stale.filter(|_| !entry.strict);
        most.is_some_and(|most| entry.age(now) <= entry.fresh.saturating_add(most))
    }

    /// Whether an entry of this age will do: RFC 9111 §5.2.1.
    pub(crate) fn accept(&self, entry: &Entry, now: u64) -> bool {
        let age = entry.age(now);
        let young = self
            .0
            .max_age
            .is_none_or(|most| age <= most && !most.is_zero());
        let fresh_for = entry.fresh.saturating_sub(age);
        !self.0.no_cache && young && self.0.min_fresh.is_none_or(|least| fresh_for >= least)
    }
}

type Answer<R, E> = Result<Response<CacheBody<R>>, E>;

/// Why a stale entry may be served.
enum Refresh {
    UnderWay,
    /// By this request.
    Starts(Leader, Permit),
}

impl<S, B, R> Fetch<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
    R: Body + Send + 'static,
    R::Data: Buf + Send,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // No `async fn`: its future would hold `self` twice.
    pub(crate) fn run(mut self) -> impl Future<Output = Answer<R, S::Error>> + Send {
        let core = Arc::clone(&self.core);
        async move {
            let stats = &core.shared.stats;
            let mut forward = Forward::new("uri-miss");
            let mut retries = VARIANT_RETRIES;
            loop {
                let found = match self.found.take() {
                    Some(found) => found,
                    None => self.look(&mut forward).await,
                };
                if found.other {
                    forward.why = "vary-miss";
                }
                let flight = self.flight(&found);
                if let Some(entry) = &found.entry {
                    if let Some(response) = self.fresh(entry, forward) {
                        return Ok(response);
                    }
                    let now = core.now();
                    if self.limits.accept(entry, now)
                        && entry.serves_while_revalidating(now)
                        && let Some(refresh) = self.refresh(&flight)
                    {
                        stats.stale.add();
                        self.answered("stale", "", forward);
                        let response =
                            answer(entry, &self.wishes, now, hit(entry, now, Some("stale")));
                        if let Refresh::Starts(leader, permit) = refresh {
                            self.revalidate(leader, permit, found);
                        }
                        return Ok(response);
                    }
                    if self.limits.accept(entry, now) && self.limits.accept_stale(entry, now) {
                        stats.stale.add();
                        self.answered("max-stale", "", forward);
                        let status = hit(entry, now, Some("max-stale"));
                        return Ok(answer(entry, &self.wishes, now, status));
                    }
                    forward.why = if entry.is_fresh(now) {
                        "request"
                    } else {
                        "stale"
                    };
                }
                if self.limits.0.only_if_cached {
                    self.answered("only-if-cached", "", forward);
                    return Ok(only_if_cached(forward.passed(None)));
                }
                // Their answers are no whole responses; and what must not be stored need not be looked at.
                if self.wishes.head || self.wishes.has_range() || self.limits.0.no_store {
                    stats.misses.add();
                    return Box::pin(self.pass(found.entry, forward)).await;
                }
                if self.asked.authorized || core.is_uncacheable(self.asked.key()) {
                    let leader = core.shared.flights.lead_alone(flight);
                    return self.lead(leader, found, forward).await;
                }
                let follower = match core.shared.flights.join(flight.clone()) {
                    Joined::Follows(follower) => follower,
                    Joined::Leads(leader) if core.shared.flights.landed() == self.landed => {
                        return self.lead(leader, found, forward).await;
                    }
                    Joined::Leads(leader) => {
                        let found = self.look(&mut forward).await;
                        if let Some(entry) = &found.entry
                            && let Some(response) = self.fresh(entry, forward)
                        {
                            leader.tell(Outcome::Shared(Arc::clone(entry)));
                            return Ok(response);
                        }
                        return self.lead(leader, found, forward).await;
                    }
                };
                let patience = core.settings.patience;
                match within(patience, follower.outcome()).await {
                    Some(Outcome::Shared(entry)) if found.is_purged(self.asked.key(), &entry) => {
                        let leader = core.shared.flights.lead_alone(flight);
                        return self.lead(leader, found, forward).await;
                    }
                    Some(Outcome::Shared(entry))
                        if entry.matches(&self.asked, &self.parts.headers) =>
                    {
                        stats.collapsed.add();
                        self.answered("collapsed", "", forward);
                        return Ok(answer(
                            &entry,
                            &self.wishes,
                            core.now(),
                            forward.collapsed(),
                        ));
                    }
                    Some(Outcome::Shared(_)) if retries > 0 => {
                        // Another variant. Once it is stored it is known what tells them apart.
                        let _ = within(patience, follower.ended()).await;
                        retries -= 1;
                    }
                    _ => {
                        let leader = core.shared.flights.lead_alone(flight);
                        return self.lead(leader, found, forward).await;
                    }
                }
            }
        }
    }

    async fn look(&mut self, forward: &mut Forward) -> Found {
        self.landed = self.core.shared.flights.landed();
        let blind = Found::blind(&self.asked, &self.core);
        let found = self.core.find(&self.asked, &self.parts.headers).await;
        found.unwrap_or_else(|error| {
            self.core.backend_failed(&error);
            forward.down = true;
            blind
        })
    }

    /// The answer from an entry, if it is fresh.
    fn fresh(&self, entry: &Entry, forward: Forward) -> Option<Response<CacheBody<R>>> {
        let now = self.core.now();
        if !entry.is_fresh(now) || !self.limits.accept(entry, now) {
            return None;
        }
        self.core.shared.stats.hits.add();
        self.answered("hit", "", forward);
        Some(answer(entry, &self.wishes, now, hit(entry, now, None)))
    }

    /// What tells apart the requests that may wait for each other.
    fn flight(&self, found: &Found) -> Name {
        let names = match &found.signpost {
            Some(signpost) => &signpost.names,
            None => &self.core.settings.vary_on,
        };
        let headers = &self.parts.headers;
        let said = |name| (name, normalized(&self.asked, headers, name));
        let said: Vec<_> = names.iter().map(said).collect();
        let flights = &self.core.shared.flights;
        flights.name(self.asked.key(), (&self.asked, said), found.seen.stamps)
    }

    fn answered(&self, how: &str, detail: &str, forward: Forward) {
        event::answered(how, detail, self.asked.key(), forward.down);
    }

    async fn pass(self, stored: Option<Arc<Entry>>, forward: Forward) -> Answer<R, S::Error> {
        let wishes = &self.wishes;
        let detail = match (wishes.head, wishes.has_range()) {
            (true, _) => "head",
            (_, true) => "range",
            _ => "no-store",
        };
        self.answered("miss", detail, forward);
        let mut inner = self.inner;
        let mut response = inner
            .call(Request::from_parts(self.parts, self.body))
            .await?;
        // RFC 9111 §4.3.5.
        if self.core.settings.by_headers()
            && self.wishes.head
            && response.status() == StatusCode::OK
            && stored.is_some_and(|stored| is_outdated(&stored, response.headers()))
            && let Err(error) = self.core.remove(self.asked.key()).await
        {
            self.core.backend_failed(&error);
        }
        let status = forward.came(response.status().as_u16(), false, None);
        add_status(response.headers_mut(), status);
        Ok(response.map(CacheBody::handler))
    }

    /// Runs the handler: as long as its client waits for it, and then with a permit.
    fn lead(
        self,
        leader: Leader,
        found: Found,
        forward: Forward,
    ) -> impl Future<Output = Answer<R, S::Error>> + Send {
        let core = Arc::clone(&self.core);
        core.shared.stats.misses.add();
        let asker = event::Asker::new(leader.key(), forward.down);
        let stray = event::Stray::new(leader.key());
        // Where nobody can follow, nobody will miss it. But callers with credentials never follow, and may share.
        let goes_on = !leader.is_alone() || self.asked.authorized;
        let work: Work<_> = Box::pin(self.into_lead(leader, found, forward).run());
        let left = Arc::clone(&core);
        let led = Attached::new(work, move |work| {
            if goes_on {
                go_on(left, work, stray);
            }
        });
        async move {
            let landed = led.await;
            asker.answered(landed.how);
            if let Some(rest) = landed.rest {
                rest.beside_the_client(core).await;
            }
            landed.answer
        }
    }

    /// Why a stale entry may be served: somebody sees to another one. A request that cannot start the refresh is served it only
    /// while one is under way, and otherwise gets the handler's answer: so no stale entry is served without a refresh.
    fn refresh(&self, flight: &Name) -> Option<Refresh> {
        let flights = &self.core.shared.flights;
        // Their answers are no whole responses, or must not be stored.
        if self.wishes.head || self.limits.0.no_store {
            return flights.has(flight).then_some(Refresh::UnderWay);
        }
        match flights.join(flight.clone()) {
            Joined::Follows(_) => Some(Refresh::UnderWay),
            Joined::Leads(leader) => Some(Refresh::Starts(leader, self.core.permit()?)),
        }
    }

    /// Replaces a stale entry behind the client's back.
    fn revalidate(mut self, leader: Leader, permit: Permit, found: Found) {
        let core = Arc::clone(&self.core);
        let stray = event::Stray::new(leader.key());
        // Of the whole, for whoever comes.
        self.wishes = Wishes::default();
        let is_for_cache = self.limits.0.only_if_cached;
        let mut lead = self.into_lead(leader, found, Forward::new("stale"));
        if is_for_cache {
            // It was meant for this cache, and would keep the next one from asking.
            lead.parts.headers.remove(CACHE_CONTROL);
        }
        let work: Work<_> = Box::pin(lead.run());
        permit.spawn(|permit| to_the_end(core, permit, work, stray));
    }

    fn into_lead(self, leader: Leader, found: Found, forward: Forward) -> Lead<S, B> {
        let led = Led {
            asked_at: self.core.now(),
            core: self.core,
            asked: self.asked,
            wishes: self.wishes,
            leader,
            stale: found.entry,
            seen: found.seen,
            forward,
            headers: self.parts.headers.clone(),
        };
        Lead {
            inner: self.inner,
            parts: self.parts,
            body: self.body,
            led: Box::new(led),
        }
    }
}

/// What something comes to, if it does in time; where there is no runtime to tell the time, nothing is waited for.
async fn within<T>(patience: Duration, what: impl Future<Output = T>) -> Option<T> {
    Handle::try_current().ok()?;
    timeout(patience, what).await.ok()
}

/// What becomes of a handler's call when its client has gone away.
fn go_on<R, E>(core: Arc<Core>, work: Work<Landed<R, E>>, stray: event::Stray)
where
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
    E: Send + 'static,
{
    match core.permit() {
        Some(permit) => permit.spawn(|permit| to_the_end(core, permit, work, stray)),
        None => {
            core.shared.stats.undetached.add();
            stray.ended(Refusal::DetachedLimit.name());
        }
    }
}

async fn to_the_end<R, E>(
    core: Arc<Core>,
    permit: Permit,
    work: Work<Landed<R, E>>,
    stray: event::Stray,
) where
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
{
    let rest = match permit.in_time(work).await {
        // Nobody reads the answer.
        Some(landed) => landed.rest,
        None => {
            core.shared.stats.detached_timeouts.add();
            stray.ended(Refusal::DetachedTimeout.name());
            None
        }
    };
    if let Some(rest) = rest {
        rest.alone(permit).await;
    }
}
