//! What a leader does: runs the handler, answers its own client as soon as there are headers, and stores the body.
//!
//! A body that is there in one piece is stored at once. Any other is copied on its way, on a task of its own, which neither a
//! slow client nor one that has gone away holds up: others may be waiting for the whole. So a leader comes to an answer, and to
//! what is [left to do](Rest) then: who answers the client sees to that, and so does who goes on without one.

use crate::response::answer::body::{BoxError, CacheBody};
use crate::response::answer::build::{Wishes, add, add_status, answer, not_modified};
use crate::response::entry::own_memory;
use crate::response::entry::stored_response::{Entry, MadeFor, Origin};
use crate::response::entry::update::freshened;
use crate::response::event;
use crate::response::fetch::detached::{Permit, Work, finish};
use crate::response::fetch::flight::{Leader, Outcome};
use crate::response::fetch::state::Core;
use crate::response::fetch::tee::{Begun, Copying, begin};
use crate::response::http::cache_status::{Forward, hit};
use crate::response::policy::plan::{Plan, Refusal, is_about_request, judge, to_date};
use crate::response::policy::storable::{end_to_end, is_whole, set_length};
use crate::response::request::key::Asked;
use crate::response::storage::purge_list::Seen;
use bytes::Bytes;
use http::header::{DATE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode, response};
use http_body::Body;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Handle;
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

/// What a leader has come to.
pub(crate) struct Landed<R: Body, E> {
    pub(crate) answer: Result<Response<CacheBody<R>>, E>,
    pub(crate) how: How,
    pub(crate) rest: Option<Rest<R>>,
}

/// What is left to do when a client can be answered.
pub(crate) enum Rest<R: Body> {
    /// To go on storing.
    Store(Work<()>),
    Copy(Box<Copy<R>>),
}

/// A body to be copied, and then to be stored.
pub(crate) struct Copy<R: Body> {
    led: Box<Led>,
    entry: Entry,
    keep: Duration,
    copying: Copying<R>,
}

impl<S, B, R> Lead<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
{
    // No `async fn`: its future would hold `self` twice.
    pub(crate) fn run(self) -> impl Future<Output = Landed<R, S::Error>> {
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
                        Some((instead, how)) => Landed::new(instead, how),
                        None => Landed {
                            answer: Err(error),
                            how: ("failed", "error"),
                            rest: None,
                        },
                    };
                }
            };
            let status = response.status();
            if [500, 502, 503, 504].contains(&status.as_u16())
                && let Some((instead, how)) = led.instead_of_error()
            {
                return Landed::new(instead, how);
            }
            if validates && status == StatusCode::NOT_MODIFIED {
                let (parts, _) = response.into_parts();
                return Box::pin(led.refresh(parts)).await;
            }
            led.receive(response).await
        }
    }
}

/// Asks whether a stale entry is still good: RFC 9111 §4.3.1. False if it has nothing to ask with.
fn validate(headers: &mut HeaderMap, stale: &Entry) -> bool {
    let mut validates = false;
    for (name, asks) in [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)] {
        if let Some(value) = stale.headers.get(name) {
            // Unless the request has as many headers as it can.
            validates |= headers.try_insert(asks, value.clone()).is_ok();
        }
    }
    validates
}

impl<R: Body, E> Landed<R, E> {
    fn new(response: Response<CacheBody<R>>, how: How) -> Self {
        Self {
            answer: Ok(response),
            how,
            rest: None,
        }
    }
}

impl<R> Rest<R>
where
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
{
    /// While a client gets its answer, which need not wait for this.
    pub(crate) async fn beside_the_client(self, core: Arc<Core>) {
        match self {
            Self::Store(store) => match core.permit() {
                Some(permit) => permit.finish(store),
                // But that it must, where too much goes on already.
                None => finish(core, store).await,
            },
            Self::Copy(copy) => match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(copy.run(None))),
                Err(_) => copy.copying.hand_over(),
            },
        }
    }

    /// Where there is no client.
    pub(crate) async fn alone(self, permit: Permit) {
        match self {
            Self::Store(store) => {
                store.await;
                drop(permit);
            }
            Self::Copy(copy) => copy.run(Some(permit)).await,
        }
    }
}

