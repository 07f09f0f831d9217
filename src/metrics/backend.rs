//! What a backend counts.

use super::cache;
use super::names::*;
use super::sink::Sink;
use crate::backend::{
    BackendStats, BreakerState, LinkState, LoadCounts, Operation, OperationStats,
};

/// `since` is what was counted since the last time, `before` the links that there were then.
pub(super) fn publish(sink: &Sink<'_>, since: &BackendStats, before: &[LinkState]) {
    // 1. The calls.
    let is_timed = since.memory.is_none();
    for (operation, stats) in since.operations() {
        calls(sink, operation, stats, is_timed);
    }
    // 2. What is made of them.
    cache::loads(sink, &since.loads);
    degraded(sink, &since.load_counts);
    for (reason, count) in since.undecodable.iter() {
        sink.count(&UNDECODABLE, [reason], count);
    }
    // 3. The store.
    if let Some(memory) = &since.memory {
        cache::memory(sink, memory, since.entries.unwrap_or_default());
    }
    for link in &since.links {
        let server = link.address.as_str();
        sink.set(&LINK_CONNECTED, [server], u64::from(link.is_connected));
        breaker(sink, server, Some(link.breaker));
        sink.count(&LINK_RECONNECTS, [server], link.reconnects);
        sink.count(&LINK_FAILURES, [server], link.failures);
        sink.count(&LINK_OPENED, [server], link.opened);
    }
    let is_here = |server: &str| since.links.iter().any(|link| link.address == server);
    for gone in before.iter().filter(|link| !is_here(&link.address)) {
        sink.set(&LINK_CONNECTED, [&gone.address], 0);
        breaker(sink, &gone.address, None);
    }
}

/// What loads did where something was slow, down or stale.
fn degraded(sink: &Sink<'_>, since: &LoadCounts) {
    sink.count(&STALE, ["fail_safe"], since.fail_safe);
    sink.count(&STALE, ["soft_timeout"], since.soft_timeouts);
    sink.count(&REFRESHES, ["begun"], since.refreshed);
    sink.count(&REFRESHES, ["refused"], since.refused);
    sink.count(&OVERLOADED, [], since.overloaded);
    sink.count(&STORELESS, ["unread"], since.unread);
    sink.count(&STORELESS, ["unstored"], since.unstored);
    sink.set(&BACKGROUND, [], since.in_background);
}

fn calls(sink: &Sink<'_>, operation: Operation, since: &OperationStats, is_timed: bool) {
    let name = operation.name();
    for (outcome, count) in [
        ("ok", since.succeeded()),
        ("error", since.errors.total()),
        ("abandoned", since.abandoned),
    ] {
        sink.count(&OPERATIONS, [name, outcome], count);
    }
    if operation.looks_for_keys() {
        sink.count(&LOOKUPS, [name, "hit"], since.hits);
        sink.count(&LOOKUPS, [name, "miss"], since.callers_misses());
    }
    // A series for everything that never happens would be many.
    for (error, count) in since.errors.iter().filter(|(_, count)| *count > 0) {
        sink.count(&ERRORS, [name, error], count);
    }
    if is_timed {
        sink.record(&OPERATION_DURATION, [name], &since.latency);
    }
}

/// `None` for a server that is not one of ours any more.
fn breaker(sink: &Sink<'_>, server: &str, state: Option<BreakerState>) {
    for other in BreakerState::ALL {
        let is_it = u64::from(state == Some(other));
        sink.set(&LINK_BREAKER, [server, other.name()], is_it);
    }
}
