//! [`CacheResponse`]: the layer, and what it can be told.

use super::clock::WallClock;
use super::fetch::state::{Shared, State};
use super::policy::settings::Mode;
use super::request::key::Key;
use super::service::CacheResponseService;
use super::settings::Settings;
use super::stats::ResponseStats;
use crate::backend::CacheBackend;
use crate::time::Clock;
use http::header::HeaderName;
use http::request::Parts;
use http::{Extensions, Request, StatusCode, Uri};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tower_layer::Layer;

/// A layer that caches the responses of a service, for as long as the route's owner says ([`ttl`](Self::ttl)) or the responses'
/// headers say ([`from_headers`](Self::from_headers)).
///
/// Only GET without a body is cached, and HEAD, conditional (304) and single-range (206) requests are answered from a stored
/// GET. However many ask for what is not stored, the handler runs once; its body goes to the client as it comes. Never stored is
/// a response that is `private` or `no-store`, sets a cookie, varies by `*`, is partial, answers a request with `Authorization`
/// without saying that it may be shared, says something of caching that cannot be read, or is larger than
/// [`max_body`](Self::max_body). A request that names two authorities is passed through. If the backend is down, the handler
/// answers.
///
/// Under nested axum routers the key has the whole path, as the client sent it. With another version of axum than this crate's
/// (0.8), or with the feature `tower` alone, the whole path is not known. Then nothing is cached, a warning says so once, and
/// `Cache-Status` says `detail=original-uri-unknown`, until [`original_uri`](Self::original_uri) says where the path is. Under other routers that
/// shorten paths the layer cannot notice that, and has to be told.
///
/// A `CacheResponse` is a handle: clones, and the services it makes, share what goes on.
///
/// ```
/// use nori_cache::response::CacheResponse;
/// use nori_cache::MemoryCacheBackend;
/// use axum::{Router, routing::get};
/// use http::header::ACCEPT_LANGUAGE;
/// use std::{sync::Arc, time::Duration};
///
/// async fn dashboard() -> &'static str {
///     "an expensive query"
/// }
///
/// let backend = Arc::new(MemoryCacheBackend::new(10_000));
/// let minute = CacheResponse::ttl(Duration::from_secs(60)).backend(backend);
/// let app: Router = Router::new()
///     .route("/dashboard", get(dashboard).layer(minute.clone()))
///     .route("/reports", get(dashboard).layer(minute.key_prefix("reports").vary_on([ACCEPT_LANGUAGE])));
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct CacheResponse {
    pub(super) settings: Settings,
    pub(super) shared: Arc<Shared>,
}

impl CacheResponse {
    /// Timed mode: successful (2xx) responses are fresh for `ttl`, resolution 1 ms. Their `Cache-Control` and `Expires` can
    /// only make that less. A zero duration stores nothing.
    pub fn ttl(ttl: Duration) -> Self {
        let by_status = Vec::new();
        Self::with(Mode::Timed { ttl, by_status })
    }

    /// Header-driven mode: a shared cache as RFC 9111 has it. What does not say how long it is fresh is not stored.
    ///
    /// Stale responses are revalidated with their `ETag` or `Last-Modified`; `stale-while-revalidate` and `stale-if-error` (RFC
    /// 5861) are obeyed, also beside `s-maxage`, and so is the request's `Cache-Control`; a successful unsafe method removes
    /// what is stored of its target, its `Location` and `Content-Location`.
    ///
    /// ```
    /// use nori_cache::response::CacheResponse;
    ///
    /// let layer = CacheResponse::from_headers().cdn_cache_control(true);
    /// ```
    pub fn from_headers() -> Self {
        Self::with(Mode::Headers {
            cdn: false,
            heuristics: false,
        })
    }

    fn with(mode: Mode) -> Self {
        Self {
            settings: Settings::new(mode),
            shared: Arc::default(),
        }
    }

    /// Where responses are stored. By default: on the process's backend ([`get_backend`](crate::get_backend)), as it is when the
    /// first request comes.
    pub fn backend(mut self, backend: Arc<dyn CacheBackend>) -> Self {
        self.settings.backend = Some(backend);
        // What goes on already concerns the other backend.
        self.shared = Arc::default();
        self
    }

