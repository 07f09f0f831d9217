//! The leader's task: runs the handler, answers its own client as soon as there are headers, and stores the body while it goes by.

use super::answer::{Wishes, add_status, answer, not_modified};
use super::body::{CacheBody, Part};
use super::core::Core;
use super::event;
use super::flight::{Leader, Outcome};
use super::freshen::freshened;
use super::key::Asked;
use super::policy::{Plan, Refusal, end_to_end, judge, to_date};
use super::purge::Seen;
use super::status::{Forward, hit};
use super::stored::{Entry, MadeFor, Origin};
use bytes::{Buf, Bytes, BytesMut};
use http::header::{
    CONTENT_LENGTH, DATE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, SET_COOKIE,
};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode, response};
use http_body::Body;
use http_body_util::BodyExt;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tower_service::Service;

pub(crate) struct Lead<S, B> {
    pub(crate) core: Arc<Core>,
    pub(crate) inner: S,
    pub(crate) parts: Parts,
    pub(crate) body: B,
    pub(crate) asked: Asked,
    pub(crate) wishes: Wishes,
    pub(crate) leader: Leader,
    pub(crate) stale: Option<Arc<Entry>>,
    pub(crate) seen: Seen,
    pub(crate) forward: Forward,
}

type Reply<R, E> = oneshot::Sender<Result<Response<CacheBody<R>>, E>>;

/// What is left when the handler has been called.
struct Led {
    core: Arc<Core>,
    asked: Asked,
    wishes: Wishes,
    leader: Leader,
    stale: Option<Arc<Entry>>,
    seen: Seen,
    forward: Forward,
    /// The request's headers as the client sent them.
    headers: HeaderMap,
    asked_at: u64,
}

impl<S, B, R> Lead<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(crate) async fn run(self, reply: Reply<R, S::Error>) {
        let Self {
            core,
            mut inner,
            mut parts,
            body,
            asked,
            wishes,
            leader,
            stale,
            seen,
            forward,
        } = self;
        let headers = parts.headers.clone();
        // Where nothing comes to be stored, the client's own conditions are the handler's business.
        let strip = stale.is_some() || !core.is_uncacheable(asked.key());
        if strip {
            Wishes::strip(&mut parts.headers);
        }
        let validates = stale
            .as_ref()
            .is_some_and(|stale| validate(&mut parts.headers, stale));
        let asked_at = core.now();
        let led = Led {
            core,
            asked,
            wishes,
            leader,
            stale,
            seen,
            forward,
            headers,
            asked_at,
        };
        let answered = inner.call(Request::from_parts(parts, body)).await;
        drop(inner);
        let response = match answered {
            Ok(response) => response,
            Err(error) => {
                return match led.instead_of_error() {
                    Some(instead) => led.reply(reply, Ok(instead), "stale-if-error", ""),
                    None => led.reply(reply, Err(error), "failed", "error"),
                };
            }
        };
        let status = response.status();
        if [500, 502, 503, 504].contains(&status.as_u16())
            && let Some(instead) = led.instead_of_error()
        {
            return led.reply(reply, Ok(instead), "stale-if-error", "");
        }
        match &led.stale {
            Some(stale) if validates && status == StatusCode::NOT_MODIFIED => {
                let (parts, _) = response.into_parts();
                let refreshed = led.refresh(stale, &parts).await;
                led.reply(reply, Ok(refreshed), "revalidated", "");
            }
            _ => led.receive(response, reply).await,
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
    /// Answers the client, if there is one: it may have gone, or have been given the stale entry.
    fn reply<R, E>(
        &self,
        reply: Reply<R, E>,
        answer: Result<Response<CacheBody<R>>, E>,
        how: &str,
        detail: &str,
    ) {
        if !reply.is_closed() {
            event::answered(how, detail, self.asked.key(), self.forward.down);
        }
        let _ = reply.send(answer);
    }

    /// The stale entry, where it may stand in for an error: RFC 5861 §4.
    fn instead_of_error<R>(&self) -> Option<Response<CacheBody<R>>> {
        let now = self.core.now();
        let stale = self
            .stale
            .as_ref()
            .filter(|stale| stale.serves_if_error(now))?;
        self.core.shared.stats.stale.add();
        self.leader.tell(Outcome::Shared(Arc::clone(stale)));
        let status = hit(stale, now, Some("stale-if-error"));
        Some(answer(stale, &self.wishes, now, status))
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
                let entry = self.entry(
                    &plan,
                    merged.status,
                    merged.headers,
                    stale.body.clone(),
                    now,
                );
                let response = answer(&entry, &self.wishes, now, status(true));
                self.store(entry, &plan).await;
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

    async fn receive<R, E>(self, response: Response<R>, reply: Reply<R, E>)
    where
        R: Body,
        R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
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
                return self.reply(reply, Ok(response), "uncacheable", refusal.name());
            }
        };
        let headers = end_to_end(&parts.headers);
        let stored_status = parts.status;
        let (to_client, from_task) = mpsc::unbounded_channel();
        let status = self.forward.came(code, true, None);
        let response = match self.wishes.is_not_modified(parts.status, &parts.headers) {
            true => not_modified(&headers, 0, status),
            false => {
                add_status(&mut parts.headers, status);
                Response::from_parts(parts, CacheBody::copied(from_task, hint))
            }
        };
        self.reply(reply, Ok(response), "miss", "");
        let body = copy(Box::pin(body), &to_client, settings.max_body).await;
        // The client need not wait for the store.
        let body = match body {
            Ok(body) => body,
            Err(refusal) => return self.refuse(refusal, stored_status),
        };
        let length = headers
            .get(CONTENT_LENGTH)
            .map(|length| length.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length != Some(body.len() as u64)) {
            // Cut short, or worse.
            return;
        }
        let entry = self.entry(&plan, stored_status, headers, body, now);
        self.store(entry, &plan).await;
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

