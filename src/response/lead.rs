//! What a leader does: runs the handler, answers its own client as soon as there are headers, and stores the body.
//!
//! A body that is there in one piece is stored at once. Any other goes by on a task of its own, which neither a slow client nor
//! one that has gone away holds up: others may be waiting for the whole.

use super::answer::{Wishes, add_status, answer, not_modified};
use super::body::{BoxError, CacheBody};
use super::copy::{Begun, First, begin, copy};
use super::core::Core;
use super::detached::do_or_detach;
use super::event;
use super::flight::{Leader, Outcome};
use super::freshen::freshened;
use super::key::Asked;
use super::policy::{Plan, Refusal, judge, to_date};
use super::purge::Seen;
use super::status::{Forward, hit};
use super::storable::{end_to_end, is_whole, set_length};
use super::stored::{Entry, MadeFor, Origin};
use bytes::Bytes;
use http::header::{DATE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode, response};
use http_body::Body;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tower_service::Service;

/// How a client was answered, and why so.
pub(crate) type How = (&'static str, &'static str);

/// A call of the handler.
pub(crate) struct Lead<S, B> {
    /// Ready.
    pub(crate) inner: S,
    pub(crate) parts: Parts,
    pub(crate) body: B,
    pub(crate) led: Box<Led>,
}

/// What is left when the handler has been called.
pub(crate) struct Led {
    pub(crate) core: Arc<Core>,
    pub(crate) asked: Asked,
    pub(crate) wishes: Wishes,
    pub(crate) leader: Leader,
    pub(crate) stale: Option<Arc<Entry>>,
    pub(crate) seen: Seen,
    pub(crate) forward: Forward,
    /// The request's headers as the client sent them.
    pub(crate) headers: HeaderMap,
    pub(crate) asked_at: u64,
}

impl<S, B, R> Lead<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
{
    // No `async fn`: its future would hold `self` twice.
    pub(crate) fn run(
        self,
    ) -> impl Future<Output = (Result<Response<CacheBody<R>>, S::Error>, How)> {
        let Self {
            mut inner,
            mut parts,
            body,
            led,
        } = self;
        async move {
            if led.forward.down {
                // Nothing will be stored for those who ask while this one runs: give them a chance to join, even if it never
                // waits.
                yield_now().await;
            }
            // Where nothing comes to be stored, the client's own conditions are the handler's business.
            if led.stale.is_some() || !led.core.is_uncacheable(led.asked.key()) {
                Wishes::strip(&mut parts.headers);
            }
            let stale = led.stale.as_ref();
            let validates = stale.is_some_and(|stale| validate(&mut parts.headers, stale));
            parts.extensions.insert(led.leader.aboard());
            let answered = inner.call(Request::from_parts(parts, body)).await;
            drop(inner);
            let response = match answered {
                Ok(response) => response,
                Err(error) => {
                    return match led.instead_of_error() {
                        Some((instead, how)) => (Ok(instead), how),
                        None => (Err(error), ("failed", "error")),
                    };
                }
            };
            let status = response.status();
            if [500, 502, 503, 504].contains(&status.as_u16())
                && let Some((instead, how)) = led.instead_of_error()
            {
                return (Ok(instead), how);
            }
            let (response, how) = match &led.stale {
                Some(stale) if validates && status == StatusCode::NOT_MODIFIED => {
                    let (parts, _) = response.into_parts();
                    let refreshed = Box::pin(led.refresh(stale, &parts)).await;
                    (refreshed, ("revalidated", ""))
                }
                _ => led.receive(response).await,
            };
            (Ok(response), how)
        }
    }
}

/// Asks whether a stale entry is still good: RFC 9111 §4.3.1. False if it has nothing to ask with.
fn validate(headers: &mut HeaderMap, stale: &Entry) -> bool {
    let etag = stale.headers.get(ETAG);
    let changed = stale.headers.get(LAST_MODIFIED);
    for (name, value) in [(IF_NONE_MATCH, etag), (IF_MODIFIED_SINCE, changed)] {
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    }
    etag.or(changed).is_some()
}

