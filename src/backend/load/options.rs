//! [`LoadOptions`]: how loads go.

use super::compact::{MaybeShare, MaybeSpan, MaybeTtl, Span};
use crate::error::Error;
use crate::time::Ttl;
use std::time::Duration;

/// How long a lease lasts, unless configured, and between what it may.
const TERM: Duration = Duration::from_secs(10);
const SHORTEST_TERM: Duration = Duration::from_millis(10);
const LONGEST_TERM: Duration = Duration::from_secs(24 * 3600);

/// How loads go: of one [`Load`](super::Load), or, as defaults, of a backend's (`load_options` of its builder).
///
/// Without any, a load is what [`get_or_load`](crate::CacheBackendExt::get_or_load) is: what is there is returned, what is missing is
/// loaded once for all who ask, and stored.
///
/// # What is kept
/// With fail-safe, eager refresh, stale-while-revalidate, a validator, tags or a lifetime for `None`, entries are stored with what
/// these need: when they were stored, until when they are fresh. In memory that costs no serialisation. Elsewhere it is an
/// envelope around what the codec wrote, which other programs do not read.
///
/// Such an entry stays in the store longer than it is fresh: by the longer one of its windows, fail-safe and stale-while-revalidate.
/// To [`get`](crate::CacheBackendExt::get) and all other reads it is a miss once it is no longer fresh, and so is an entry that
/// stands for `None`, always; to updates there is nothing then, and they write over it. It is no integer:
/// [`incr`](crate::CacheBackendExt::incr) fails on it, fresh or not. Its [`ttl`](crate::CacheBackendExt::ttl) is the store's, windows included.
///
/// Freshness goes by the time of day of each process.
///
/// ```
/// use nori_cache::{CacheBackendExt, LoadOptions, MemoryCacheBackend};
/// use std::{sync::Arc, time::Duration};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// let options = LoadOptions::new()
///     .ttl(Duration::from_secs(60))
///     .jitter(0.1)
///     .fail_safe(Duration::from_secs(3600))
///     .hard_timeout(Duration::from_secs(2));
/// let backend = Arc::new(MemoryCacheBackend::builder().load_options(options).build()?);
/// let answer: u64 = backend.load("answer").or_load(|_| async { Ok::<_, nori_cache::Error>(42) }).await?;
/// assert_eq!(answer, 42);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "options do nothing until something is loaded with them"]
pub struct LoadOptions {
    pub(super) ttl: MaybeTtl,
    pub(super) jitter: f64,
    pub(super) fail_safe: MaybeSpan,
    pub(super) fail_safe_throttle: Span,
    pub(super) soft_timeout: MaybeSpan,
    pub(super) hard_timeout: MaybeSpan,
    pub(super) eager_refresh: MaybeShare,
    pub(super) stale_while_revalidate: MaybeSpan,
    pub(super) negative_ttl: MaybeTtl,
    pub(super) cache_errors: MaybeSpan,
    pub(super) skip_read: bool,
    pub(super) skip_write: bool,
    pub(super) strict: bool,
    pub(super) fleet_single_flight: bool,
    pub(super) fleet_lease: Span,
    /// Those that have a value which is not allowed. It is known when they are set, and looked at when a load is polled.
    wrong: Wrong,
}

/// Options that may be set to what is not allowed, a bit each.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Wrong(u8);

impl Wrong {
    const NONE: Self = Self(0);
    const JITTER: u8 = 1 << 0;
    const EAGER_REFRESH: u8 = 1 << 1;
    const FLEET_LEASE: u8 = 1 << 2;

    #[inline]
    fn set(&mut self, option: u8, is_allowed: bool) {
        self.0 &= !option;
        if !is_allowed {
            self.0 |= option;
        }
    }

    fn is(self, option: u8) -> bool {
        self.0 & option != 0
    }
}

static PLAIN: LoadOptions = LoadOptions::new();

/// Those of a plain load.
pub(in crate::backend) fn plain() -> &'static LoadOptions {
    &PLAIN
}