    fn entry(
        &self,
        plan: &Plan,
        status: StatusCode,
        mut headers: HeaderMap,
        body: Bytes,
        now: u64,
    ) -> Entry {
        if !headers.contains_key(DATE) {
            // RFC 9110 §6.6.1.
            headers.extend(to_date(now).map(|date| (DATE, date)));
        }
        Entry::make_room(&mut headers);
        let keyed = &self.core.settings.vary_on;
        let mut names = keyed.clone();
        let more = plan.vary.iter().filter(|name| !keyed.contains(name));
        names.extend(more.cloned());
        Entry {
            status,
            headers,
            body,
            born: plan.born,
            seen: self.seen.last,
            fresh: plan.fresh,
            while_revalidate: plan.while_revalidate,
            if_error: plan.if_error,
            authorized: plan.authorized,
            strict: plan.strict,
            origin: Origin::Ours(Box::new(MadeFor::new(&self.asked, &names, &self.headers))),
            tags: plan.tags.clone(),
        }
    }

    /// Gives the entry to the followers, then to the backend.
    async fn store(&self, entry: Entry, plan: &Plan) {
        let core = &self.core;
        let entry = Arc::new(entry);
        core.set_cacheable(self.asked.key());
        // What has to be revalidated each time is for one only.
        if entry.is_fresh(core.now()) {
            self.leader.tell(Outcome::Shared(Arc::clone(&entry)));
        }
        let kept = core.keep(&self.asked, &self.headers, &entry, plan, self.seen);
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

/// Sends a body to the client as it comes, and collects it.
///
/// # Errors
/// If it failed or is too large to be stored: then the client gets the rest from the handler itself.
async fn copy<R>(
    mut body: Pin<Box<R>>,
    to_client: &mpsc::UnboundedSender<Part<R>>,
    max: u64,
) -> Result<Bytes, Refusal>
where
    R: Body,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut length = 0;
    // Sending fails when the client is gone: then the body is collected all the same.
    loop {
        match body.frame().await {
            None => break,
            Some(Err(error)) => {
                let _ = to_client.send(Part::Failed(error.into()));
                return Err(Refusal::Failure);
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(mut data) => {
                    let piece = data.copy_to_bytes(data.remaining());
                    length += piece.len() as u64;
                    let _ = to_client.send(Part::Data(piece.clone()));
                    if length > max {
                        let _ = to_client.send(Part::Rest(body));
                        return Err(Refusal::TooLarge);
                    }
                    pieces.push(piece);
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        let _ = to_client.send(Part::Trailers(trailers));
                    }
                }
            },
        }
    }
    let _ = to_client.send(Part::End);
    Ok(match pieces.len() {
        0 => Bytes::new(),
        1 => pieces.swap_remove(0),
        _ => {
            let mut whole = BytesMut::with_capacity(length as usize);
            pieces
                .iter()
                .for_each(|piece| whole.extend_from_slice(piece));
            whole.freeze()
        }
    })
}
