//! What a backend counts.

use super::cache;
use super::names::*;
use super::sink::Sink;
use crate::backend::{BackendStats, LinkState, LinkStats, Operation, OperationStats};

const STATES: [LinkState; 5] = [
    LinkState::Idle,
    LinkState::Connecting,
    LinkState::Up,
    LinkState::Down,
    LinkState::Closed,
];

/// `since` is what was counted since the last time, `before` the links that there were then.
pub(super) fn publish(sink: &Sink<'_>, since: &BackendStats, before: &[LinkStats]) {
    // 1. The calls.
    let is_timed = since.memory.is_none();
    for (operation, stats) in since.operations() {
        calls(sink, operation, stats, is_timed);
    }
    // 2. What is made of them.
    cache::loads(sink, &since.loads);
    for (reason, count) in since.undecodable.iter() {
        sink.count(&UNDECODABLE, [reason], count);
    }
    // 3. The store.
    if let Some(memory) = &since.memory {
        cache::memory(sink, memory, since.entries.unwrap_or_default());
    }
    for link in &since.links {
        state(sink, &link.server, Some(link.state));
        sink.count(&LINK_CONNECTIONS, [&link.server], link.connections);
        sink.count(&LINK_FAILURES, [&link.server], link.failures);
        sink.count(&LINK_OPENED, [&link.server], link.opened);
    }
    let is_here = |server: &str| since.links.iter().any(|link| link.server == server);
    for gone in before.iter().filter(|link| !is_here(&link.server)) {
        state(sink, &gone.server, None);
    }
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
        sink.count(&LOOKUPS, [name, "miss"], since.misses);
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
fn state(sink: &Sink<'_>, server: &str, state: Option<LinkState>) {
    for other in STATES {
        let is_it = u64::from(state == Some(other));
        sink.set(&LINK_STATE, [server, other.name()], is_it);
    }
}
