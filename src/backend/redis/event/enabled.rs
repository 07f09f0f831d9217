//! With the feature `tracing`: spans and events with the target `nori_cache::backend`. Their fields have the names of
//! OpenTelemetry's conventions for database clients. No key is in them that is not to be told, no value, and no secret.

use super::{Endpoint, Subject};
use crate::backend::stats::{ErrorKind, Operation};
use crate::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use tracing::field::Empty;
use tracing::{Span, debug_span, info, warn};

macro_rules! target {
    () => {
        "nori_cache::backend"
    };
}

/// A call, from its first poll to its answer.
pub(in crate::backend::redis) struct CallSpan(Span);

/// A span of a call, with these fields besides those that all have.
macro_rules! call_span {
    ($operation:expr, $($more:tt)*) => {
        debug_span!(
            target: target!(),
            "call",
            otel.kind = "client",
            otel.name = command($operation),
            otel.status_code = Empty,
            db.system.name = "redis",
            db.operation.name = command($operation),
            nori_cache.operation = $operation.name(),
            error.type = Empty,
            $($more)*
        )
    };
}

impl CallSpan {
    /// `server` is where the call goes if there is only one.
    pub(in crate::backend::redis) fn new(
        operation: Operation,
        subject: Subject<'_>,
        server: Option<&Endpoint>,
    ) -> Self {
        let address = server.map(|it| it.address.as_str());
        let port = server.and_then(|it| it.port);
        Self(match (subject, server) {
            (Subject::Key(key), _) => call_span!(
                operation,
                server.address = address,
                server.port = port,
                nori_cache.key = key,
            ),
            (Subject::Keys(keys), Some(_)) => call_span!(
                operation,
                server.address = address,
                server.port = port,
                db.operation.batch.size = keys,
            ),
            // To many servers; `sent_to` finds no field for any of them.
            (Subject::Keys(keys), None) => {
                call_span!(operation, db.operation.batch.size = keys,)
            }
            (Subject::Nothing, Some(_)) => {
                call_span!(operation, server.address = address, server.port = port,)
            }
            (Subject::Nothing, None) => call_span!(operation,),
        })
    }

    pub(in crate::backend::redis) fn around<F: Future>(
        &self,
        work: Pin<&mut F>,
    ) -> impl Future<Output = F::Output> {
        around(&self.0, work)
    }

    pub(in crate::backend::redis) fn failed(&self, error: &Error) {
        fail(&self.0, error);
    }
}

/// The call under way goes to this server, if it goes to one.
pub(in crate::backend::redis) fn sent_to(server: Option<&Endpoint>) {
    if let Some(server) = server {
        let span = Span::current();
        span.record("server.address", server.address.as_str());
        span.record("server.port", server.port);
    }
}

/// An attempt to connect. Nobody's call is its parent: others wait for it as well, and it goes on without them.
pub(in crate::backend::redis) struct ConnectSpan(Span);

impl ConnectSpan {
    pub(in crate::backend::redis) fn new(server: Option<&Endpoint>, again: bool) -> Self {
        Self(debug_span!(
            target: target!(),
            parent: None,
            "connect",
            otel.kind = "client",
            otel.status_code = Empty,
            db.system.name = "redis",
            server.address = server.map(|it| it.address.as_str()),
            server.port = server.and_then(|it| it.port),
            nori_cache.reconnect = again,
            error.type = Empty,
        ))
    }

    pub(in crate::backend::redis) fn around<F: Future>(
        &self,
        work: Pin<&mut F>,
    ) -> impl Future<Output = F::Output> {
        around(&self.0, work)
    }

    pub(in crate::backend::redis) fn failed(&self, error: &Error) {
        fail(&self.0, error);
    }
}

/// From now on calls fail at once. `error` is a link's: it names no key, and secrets are scrubbed from it.
pub(in crate::backend::redis) fn breaker_opened(server: &str, error: &Error) {
    let kind = ErrorKind::of(error).name();
    warn!(target: target!(), server, error.type = kind, %error, "breaker opened");
}

pub(in crate::backend::redis) fn breaker_closed(server: &str) {
    info!(target: target!(), server, "breaker closed");
}

fn around<F: Future>(span: &Span, mut work: Pin<&mut F>) -> impl Future<Output = F::Output> {
    poll_fn(move |context| span.in_scope(|| work.as_mut().poll(context)))
}

fn fail(span: &Span, error: &Error) {
    span.record("error.type", ErrorKind::of(error).name());
    span.record("otel.status_code", "ERROR");
}

/// The command that is sent where there is one server.
fn command(operation: Operation) -> &'static str {
    match operation {
        Operation::Get => "GET",
        Operation::GetMany => "MGET",
        Operation::Set => "SET",
        Operation::SetMany => "PIPELINE SET",
        Operation::Delete | Operation::DeleteMany => "UNLINK",
        Operation::Flush => "SCAN",
        Operation::Incr | Operation::CompareAndSet => "EVALSHA",
        Operation::Ttl => "PTTL",
        Operation::Verify => "PING",
    }
}