impl Led {
    /// The stale entry, where it may stand in for an error: RFC 5861 §4.
    fn instead_of_error<R>(&self) -> Option<(Response<CacheBody<R>>, How)> {
        let now = self.core.now();
        let stale = self
            .stale
            .as_ref()
            .filter(|stale| stale.serves_if_error(now))?;
        self.core.shared.stats.stale.add();
        self.leader.tell(Outcome::Shared(Arc::clone(stale)));
        let status = hit(stale, now, Some("stale-if-error"));
        let answer = answer(stale, &self.wishes, now, status);
        Some((answer, ("stale-if-error", "")))
    }

    /// The handler says that the entry is still good: RFC 9111 §4.3.4.
    async fn refresh<R>(
        &self,
        stale: &Arc<Entry>,
        fresh: &response::Parts,
    ) -> Response<CacheBody<R>> {
        let now = self.core.now();
        let status = |stored| self.forward.came(304, stored, None);
        let merged = freshened(stale, fresh);
        let judged = merged.and_then(|merged| {
            let plan = judge(
                &self.core.settings,
                &self.asked,
                &merged,
                self.asked_at,
                now,
            );
            Some((plan.ok()?, merged))
        });
        let mut response = match judged {
            Some((plan, merged)) => {
                self.core.shared.stats.revalidated.add();
                let keep = plan.keep;
                let mut entry = self.entry(plan, merged.status, merged.headers, now);
                entry.body = stale.body.clone();
                let response = answer(&entry, &self.wishes, now, status(true));
                self.store(Arc::new(entry), keep, now).await;
                response
            }
            // It may not be kept, or the 304 is about another one: then this is the last answer from it.
            None => {
                let _ = self.core.remove(self.asked.key()).await;
                answer(stale, &self.wishes, now, status(false))
            }
        };
        // Not stored, and not lost: it is for this client.
        for cookie in fresh.headers.get_all(SET_COOKIE) {
            response.headers_mut().append(SET_COOKIE, cookie.clone());
        }
        response
    }

    async fn receive<R>(self: Box<Self>, response: Response<R>) -> (Response<CacheBody<R>>, How)
    where
        R: Body + Send + 'static,
        R::Data: Send,
        R::Error: Into<BoxError>,
    {
        let (mut parts, body) = response.into_parts();
        let now = self.core.now();
        let settings = &self.core.settings;
        let hint = body.size_hint().exact();
        let verdict = match judge(settings, &self.asked, &parts, self.asked_at, now) {
            Ok(_) if hint.is_some_and(|length| length > settings.max_body) => {
                Err(Refusal::TooLarge)
            }
            verdict => verdict,
        };
        let code = parts.status.as_u16();
        let plan = match verdict {
            Ok(plan) => plan,
            Err(refusal) => {
                self.refuse(refusal, parts.status);
                let status = self.forward.came(code, false, Some(refusal.name()));
                add_status(&mut parts.headers, status);
                let response = Response::from_parts(parts, CacheBody::handler(body));
                return (response, ("uncacheable", refusal.name()));
            }
        };
        let keep = plan.keep;
        let entry = self.entry(plan, parts.status, end_to_end(&parts.headers), now);
        let status = self.forward.came(code, true, None);
        let head = match self.wishes.is_not_modified(parts.status, &parts.headers) {
            true => Err(not_modified(&entry.headers, 0, status)),
            false => {
                add_status(&mut parts.headers, status);
                Ok(parts)
            }
        };
        let mut body = Box::pin(body);
        let body = match begin(&mut body).await {
            Begun::Whole(bytes) => {
                if let Some(entry) = self.complete(entry, bytes.clone()) {
                    let storing = async move { self.store(entry, keep, now).await };
                    do_or_detach(Box::pin(storing)).await;
                }
                CacheBody::stored(bytes)
            }
            Begun::Pieces(first) => self.pass_on(entry, keep, body, first, hint),
        };
        let response = match head {
            Ok(parts) => Response::from_parts(parts, body),
            Err(not_modified) => not_modified,
        };
        (response, ("miss", ""))
    }

