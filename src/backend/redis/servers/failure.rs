//! How a command can fail, and what callers are told.

use crate::backend::redis::address::Secrets;
use crate::error::Error;
use redis::{ErrorKind, RedisError, ServerError, ServerErrorKind, Value};

/// Why there is no answer. The kind decides whether the command may be sent again.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The server never saw the command.
    Unsent(Error),
    /// Whether the server has carried the command out is not known.
    Unknown(Error),
    /// The server has not carried the command out, and says why.
    Rejected(ServerError),
}

/// What came of a command.
pub(super) type Answer = Result<Value, Failure>;

impl Failure {
    pub(super) fn into_error(self, secrets: &Secrets) -> Error {
        match self {
            Self::Unsent(error) | Self::Unknown(error) => error,
            Self::Rejected(reply) => rejection(&reply, secrets),
        }
    }
}

/// Where to go with a command whose hash slot is, or will be, another server's.
pub(super) enum Redirect<'r> {
    Moved(&'r str),
    Ask(&'r str),
    TryAgain,
}

pub(super) fn redirect(reply: &ServerError) -> Option<Redirect<'_>> {
    let address = || reply.details()?.split_ascii_whitespace().nth(1);
    match reply.kind()? {
        ServerErrorKind::Moved => address().map(Redirect::Moved),
        ServerErrorKind::Ask => address().map(Redirect::Ask),
        ServerErrorKind::TryAgain => Some(Redirect::TryAgain),
        _ => None,
    }
}

/// What a server said, as it is told to callers.
fn rejection(reply: &ServerError, secrets: &Secrets) -> Error {
    let details = reply.details().unwrap_or_default();
    let text = secrets.scrub(format!("{} {details}", reply.code()).trim_end().to_owned());
    match reply.code() {
        "WRONGTYPE" => Error::wrong_type(text),
        "ERR" if details.contains("would overflow") => Error::overflow(text),
        "ERR" if details.contains("not an integer") => Error::wrong_type(text),
        "LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "MOVED" | "ASK" => {
            Error::connection(text)
        }
        _ => Error::rejected(text),
    }
}

/// Why the connection to the server of that name broke, or could not be made. The cause is kept as text only: what the library's own errors hold may be
/// what was sent.
pub(super) fn broken(name: &str, error: &RedisError, secrets: &Secrets) -> Error {
    let text = match (error.code(), error.detail()) {
        (Some(code), detail) => format!("{name}: {code} {}", detail.unwrap_or_default()),
        (None, Some(detail)) => format!("{name}: {}: {detail}", error.category()),
        (None, None) => format!("{name}: {error}"),
    };
    let text = secrets.scrub(text);
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse | ErrorKind::ClusterConnectionNotFound => {
            Error::connection(text)
        }
        ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown) => {
            Error::connection(text)
        }
        // Credentials, permissions, an old server: it is there, and says no.
        _ => Error::rejected(text),
    }
}
