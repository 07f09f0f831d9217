//! What happens to a request that the layer cannot answer at once: look in the backend, follow another's handler, or lead.

use super::answer::{Wishes, add_status, answer, only_if_cached};
use super::body::CacheBody;
use super::core::Core;
use super::directives::Directives;
use super::event;
use super::flight::{Joined, Leader, Outcome};
use super::freshen::is_outdated;
use super::key::Asked;
use super::lead::Lead;
use super::slots::{Found, variant};
use super::status::{Forward, hit};
use super::stored::Entry;
use bytes::Buf;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body;
use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;
use tokio::sync::oneshot;
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
    pub(crate) async fn run(self) -> Answer<R, S::Error> {
        let core = Arc::clone(&self.core);
        let stats = &core.shared.stats;
        let mut forward = Forward::new("uri-miss");
        let mut retries = VARIANT_RETRIES;
        loop {
            let found = match core.find(&self.asked, &self.parts.headers).await {
                Ok(found) => found,
                Err(error) => {
                    core.backend_failed(&error);
                    forward.down = true;
                    Found::default()
                }
            };
            let now = core.now();
            if found.other {
                forward.why = "vary-miss";
            }
            let flight_key = self.flight_key(&found);
            if let Some(entry) = &found.entry {
                let accepted = self.limits.accept(entry, now);
                let fresh = entry.is_fresh(now);
                if accepted && fresh {
                    stats.hits.add();
                    self.answered("hit", "", forward);
                    return Ok(answer(entry, &self.wishes, now, hit(entry, now, None)));
                }
                if accepted && entry.serves_while_revalidating(now) {
                    stats.stale.add();
                    self.answered("stale", "", forward);
                    let response = answer(entry, &self.wishes, now, hit(entry, now, Some("stale")));
                    self.revalidate(flight_key, found);
                    return Ok(response);
                }
                if accepted && self.limits.accept_stale(entry, now) {
                    stats.stale.add();
                    self.answered("max-stale", "", forward);
                    let status = hit(entry, now, Some("max-stale"));
                    return Ok(answer(entry, &self.wishes, now, status));
                }
                forward.why = if fresh { "request" } else { "stale" };
            }
            if self.limits.0.only_if_cached {
                self.answered("only-if-cached", "", forward);
                return Ok(only_if_cached(forward.passed(None)));
            }
            // Their answers are no whole responses; and what must not be stored need not be looked at.
            if self.wishes.head || self.wishes.has_range() || self.limits.0.no_store {
                stats.misses.add();
                return self.pass(found.entry, forward).await;
            }
            if self.asked.authorized || core.is_uncacheable(self.asked.key()) {
                let leader = core.shared.flights.lead_alone(flight_key);
                return self.lead(leader, found, forward).await;
            }
            let mut follower = match core.shared.flights.join(flight_key.clone()) {
                Joined::Leads(leader) => return self.lead(leader, found, forward).await,
                Joined::Follows(follower) => follower,
            };
            let patience = core.settings.patience;
            match timeout(patience, follower.outcome()).await {
                Ok(Outcome::Shared(entry)) if found.is_purged(self.asked.key(), &entry) => {
                    let leader = core.shared.flights.lead_alone(flight_key);
                    return self.lead(leader, found, forward).await;
                }
                Ok(Outcome::Shared(entry)) if entry.matches(&self.asked, &self.parts.headers) => {
                    stats.collapsed.add();
                    self.answered("collapsed", "", forward);
                    return Ok(answer(
                        &entry,
                        &self.wishes,
                        core.now(),
                        forward.collapsed(),
                    ));
                }
                Ok(Outcome::Shared(_)) if retries > 0 => {
                    // Another variant. Once it is stored it is known what tells them apart.
                    let _ = timeout(patience, follower.ended()).await;
                    retries -= 1;
                }
                _ => {
                    let leader = core.shared.flights.lead_alone(flight_key);
                    return self.lead(leader, found, forward).await;
                }
            }
        }
    }

    /// What tells apart the requests that may wait for each other.
    fn flight_key(&self, found: &Found) -> String {
        let asked = &self.asked;
        let (key, host, target) = (asked.key(), asked.host(), asked.target());
        let own = asked.own().unwrap_or("");
        let variant = match &found.signpost {
            Some(signpost) => variant(asked, &signpost.names, &self.parts.headers),
            None => variant(asked, &self.core.settings.vary_on, &self.parts.headers),
        };
        // Who comes after a purge waits for nobody who came before.
        let count = found.seen.count;
        format!("{key}\0{host}\0{target}\0{own}\0{variant:x}\0{count}")
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

    /// Runs the handler on a task of its own.
    async fn lead(self, leader: Leader, found: Found, forward: Forward) -> Answer<R, S::Error> {
        self.core.shared.stats.misses.add();
        let (reply, answer) = oneshot::channel();
        let panicked = event::Panicked::new(self.asked.key(), forward.down);
        let task = tokio::spawn(self.into_lead(leader, found, forward).run(reply));
        match answer.await {
            Ok(answer) => answer,
            Err(_) => match task.await {
                Err(error) if error.is_panic() => {
                    panicked.tell();
                    resume_unwind(error.into_panic())
                }
                // The runtime is shutting down.
                _ => pending().await,
            },
        }
    }

    /// Replaces a stale entry behind the client's back, unless someone does already.
    fn revalidate(self, flight_key: String, found: Found) {
        if self.wishes.head || self.wishes.has_range() || self.asked.authorized {
            return;
        }
        if let Joined::Leads(leader) = self.core.shared.flights.join(flight_key) {
            let (reply, _) = oneshot::channel();
            let forward = Forward::new("stale");
            tokio::spawn(self.into_lead(leader, found, forward).run(reply));
        }
    }

    fn into_lead(self, leader: Leader, found: Found, forward: Forward) -> Lead<S, B> {
        Lead {
            core: self.core,
            inner: self.inner,
            parts: self.parts,
            body: self.body,
            asked: self.asked,
            wishes: self.wishes,
            leader,
            stale: found.entry,
            seen: found.seen,
            forward,
        }
    }
}
