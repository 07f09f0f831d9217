//! What a typed cache counts, and one under a backend.

use super::names::*;
use super::sink::Sink;
use crate::cache::{LoadStats, Stats};

/// `since` is what was counted since the last time.
pub(super) fn publish(sink: &Sink<'_>, since: &Stats, entries: usize) {
    sink.count(&LOOKUPS, ["get", "hit"], since.hits);
    sink.count(&LOOKUPS, ["get", "miss"], since.misses);
    loads(sink, &since.loads);
    memory(sink, since, entries as u64);
}

/// What becomes of entries.
pub(super) fn memory(sink: &Sink<'_>, since: &Stats, entries: u64) {
    sink.set(&ENTRIES, [], entries);
    sink.set(&PENDING, [], since.pending);
    sink.count(&INSERTS, [], since.inserts);
    for (cause, count) in [
        ("evicted", since.evictions),
        ("expired", since.expirations),
        ("removed", since.removals),
        ("cleared", since.cleared),
    ] {
        sink.count(&REMOVALS, [cause], count);
    }
    sink.count(&EVICTED_WEIGHT, [], since.evicted_weight);
    sink.count(&REFUSALS, [], since.refusals);
    sink.count(&LISTENER_PANICS, [], since.listener_panics);
}

pub(super) fn loads(sink: &Sink<'_>, since: &LoadStats) {
    for (outcome, count) in [
        ("succeeded", since.succeeded),
        ("failed", since.failed),
        ("panicked", since.panicked),
        ("abandoned", since.abandoned),
        ("coalesced", since.coalesced),
    ] {
        sink.count(&LOADS, [outcome], count);
    }
    sink.record(&LOAD_DURATION, [], &since.took);
}
