//! What a response layer counts.

use super::names::*;
use super::sink::Sink;
use crate::response::ResponseStats;

/// `since` is what was counted since the last time.
pub(super) fn publish(sink: &Sink<'_>, since: &ResponseStats) {
    for (outcome, count) in [
        ("hit", since.hits),
        ("miss", since.misses),
        ("collapsed", since.collapsed),
        ("stale", since.stale),
        ("revalidated", since.revalidated),
        ("bypass", since.bypassed),
    ] {
        sink.count(&RESPONSES, [outcome], count);
    }
    for (outcome, count) in [
        ("stored", since.stored),
        ("refused", since.refused),
        ("unbuffered", since.unbuffered),
        ("undetached", since.undetached),
        ("detached_timeout", since.detached_timeouts),
    ] {
        sink.count(&RESPONSE_STORES, [outcome], count);
    }
    sink.count(&RESPONSE_BACKEND_ERRORS, [], since.backend_errors);
    sink.set(&RESPONSE_HANDLERS, ["running"], since.running);
    sink.set(&RESPONSE_HANDLERS, ["detached"], since.detached);
    sink.set(&RESPONSE_BUFFERED, [], since.buffered);
}
