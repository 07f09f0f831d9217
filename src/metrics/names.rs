//! [`METRICS`]: what is published, under which name.

use ::metrics::{KeyName, Recorder, Unit};

/// A metric: its name, what it counts, and the labels that tell its series apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The name, in Prometheus's form.
    pub name: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// What its numbers are of.
    pub unit: Unit,
    /// The labels, `cache` first.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub description: &'static str,
}

/// What a metric's number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// It only grows.
    Counter,
    /// How things stand.
    Gauge,
    /// How many there were, in classes.
    Histogram,
}

impl Metric {
    pub(super) fn describe(&self, recorder: &dyn Recorder) {
        let (name, unit) = (KeyName::from_const_str(self.name), Some(self.unit));
        let description = self.description.into();
        match self.kind {
            Kind::Counter => recorder.describe_counter(name, unit, description),
            Kind::Gauge => recorder.describe_gauge(name, unit, description),
            Kind::Histogram => recorder.describe_histogram(name, unit, description),
        }
    }
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident of $unit:ident, $name:literal [$($label:literal),*] $description:literal;)*) => {
        $(
            #[allow(dead_code, reason = "without some features some are not published")]
            pub(super) const $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                unit: Unit::$unit,
                labels: &["cache" $(, $label)*],
                description: $description,
            };
        )*

        /// All metrics there are. Which of them a cache has, depends on what it is.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    OPERATIONS: Counter of Count, "nori_cache_operations_total" ["operation", "outcome"]
        "Calls of a backend that have ended: ok, error or abandoned.";
    LOOKUPS: Counter of Count, "nori_cache_lookups_total" ["operation", "outcome"]
        "Keys that callers looked for: hit or miss.";
    ERRORS: Counter of Count, "nori_cache_errors_total" ["operation", "error"]
        "Calls of a backend that failed, by what went wrong.";
    OPERATION_DURATION: Histogram of Seconds, "nori_cache_operation_duration_seconds" ["operation"]
        "How long calls of a backend took that is not in memory.";
    LOADS: Counter of Count, "nori_cache_loads_total" ["outcome"]
        "Loaders that succeeded, failed, panicked or were abandoned, and callers for whom another's load was coalesced.";
    LOAD_DURATION: Histogram of Seconds, "nori_cache_load_duration_seconds" []
        "How long loaders took that succeeded.";
    STALE: Counter of Count, "nori_cache_stale_answers_total" ["why"]
        "Callers that got what had expired: as the load failed (fail_safe), or took too long (soft_timeout).";
    REFRESHES: Counter of Count, "nori_cache_refreshes_total" ["outcome"]
        "Refreshes in the background that were begun, or refused as too many were under way.";
    OVERLOADED: Counter of Count, "nori_cache_overloaded_loads_total" []
        "Loads that failed at once, as too many waited already to be let load.";
    STORELESS: Counter of Count, "nori_cache_storeless_loads_total" ["outcome"]
        "Loads that went ahead although the store could not be read (unread), or keep what they got (unstored).";
    BACKGROUND: Gauge of Count, "nori_cache_background_loads" []
        "Loads that go on in the background.";
    UNDECODABLE: Counter of Count, "nori_cache_undecodable_total" ["reason"]
        "Stored values that could not be read as the type that was asked for.";
    ENTRIES: Gauge of Count, "nori_cache_entries" []
        "Entries in memory.";
    INSERTS: Counter of Count, "nori_cache_inserts_total" []
        "Entries stored in memory.";
    REMOVALS: Counter of Count, "nori_cache_removals_total" ["cause"]
        "Entries that have left the memory: evicted, expired, removed or cleared.";
    EVICTED_WEIGHT: Counter of Count, "nori_cache_evicted_weight_total" []
        "What evicted entries weighed, in the weigher's unit.";
    REFUSALS: Counter of Count, "nori_cache_refusals_total" []
        "Values that were too heavy, or for which pinned entries left no room.";
    LISTENER_PANICS: Counter of Count, "nori_cache_listener_panics_total" []
        "Panics of the listener of removals.";
    PENDING: Gauge of Count, "nori_cache_pending" []
        "Entries that have left and still wait to be dropped.";
    LINK_CONNECTED: Gauge of Count, "nori_cache_link_connected" ["server"]
        "1 while there is a connection to a server, else 0. Nobody connects before the first call.";
    LINK_BREAKER: Gauge of Count, "nori_cache_link_breaker" ["server", "state"]
        "1 for the state that a server's breaker is in, 0 for the others: closed, open, half_open.";
    LINK_RECONNECTS: Counter of Count, "nori_cache_link_reconnects_total" ["server"]
        "Connections to a server that took the place of another.";
    LINK_FAILURES: Counter of Count, "nori_cache_link_failures_total" ["server"]
        "Attempts to connect to a server that failed, and connections given up because it was silent.";
    LINK_OPENED: Counter of Count, "nori_cache_link_breaker_opened_total" ["server"]
        "Outages of a server: how often its breaker has opened.";
    RESPONSES: Counter of Count, "nori_cache_responses_total" ["outcome"]
        "Requests to a response layer: hit, miss, collapsed, stale, revalidated or bypass.";
    RESPONSE_STORES: Counter of Count, "nori_cache_response_stores_total" ["outcome"]
        "Responses stored, or not: refused, unbuffered, undetached or detached_timeout.";
    RESPONSE_BACKEND_ERRORS: Counter of Count, "nori_cache_response_backend_errors_total" []
        "Calls of a response layer's backend that failed; the requests did not.";
    RESPONSE_HANDLERS: Gauge of Count, "nori_cache_response_handlers" ["state"]
        "Handlers that run, and what goes on without a client: running, detached.";
    RESPONSE_BUFFERED: Gauge of Bytes, "nori_cache_response_buffered_bytes" []
        "Bytes of bodies that are being collected, or wait for their readers.";
}