    /// What keys begin with; `view` by default. If it begins with `#`, keys have another `#` before it.
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.keys.prefix = prefix.into().into_boxed_str();
        self
    }

    /// A part of the key from the request: the tenant, say. It comes before the path.
    ///
    /// Requests with `Authorization` still share nothing, unless the response says that it may be shared, or
    /// [`authorized_by_key`](Self::authorized_by_key) is set.
    ///
    /// ```
    /// use nori_cache::response::CacheResponse;
    /// use std::time::Duration;
    ///
    /// let layer = CacheResponse::ttl(Duration::from_secs(60)).key_fn(|request| {
    ///     let tenant = request.headers.get("x-tenant");
    ///     tenant.and_then(|tenant| tenant.to_str().ok()).unwrap_or("").to_owned()
    /// });
    /// let request = http::Request::get("/me").header("x-tenant", "acme").body(()).unwrap();
    /// assert_eq!(layer.key_of(&request).unwrap(), "view:acme:/me:");
    /// ```
    pub fn key_fn(mut self, key_fn: impl Fn(&Parts) -> String + Send + Sync + 'static) -> Self {
        self.settings.keys.key_fn = Some(Arc::new(key_fn));
        self
    }

    /// Request headers whose values are part of the key. What responses name in `Vary` tells variants apart in any case.
    pub fn vary_on(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.settings.keys.vary_on = names.into_iter().collect();
        self
    }

    /// Whether the host is part of the key; not by default. Different hosts do not share a response either way.
    pub fn host_in_key(mut self, host_in_key: bool) -> Self {
        self.settings.keys.host_in_key = host_in_key;
        self
    }

    /// Whether parameters are sorted by name for the key, so that their order makes no difference; not by default.
    ///
    /// Those of one name stay in their order, and so do those whose names some reader may take for the same: `a` and `%61`, `a`
    /// and `A`, `a[]` and `a[1]`. A query with a semicolon or a broken escape in it stays as it is.
    pub fn sort_query(mut self, sorted: bool) -> Self {
        self.settings.keys.query.sorted = sorted;
        self
    }

    /// Whether the order of languages of one weight in `Accept-Language` makes no difference where responses vary by it (RFC
    /// 9110 §12.5.4); not by default, because many handlers answer in the first one they have. Case never makes a difference.
    ///
    /// ```
    /// use nori_cache::response::CacheResponse;
    ///
    /// let layer = CacheResponse::from_headers().sort_languages(true);
    /// ```
    pub fn sort_languages(mut self, sorted: bool) -> Self {
        self.settings.keys.sort_languages = sorted;
        self
    }

    /// The only parameters that count, by their names as handlers see them: decoded. The handler is given all parameters, so it
    /// must look at no others.
    ///
    /// Handlers read queries in different ways. A parameter that some may take for one of these, such as `p%61ge`, `Page`,
    /// `page[]` or `x=1;page=2` beside `page`, or that is no valid text, is neither left out nor kept: the request is not cached,
    /// and `Cache-Status` says `detail=query`.
    ///
    /// ```
    /// use nori_cache::response::CacheResponse;
    /// use std::time::Duration;
    ///
    /// let layer = CacheResponse::ttl(Duration::from_secs(60)).allow_query(["page"]);
    /// let request = http::Request::get("/products?utm_source=x&page=2").body(()).unwrap();
    /// assert_eq!(layer.key_of(&request).unwrap(), "view:/products:page=2");
    /// ```
    pub fn allow_query<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        self.settings.keys.query.allowed = Some(names);
        self
    }

    /// The type of the request extension that holds the URI as the client sent it, for routers that shorten the path. On axum
    /// this need not be said: `axum::extract::OriginalUri` is known to the feature `response`.
    ///
    /// ```
    /// use nori_cache::response::CacheResponse;
    /// use http::{Request, Uri};
    /// use std::{ops::Deref, time::Duration};
    ///
    /// /// What a router of yours keeps.
    /// #[derive(Clone)]
    /// struct Whole(Uri);
    ///
    /// impl Deref for Whole {
    ///     type Target = Uri;
    ///     fn deref(&self) -> &Uri {
    ///         &self.0
    ///     }
    /// }
    ///
    /// let layer = CacheResponse::ttl(Duration::from_secs(60)).original_uri::<Whole>();
    /// let whole = Whole(Uri::from_static("/users/list"));
    /// let request = Request::get("/list").extension(whole).body(()).unwrap();
    /// assert_eq!(layer.key_of(&request).unwrap(), "view:/users/list:");
    /// ```
    pub fn original_uri<T>(mut self) -> Self
    where
        T: Deref<Target = Uri> + Send + Sync + 'static,
    {
        self.settings.keys.original_uri =
            Some(|extensions: &Extensions| extensions.get::<T>().map(Deref::deref));
        self
    }

    /// Whether the key tells callers apart, so that requests with `Authorization` may be answered from the cache; not by
    /// default. This counts only beside a [`key_fn`](Self::key_fn) or [`vary_on`](Self::vary_on): any other key is the same for all
    /// callers.
    pub fn authorized_by_key(mut self, by_key: bool) -> Self {
        self.settings.keys.authorized_by_key = by_key;
        self
    }

    /// In timed mode: how long responses with this status are fresh. Zero: they are not stored.
    ///
    /// ```
    /// use nori_cache::response::CacheResponse;
    /// use http::StatusCode;
    /// use std::time::Duration;
    ///
    /// let layer = CacheResponse::ttl(Duration::from_secs(60))
    ///     .status_ttl(StatusCode::NOT_FOUND, Duration::from_secs(5));
    /// ```
    pub fn status_ttl(mut self, status: StatusCode, ttl: Duration) -> Self {
        if let Mode::Timed { by_status, .. } = &mut self.settings.policy.mode {
            by_status.retain(|(other, _)| *other != status);
            by_status.push((status, ttl));
        }
        self
    }

    /// In header-driven mode: whether `CDN-Cache-Control` is obeyed in the place of `Cache-Control` and `Expires` (RFC 9213);
    /// not by default. It is a structured field, and ignored if anything in it is broken, unless it seems to forbid.
    pub fn cdn_cache_control(mut self, heeded: bool) -> Self {
        if let Mode::Headers { cdn, .. } = &mut self.settings.policy.mode {
            *cdn = heeded;
        }
        self
    }

    /// In header-driven mode: whether a response that does not say how long it is fresh is for a tenth of the time since its
    /// `Last-Modified` (RFC 9111 §4.2.2); not by default.
    pub fn heuristics(mut self, used: bool) -> Self {
        if let Mode::Headers { heuristics, .. } = &mut self.settings.policy.mode {
            *heuristics = used;
        }
        self
    }

    /// How long a response is still served after it has gone stale, while one request fetches another; zero by default. A
    /// response's own `stale-while-revalidate` takes precedence, but in timed mode it can only shorten this; `must-revalidate`
    /// forbids it. The first client that is served a stale response starts the refresh. A HEAD and a request with `no-store` cannot
    /// start one, and get the handler's answer instead.
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.settings.policy.while_revalidate = window;
        self
    }

    /// How long a response is served after it has gone stale when the handler fails, with an error or a status 500, 502, 503 or
    /// 504; zero by default. A response's own `stale-if-error` takes precedence, but in timed mode it can only shorten this;
    /// `must-revalidate` forbids it.
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.settings.policy.if_error = window;
        self
    }

    /// How much may go on without a client, in all services that this layer and its clones have made: handlers and bodies whose
    /// clients have gone away, refreshes of stale responses, and what is on its way into the backend; 1,024 by default.
    ///
    /// When this much goes on already, everything else runs as without the layer. A handler or a body ends with its client, a
    /// request for a stale response waits for the handler, and one whose response is to be stored waits for the backend. So with 0
    /// nothing outlives its client.
    ///
    /// ```
    /// use nori_cache::response::CacheResponse;
    /// use std::time::Duration;
    ///
    /// let layer = CacheResponse::ttl(Duration::from_secs(60))
    ///     .max_detached(64)
    ///     .detached_timeout(Duration::from_secs(20));
    /// assert_eq!(layer.stats().detached, 0);
    /// ```
    pub fn max_detached(mut self, count: usize) -> Self {
        self.settings.max_detached = count;
        self
    }

    /// How long a handler and its body may go on without a client; 60 s by default. Then they are dropped, nothing is stored, and
    /// requests that wait for them run the handler themselves. What a client waits for, or reads, has no such deadline. Nor has the
    /// storing of a response that has come, which ends when the backend says so. A refresh that takes longer is never stored, so this
    /// should be more than the slowest handler takes.
    pub fn detached_timeout(mut self, timeout: Duration) -> Self {
        self.settings.detached_timeout = timeout;
        self
    }

    /// How many bytes of bodies that come in pieces may be held in all services that this layer and its clones have made, while
    /// they are collected for the store, and while they wait for clients that read more slowly than their handlers write; by
    /// default 32 times [`max_body`](Self::max_body), which is 64 MiB.
    ///
    /// A response that would hold more is not stored: it goes from its handler to its client as without the layer, as fast as the
    /// client reads. Clients who do not read hold what waits for them until their connections end, so a server should end them.
    /// With 0 no body that comes in pieces is stored.
    ///
    /// ```
    /// use nori_cache::response::CacheResponse;
    /// use std::time::Duration;
    ///
    /// let layer = CacheResponse::ttl(Duration::from_secs(60)).max_buffered(256 << 20);
    /// assert_eq!(layer.stats().buffered, 0);
    /// ```
    pub fn max_buffered(mut self, bytes: u64) -> Self {
        self.settings.max_buffered = Some(bytes);
        self
    }

    /// The largest body that is stored, in bytes; 2 MiB by default. Larger ones pass through.
    ///
    /// A backend in memory holds 256 MiB of all values together, if it is not told otherwise: with such bodies, 128 of them. For more
    /// responses lower this, or give the layer a [`backend`](Self::backend) of its own.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.settings.policy.max_body = bytes;
        self
    }

    /// How long a request waits for the handler that another one has started, before it starts its own; 10 s by default.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.settings.patience = patience;
        self
    }

    /// Which requests have nothing to do with the cache: it is neither read nor written for them.
    ///
    /// ```
    /// use nori_cache::response::CacheResponse;
    /// use std::time::Duration;
    ///
    /// let layer = CacheResponse::ttl(Duration::from_secs(60))
    ///     .bypass_if(|request| request.headers.contains_key("x-preview"));
    /// ```
    pub fn bypass_if(mut self, bypass: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.settings.bypass = Some(Arc::new(bypass));
        self
    }

    /// The clock that ages are measured with; the system's by default, a [`ManualClock`](crate::ManualClock) in tests.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.settings.clock = WallClock::driven_by(clock.into());
        self
    }

    /// The key under which a request's response is stored, without the backend's prefix. `None` if the request has none, and so is
    /// passed through.
    pub fn key_of<B>(&self, request: &Request<B>) -> Option<String> {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.uri = request.uri().clone();
        parts.headers = request.headers().clone();
        parts.extensions = request.extensions().clone();
        let rules = self.settings.policy.rules();
        let key = Key::of_whole(&self.settings.keys, rules, &parts).ok()?;
        Some(key.as_str().to_owned())
    }

    /// What was done so far in all services that this layer and its clones have made.
    pub fn stats(&self) -> ResponseStats {
        self.shared.stats()
    }
}

impl<S> Layer<S> for CacheResponse {
    type Service = CacheResponseService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let state = State::new(self.settings.clone(), Arc::clone(&self.shared));
        CacheResponseService::new(inner, Arc::new(state))
    }
}

impl fmt::Debug for CacheResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheResponse")
            .field("settings", &self.settings)
            .field("stats", &self.stats())
            .finish()
    }
}