    /// Copies a body from a task of its own, and stores the response when it has come.
    fn pass_on<R>(
        self: Box<Self>,
        entry: Entry,
        keep: Duration,
        body: Pin<Box<R>>,
        first: First<R::Data>,
        length: Option<u64>,
    ) -> CacheBody<R>
    where
        R: Body + Send + 'static,
        R::Data: Send,
        R::Error: Into<BoxError>,
    {
        let (to_client, from_task) = mpsc::unbounded_channel();
        let max = self.core.settings.max_body;
        tokio::spawn(async move {
            match copy(body, first, &to_client, max).await {
                // The client need not wait for the store.
                Ok(bytes) => {
                    if let Some(entry) = self.complete(entry, bytes) {
                        self.store(entry, keep, self.core.now()).await;
                    }
                }
                Err(refusal) => self.refuse(refusal, entry.status),
            }
        });
        CacheBody::copied(from_task, length)
    }

    /// The entry, now that its body has come; `None` if that is not to be stored.
    fn complete(&self, mut entry: Entry, body: Bytes) -> Option<Arc<Entry>> {
        if body.len() as u64 > self.core.settings.max_body {
            self.refuse(Refusal::TooLarge, entry.status);
            return None;
        }
        if !is_whole(entry.status, &entry.headers, body.len()) {
            // Cut short, or worse.
            return None;
        }
        set_length(&mut entry.headers, body.len());
        entry.body = body;
        Some(Arc::new(entry))
    }

    fn refuse(&self, refusal: Refusal, status: StatusCode) {
        self.core.shared.stats.refused.add();
        event::refused(self.asked.key(), refusal.name());
        // Of failures, and of what holds for one caller only, nothing is learnt about the others.
        let passing = [Refusal::Failure, Refusal::Authorization].contains(&refusal);
        if !passing && !status.is_server_error() {
            self.core.set_uncacheable(self.asked.key());
        }
    }

    /// An entry without its body.
    fn entry(&self, plan: Plan, status: StatusCode, mut headers: HeaderMap, now: u64) -> Entry {
        if !headers.contains_key(DATE) {
            // RFC 9110 §6.6.1.
            headers.extend(to_date(now).map(|date| (DATE, date)));
        }
        Entry::make_room(&mut headers);
        let keyed = &self.core.settings.vary_on;
        let mut names = keyed.clone();
        let more = plan.vary.into_iter();
        names.extend(more.filter(|name| !keyed.contains(name)));
        Entry {
            status,
            headers,
            body: Bytes::new(),
            born: plan.born,
            seen: self.seen.last,
            fresh: plan.fresh,
            while_revalidate: plan.while_revalidate,
            if_error: plan.if_error,
            authorized: plan.authorized,
            strict: plan.strict,
            origin: Origin::Ours(MadeFor::new(&self.asked, &names, &self.headers)),
            tags: plan.tags,
        }
    }

    /// Gives the entry to the followers, then to the backend.
    async fn store(&self, entry: Arc<Entry>, keep: Duration, now: u64) {
        let core = &self.core;
        core.set_cacheable(self.asked.key());
        // What has to be revalidated each time is for one only.
        if entry.is_fresh(now) {
            self.leader.tell(Outcome::Shared(Arc::clone(&entry)));
        }
        let kept = core.keep(&self.asked, &self.headers, &entry, keep, self.seen);
        match kept.await {
            Ok(true) => {
                core.shared.stats.stored.add();
                event::stored(self.asked.key(), entry.body.len());
            }
            Ok(false) => event::refused(self.asked.key(), "purged"),
            Err(error) => core.backend_failed(&error),
        }
    }
}
