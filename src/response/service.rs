//! [`CacheResponseService`].

use crate::response::answer::body::CacheBody;
use crate::response::answer::build::{Wishes, add_status, answer};
use crate::response::entry::stored_response::Entry;
use crate::response::event;
use crate::response::fetch::detached::finish;
use crate::response::fetch::driver::{Fetch, Limits};
use crate::response::fetch::state::Core;
use crate::response::future::ResponseFuture;
use crate::response::http::cache_status::{Forward, hit};
use crate::response::http::directives::Directives;
use crate::response::request::key::{Asked, Unkeyed, original_uri};
use bytes::Buf;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_LOCATION, EXPECT, HOST, IF_MATCH, IF_UNMODIFIED_SINCE,
    LOCATION, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
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
/// Bodies of requests have to be [`http_body::Body`]s, because a GET is cached only if its body has nothing in it: if it says
/// that its stream has ended, or, before HTTP/2, that it is exactly 0 bytes long.
#[derive(Clone)]
pub struct CacheResponseService<S> {
    inner: S,
    core: Arc<Core>,
}

impl<S> CacheResponseService<S> {
    pub(crate) fn new(inner: S, core: Arc<Core>) -> Self {
        Self { inner, core }
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
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<CacheBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    /// # Panics
    /// The future may, on a tokio runtime without timers, which it takes to wait for another request's handler; and outside a
    /// runtime if the backend does. Outside a runtime nothing goes on when its client goes away, nobody waits for another
    /// request, and bodies that come in pieces are passed through.
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let settings = &self.core.settings;
        let is_get = *request.method() == Method::GET;
        if !is_get && *request.method() != Method::HEAD {
            event::passed("method", request.uri().path());
            return match settings.by_headers() && !request.method().is_safe() {
                true => self.change(request),
                false => ResponseFuture::pass(self.inner.call(request), None),
            };
        }
        let (parts, body) = request.into_parts();
        let asked = match self.admit(&parts, &body) {
            Ok(asked) => asked,
            Err(detail) => {
                self.core.shared.stats.bypassed.add();
                event::passed(detail.unwrap_or("hook"), parts.uri.path());
                let status = Forward::new("bypass").passed(detail);
                let future = self.inner.call(Request::from_parts(parts, body));
                return ResponseFuture::pass(future, Some(status));
            }
        };
        let wishes = Wishes::of(&parts.method, &parts.headers);
        let limits = match settings.by_headers() {
            true => Limits::new(Directives::of_request(&parts.headers)),
            false => Limits::default(),
        };
        if let Some(entry) = self.core.find_plain(&asked, &parts.headers)
            && let Some(hit) = self.hit(&asked, &wishes, &limits, &entry)
        {
            return hit;
        }
        let landed = self.core.shared.flights.landed();
        let found = self.core.find_now(&asked, &parts.headers);
        if let Some(entry) = found.as_ref().and_then(|found| found.entry.as_ref())
            && let Some(hit) = self.hit(&asked, &wishes, &limits, entry)
        {
            return hit;
        }
        let fetch = Fetch {
            core: Arc::clone(&self.core),
            inner: self.take_ready(),
            parts,
            body,
            asked,
            wishes,
            limits,
            found,
            landed,
        };
        ResponseFuture::work(Box::pin(fetch.run()))
    }
}

impl<S> CacheResponseService<S> {
    /// The answer from an entry, if it is fresh for sure.
    #[inline]
    fn hit<F, R, E>(
        &self,
        asked: &Asked,
        wishes: &Wishes,
        limits: &Limits,
        entry: &Entry,
    ) -> Option<ResponseFuture<F, R, E>> {
        let now = self.core.soon();
        if !entry.is_fresh(now) || !limits.accept(entry, now) {
            return None;
        }
        self.core.shared.stats.hits.add();
        event::answered("hit", "", asked.key(), false);
        let status = hit(entry, now, None);
        Some(ResponseFuture::hit(answer(entry, wishes, now, status)))
    }