impl LoadOptions {
    /// Those of a plain load.
    pub const fn new() -> Self {
        Self {
            ttl: MaybeTtl::UNSET,
            jitter: 0.0,
            fail_safe: MaybeSpan::UNSET,
            fail_safe_throttle: Span::new(Duration::from_secs(30)),
            soft_timeout: MaybeSpan::UNSET,
            hard_timeout: MaybeSpan::UNSET,
            eager_refresh: MaybeShare::UNSET,
            stale_while_revalidate: MaybeSpan::UNSET,
            negative_ttl: MaybeTtl::UNSET,
            cache_errors: MaybeSpan::UNSET,
            skip_read: false,
            skip_write: false,
            strict: false,
            fleet_single_flight: false,
            fleet_lease: Span::new(TERM),
            wrong: Wrong::NONE,
        }
    }

    /// How long what is loaded is fresh; by default the backend's [`default_ttl`](crate::CacheBackend::default_ttl). Zero: it is
    /// not stored.
    #[inline]
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = MaybeTtl::new(ttl.into());
        self
    }

    /// Shortens each time to live by a random share of it, up to this one, from 0 to 1; 0 by default. So entries that are loaded at
    /// the same time do not expire at the same time.
    #[inline]
    pub fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self.wrong.set(Wrong::JITTER, (0.0..=1.0).contains(&share));
        self
    }

    /// Keeps what has expired for this long, and returns it when the loader fails, panics in the background, or runs into the
    /// [hard timeout](Self::hard_timeout). Off by default.
    ///
    /// A backend of two tiers that cannot read the far one returns what was [last known](crate::CacheBackend::last_known) there, fresh or
    /// expired, in the same cases. Where there is nothing to return, callers get the error.
    #[inline]
    pub fn fail_safe(mut self, window: Duration) -> Self {
        self.fail_safe = MaybeSpan::new(window);
        self
    }

    /// For how long after a failure the loader is not tried again, and what has expired is returned at once: where there is something
    /// to return, and in this process. 30 s by default.
    #[inline]
    pub fn fail_safe_throttle(mut self, pause: Duration) -> Self {
        self.fail_safe_throttle = Span::new(pause);
        self
    }

    /// How long a caller waits for the loader where there is something that has expired and that [fail-safe](Self::fail_safe) allows:
    /// then it gets that. The load goes on in the background. Off by default. On two tiers, the far one is waited for no longer, either,
    /// where there is something that was last known there.
    ///
    /// For loads over an `Arc` on a Tokio runtime; others wait for the load.
    #[inline]
    pub fn soft_timeout(mut self, limit: Duration) -> Self {
        self.soft_timeout = MaybeSpan::new(limit);
        self
    }

    /// How long a loader may take, in the background too; without limit by default. Then the load has failed with an
    /// [`is_timeout`](Error::is_timeout), and its future is dropped. Who waits for another's load waits no longer, either.
    #[inline]
    pub fn hard_timeout(mut self, limit: Duration) -> Self {
        self.hard_timeout = MaybeSpan::new(limit);
        self
    }

    /// Once this share of an entry's fresh life is over, above 0 and below 1, the next caller that finds it begins a load of it in
    /// the background, and gets it at once, as all others do. Off by default.
    ///
    /// For loads over an `Arc` on a Tokio runtime; with others, entries just expire.
    #[inline]
    pub fn eager_refresh(mut self, share: f64) -> Self {
        self.eager_refresh = MaybeShare::new(share);
        let is_inside = share > 0.0 && share < 1.0;
        self.wrong.set(Wrong::EAGER_REFRESH, is_inside);
        self
    }

    /// For this long after an entry has expired, callers get it nevertheless, and the first of them begins a load in the background.
    /// Off by default.
    ///
    /// For loads over an `Arc` on a Tokio runtime; others load.
    #[inline]
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.stale_while_revalidate = MaybeSpan::new(window);
        self
    }

    /// How long it is remembered that there is no value, for loaders that say so
    /// ([`or_load_optional`](super::Load::or_load_optional)). By default it is not.
    #[inline]
    pub fn negative_ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.negative_ttl = MaybeTtl::new(ttl.into());
        self
    }

    /// How long it is remembered that a load failed: callers get an error with the same text, and the loader is not called. In this
    /// process; a write of the key makes it void. By default it is not.
    #[inline]
    pub fn cache_errors(mut self, pause: Duration) -> Self {
        self.cache_errors = MaybeSpan::new(pause);
        self
    }

    /// Loads whatever is in the store, and writes over it. A load of the key that is under way serves.
    #[inline]
    pub fn skip_read(mut self) -> Self {
        self.skip_read = true;
        self
    }

    /// Does not store what is loaded.
    #[inline]
    pub fn skip_write(mut self) -> Self {
        self.skip_write = true;
        self
    }

    /// Fails where the store fails, and where what it has [cannot be decoded](crate::CacheBackendExt#what-cannot-be-decoded).
    ///
    /// By default a store that is down makes nobody fail: the loader runs, once for all callers in this process, they get
    /// what it got, and the [`Answer`](super::Answer) says that it is not stored.
    #[inline]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// One load for all processes that share the store, and not one for each. Off by default.
    ///
    /// Who is to load takes a lease of the key first, on the store. If another process has it, the caller waits for what that one
    /// stores, as long as for a load of its own process ([`Coalesced`](super::Outcome::Coalesced)); on two tiers the server tells
    /// when that is, on Redis alone there are looks after 2 ms, 4 ms and so on up to 100 ms. A leader whose process ends is
    /// replaced when its [lease](Self::fleet_lease) ends. What is set or deleted meanwhile, by any process, wins over the load.
    ///
    /// What a leader does not store is not shared: an error, or a `None` without a [lifetime](Self::negative_ttl). Then the next process
    /// calls its own loader. Loads that do not read or do not write ([`skip_read`](Self::skip_read), [`skip_write`](Self::skip_write))
    /// are each process's own, and so are those of many keys. Where a store has no leases (in memory: there the process is all there is), it makes no
    /// difference; a store that is down is no obstacle, either: each process loads for itself.
    #[inline]
    pub fn fleet_single_flight(mut self) -> Self {
        self.fleet_single_flight = true;
        self
    }

    /// How long after its last word a process that [loads for all](Self::fleet_single_flight) is taken for dead; 10 s by default. It gives
    /// word three times in this time, for as long as the loader runs. From 10 ms to a day.
    ///
    /// One that comes back later, after it has stood still or was cut off, does not store what it loaded.
    #[inline]
    pub fn fleet_lease(mut self, term: Duration) -> Self {
        self.fleet_lease = Span::new(term);
        let is_term = (SHORTEST_TERM..=LONGEST_TERM).contains(&term);
        self.wrong.set(Wrong::FLEET_LEASE, is_term);
        self
    }

    /// Whether what is loaded is to be kept beyond its time, or with its age.
    pub(super) fn keeps(&self) -> bool {
        self.fail_safe.is_set()
            || self.eager_refresh.is_set()
            || self.stale_while_revalidate.is_set()
    }

    /// Whether failures are to be noted.
    pub(super) fn notes_failures(&self) -> bool {
        self.keeps() || self.cache_errors.is_set()
    }

    /// How much longer than they are fresh entries stay in the store.
    pub(super) fn window(&self) -> Duration {
        let windows = [self.fail_safe, self.stale_while_revalidate];
        let windows = windows.into_iter().filter_map(MaybeSpan::get);
        windows.max().unwrap_or_default()
    }

    /// # Errors
    /// If one has a value that is not allowed.
    #[inline]
    pub(in crate::backend) fn check(&self) -> Result<(), Error> {
        if self.wrong == Wrong::NONE {
            return Ok(());
        }
        Err(self.complain())
    }

    #[cold]
    fn complain(&self) -> Error {
        if let Some(share) = self.eager_refresh.get()
            && self.wrong.is(Wrong::EAGER_REFRESH)
        {
            let allowed = "a share above 0 and below 1";
            return Error::invalid_config("eager_refresh", share, allowed);
        }
        if self.wrong.is(Wrong::FLEET_LEASE) {
            let given = format!("{:?}", self.fleet_lease);
            return Error::invalid_config("fleet_lease", given, "10 ms to a day");
        }
        Error::invalid_config("jitter", self.jitter, "a share from 0 to 1")
    }
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self::new()
    }
}