impl<R> Copy<R>
where
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
{
    async fn run(self: Box<Self>, mut permit: Option<Permit>) {
        let Self {
            led,
            entry,
            keep,
            copying,
        } = *self;
        let status = entry.status;
        let copied = match copying.collect(&led.core, &mut permit).await {
            Ok(copied) => copied,
            Err(refusal) => return led.refuse(refusal, status).await,
        };
        let entry = match led.complete(entry, copied.bytes.clone()) {
            Ok(entry) => entry,
            Err(refusal) => {
                copied.end();
                return led.refuse(refusal, status).await;
            }
        };
        // The client need not wait for the store, unless too much goes on already.
        let permit = permit.or_else(|| led.core.permit());
        let waits = permit.is_none();
        if !waits {
            copied.end();
        }
        led.store(entry, keep, led.core.now()).await;
        if waits {
            copied.end();
        }
        drop(permit);
    }
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
    async fn refresh<R: Body, E>(self: Box<Self>, fresh: response::Parts) -> Landed<R, E> {
        let now = self.core.now();
        let forward = self.forward;
        let status = |stored| forward.came(304, stored, None);
        let refreshed = self.refreshed(&fresh, now);
        // Not stored, and not lost: it is for this client.
        let with_cookies = |mut response: Response<_>| {
            for cookie in fresh.headers.get_all(SET_COOKIE) {
                add(response.headers_mut(), SET_COOKIE, cookie.clone());
            }
            Landed::new(response, ("revalidated", ""))
        };
        match (refreshed, &self.stale) {
            (Some((entry, keep)), _) => {
                self.core.shared.stats.revalidated.add();
                let response = answer(&entry, &self.wishes, now, status(true));
                let rest = self.begin_to_store(Arc::new(entry), keep, now).await;
                Landed {
                    rest,
                    ..with_cookies(response)
                }
            }
            // It may not be kept, or the 304 is about another one: then this is the last answer from it, once it is stale.
            (None, Some(stale)) => {
                if self.says_of_others() {
                    let _ = self.core.remove(self.asked.key()).await;
                }
                with_cookies(answer(stale, &self.wishes, now, status(false)))
            }
            (None, None) => with_cookies(not_modified(&fresh.headers, 0, status(false))),
        }
    }

    /// The stale entry with what a 304 brings, and for how long it is kept now.
    fn refreshed(&self, fresh: &response::Parts, now: u64) -> Option<(Entry, Duration)> {
        let stale = self.stale.as_ref()?;
        let merged = freshened(stale, fresh)?;
        let settings = &self.core.settings;
        let plan = judge(settings, &self.asked, &merged, self.asked_at, now).ok()?;
        let keep = plan.keep;
        let mut entry = self.entry(plan, merged.status, merged.headers, now)?;
        entry.body = stale.body.clone();
        Some((entry, keep))
    }

    async fn receive<R, E>(self: Box<Self>, response: Response<R>) -> Landed<R, E>
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
        let verdict = verdict.and_then(|plan| {
            let keep = plan.keep;
            let headers = end_to_end(&parts.headers);
            let entry = headers.and_then(|headers| self.entry(plan, parts.status, headers, now));
            Ok((entry.ok_or(Refusal::Headers)?, keep))
        });
        let code = parts.status.as_u16();
        let (entry, keep) = match verdict {
            Ok(planned) => planned,
            Err(refusal) => {
                self.refuse(refusal, parts.status).await;
                let status = self.forward.came(code, false, Some(refusal.name()));
                add_status(&mut parts.headers, status);
                let response = Response::from_parts(parts, CacheBody::handler(body));
                return Landed::new(response, ("uncacheable", refusal.name()));
            }
        };
        let status = self.forward.came(code, true, None);
        let head = match self.wishes.is_not_modified(parts.status, &parts.headers) {
            true => Err(not_modified(&entry.headers, 0, status)),
            false => {
                add_status(&mut parts.headers, status);
                Ok(parts)
            }
        };
        let mut body = Box::pin(body);
        let (body, rest) = match begin(&mut body).await {
            Begun::Whole(bytes) => {
                let code = entry.status;
                let rest = match self.complete(entry, bytes.clone()) {
                    Ok(entry) => self.begin_to_store(entry, keep, now).await,
                    Err(refusal) => {
                        self.refuse(refusal, code).await;
                        None
                    }
                };
                (CacheBody::stored(bytes), rest)
            }
            Begun::Pieces(first) => {
                let (copying, parts) = Copying::new(body, first);
                let copy = Copy {
                    led: self,
                    entry,
                    keep,
                    copying,
                };
                let rest = Rest::Copy(Box::new(copy));
                (CacheBody::copied(parts, hint), Some(rest))
            }
        };
        let response = match head {
            Ok(parts) => Response::from_parts(parts, body),
            Err(not_modified) => not_modified,
        };
        Landed {
            rest,
            ..Landed::new(response, ("miss", ""))
        }
    }

    /// The entry, now that its body has come.
    ///
    /// # Errors
    /// Why it is not stored.
    fn complete(&self, mut entry: Entry, body: Bytes) -> Result<Arc<Entry>, Refusal> {
        if body.len() as u64 > self.core.settings.max_body {
            return Err(Refusal::TooLarge);
        }
        if !is_whole(entry.status, &entry.headers, body.len()) {
            // Cut short, or worse.
            return Err(Refusal::Failure);
        }
        set_length(&mut entry.headers, body.len());
        entry.body = body;
        Ok(Arc::new(entry))
    }

    /// The response is not stored. What it has replaced is not served any longer, unless that may have been for a moment only.
    async fn refuse(&self, refusal: Refusal, status: StatusCode) {
        let stats = &self.core.shared.stats;
        let counter = match refusal {
            Refusal::Buffers => &stats.unbuffered,
            Refusal::DetachedLimit => &stats.undetached,
            Refusal::DetachedTimeout => &stats.detached_timeouts,
            _ => &stats.refused,
        };
        counter.add();
        event::refused(self.asked.key(), refusal.name());
        // Those who follow need not wait for what comes below.
        self.leader.tell(Outcome::Alone);
        if refusal.is_passing(status) {
            return;
        }
        if !self.says_of_others() {
            return;
        }
        if !is_about_request(status) {
            self.core.set_uncacheable(self.asked.key());
        }
        let tries_again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        if let Some(stale) = &self.stale
            && !tries_again.contains(&status)
            && let Err(error) = self.core.forget(&self.asked, &self.headers, stale).await
        {
            self.core.backend_failed(&error);
        }
    }

    /// Whether an answer that is not stored says anything of what others get. What holds for one caller does not, and nor does
    /// what a client has asked for although there is an entry that is fresh: else one odd request would take it from all.
    fn says_of_others(&self) -> bool {
        let now = self.core.now();
        let has_fresh = self.stale.as_ref().is_some_and(|old| old.is_fresh(now));
        !self.asked.authorized && !has_fresh
    }

    /// An entry without its body; `None` if it has too many headers.
    fn entry(
        &self,
        plan: Plan,
        status: StatusCode,
        mut headers: HeaderMap,
        now: u64,
    ) -> Option<Entry> {
        if !headers.contains_key(DATE)
            && let Some(date) = to_date(now)
        {
            // RFC 9110 §6.6.1.
            headers.try_insert(DATE, date).ok()?;
        }
        own_memory::headers(&mut headers)?;
        Entry::make_room(&mut headers)?;
        let keyed = &self.core.settings.vary_on;
        let mut names = keyed.clone();
        let more = plan.vary.into_iter();
        names.extend(more.filter(|name| !keyed.contains(name)));
        Some(Entry {
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
        })
    }

    /// Stores an entry, as far as that takes no waiting.
    async fn begin_to_store<R: Body>(
        self: Box<Self>,
        entry: Arc<Entry>,
        keep: Duration,
        now: u64,
    ) -> Option<Rest<R>> {
        let mut store: Work<()> = Box::pin(async move { self.store(entry, keep, now).await });
        let is_done = poll_fn(|context| Poll::Ready(store.as_mut().poll(context).is_ready()));
        (!is_done.await).then_some(Rest::Store(store))
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