    /// What a GET or HEAD asks for.
    ///
    /// # Errors
    /// Why it is passed through.
    fn admit<B: Body + 'static>(
        &self,
        parts: &Parts,
        body: &B,
    ) -> Result<Asked, Option<&'static str>> {
        let settings = &self.core.settings;
        if settings.bypass.as_ref().is_some_and(|bypass| bypass(parts)) {
            return Err(None);
        }
        for (name, value) in &parts.headers {
            let detail = match *name {
                // They are about the resource's present state.
                IF_MATCH | IF_UNMODIFIED_SINCE => "precondition",
                CONTENT_LENGTH if value != "0" => "content",
                TRANSFER_ENCODING | EXPECT => "content",
                UPGRADE => "upgrade",
                // Whoever hands the request on takes them off, so that the handler sees less than the cache.
                CONNECTION if names_headers(value) => "connection",
                _ => continue,
            };
            return Err(Some(detail));
        }
        // What a GET carries is no part of its key, and some handlers look at it. By HTTP/2 no header need tell of it.
        // There trailers may follow a body that is 0 bytes long.
        let may_have_trailers = parts.version >= Version::HTTP_2;
        let is_empty = !may_have_trailers && body.size_hint().exact() == Some(0);
        if !body.is_end_stream() && !is_empty {
            return Err(Some("content"));
        }
        let known = Asked::knows_path::<B>(settings, parts);
        let asked = known.and_then(|()| Asked::new(settings, parts));
        let asked = asked.map_err(|unkeyed| match unkeyed {
            Unkeyed::Host => Some("host"),
            Unkeyed::TooLong => Some("key-too-long"),
            Unkeyed::Shortened => Some("original-uri-unknown"),
            Unkeyed::Query => Some("query"),
            Unkeyed::Path => Some("path"),
        })?;
        let flights = &self.core.shared.flights;
        let aboard = parts.extensions.get();
        if aboard.is_some_and(|aboard| flights.carries(aboard, asked.key())) {
            return Err(Some("within"));
        }
        Ok(asked)
    }

    /// The inner service that has said it is ready; a clone of it, which has not, takes its place.
    fn take_ready(&mut self) -> S
    where
        S: Clone,
    {
        let clone = self.inner.clone();
        replace(&mut self.inner, clone)
    }

    /// A method that changes things: what is stored of them goes when it succeeds. RFC 9111 §4.4.
    fn change<B, R>(&mut self, request: Request<B>) -> ResponseFuture<S::Future, R, S::Error>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Send + 'static,
        S::Future: Send + 'static,
        B: Send + 'static,
        R: Body + Send + 'static,
    {
        let core = Arc::clone(&self.core);
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
                let keys = core.outdated(get, response.headers());
                let removing = Arc::clone(&core);
                finish(
                    core,
                    Box::pin(async move { removing.remove_all(keys).await }),
                )
                .await;
            }
            add_status(response.headers_mut(), Forward::new("method").passed(None));
            Ok(response.map(CacheBody::handler))
        }))
    }
}

/// Whether a `Connection` names headers beside those that are of one connection anyway, or is no list of names.
fn names_headers(connection: &HeaderValue) -> bool {
    let known = [
        &b""[..],
        b"close",
        b"keep-alive",
        b"te",
        b"upgrade",
        b"http2-settings",
    ];
    let mut names = connection.as_bytes().split(|&byte| byte == b',');
    names.any(|name| {
        let is_it = |known: &&[u8]| name.trim_ascii().eq_ignore_ascii_case(known);
        !known.iter().any(is_it)
    })
}

impl Core {
    /// The keys of a target, and of those that the response names, if they are on the same host.
    fn outdated(&self, mut get: Parts, response: &HeaderMap) -> Vec<String> {
        let mut keys = Vec::new();
        let mut targets = vec![get.uri.clone()];
        let base = original_uri(&self.settings, &get).unwrap_or(&get.uri);
        for name in [LOCATION, CONTENT_LOCATION] {
            let named = response.get(name);
            let named = named.and_then(|value| resolve(base, &get.headers, value));
            targets.extend(named);
        }
        for (at, uri) in targets.into_iter().enumerate() {
            get.uri = uri;
            if at > 0 {
                // The original URI is the request's.
                get.extensions = http::Extensions::new();
            }
            let mut asked = Asked::new(&self.settings, &get);
            if asked
                .as_ref()
                .is_err_and(|unkeyed| *unkeyed == Unkeyed::Host)
            {
                // Of which authority is not known: where keys do not tell, of all.
                get.headers.remove(HOST);
                get.uri = get.uri.path_and_query().cloned().map_or(get.uri, Uri::from);
                asked = Asked::new(&self.settings, &get);
            }
            if let Ok(asked) = asked {
                keys.push(asked.key().to_owned());
            }
        }
        keys
    }

    async fn remove_all(&self, keys: Vec<String>) {
        for key in keys {
            if let Err(error) = self.remove(&key).await {
                self.backend_failed(&error);
            }
        }
    }
}

/// A target that a response names: absolute on the same host, or a path. It has the authority where the request has it.
fn resolve(base: &Uri, headers: &HeaderMap, value: &HeaderValue) -> Option<Uri> {
    let uri: Uri = value.to_str().ok()?.parse().ok()?;
    let own = match base.authority() {
        Some(own) => own.as_str(),
        None => headers
            .get(HOST)
            .map_or("", |host| host.to_str().unwrap_or("")),
    };
    match uri.authority() {
        Some(named) if named.as_str().eq_ignore_ascii_case(own) => (),
        None if value.as_bytes().starts_with(b"/") => (),
        _ => return None,
    }
    let mut parts = base.clone().into_parts();
    parts.path_and_query = uri.path_and_query().cloned();
    Uri::from_parts(parts).ok()
}

impl<S: fmt::Debug> fmt::Debug for CacheResponseService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheResponseService")
            .field("inner", &self.inner)
            .field("settings", &self.core.settings)
            .finish_non_exhaustive()
    }
}
