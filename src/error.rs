//! The one error type.
//!
//! An error is a boxed record of what was attempted, on which key, what kind of failure it was, and the cause if another
//! library gave one. The cause is shared, so that an error can be cloned and handed to everyone who waited for the same load.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// A message shows no more characters of a key than this.
const KEY_SHOWN: usize = 80;

/// What went wrong; opaque, with predicates to tell the kinds apart.
///
/// The text names what was given and what is allowed, or which operation on which key failed and why. Clones share the cause,
/// which [`source`](std::error::Error::source) returns.
///
/// ```
/// let error = nori_cache::Cache::<u64, u64>::builder().max_keys(0).build().unwrap_err();
/// assert!(error.is_invalid_config());
/// assert_eq!(error.to_string(), "max_keys is 0; it must be at least 1");
/// ```
#[derive(Debug, Clone)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Debug, Clone)]
struct Inner {
    kind: Kind,
    /// What was attempted, and on which key, as far as that is known.
    operation: Option<&'static str>,
    key: Option<Box<str>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

#[derive(Debug, Clone)]
enum Kind {
    InvalidConfig {
        name: &'static str,
        given: String,
        allowed: String,
    },
    Timeout,
    Connection,
    Contention,
    Circular,
    WrongType,
    Overflow,
    Encoding,
    Decoding,
    #[cfg(feature = "serde")]
    Damaged,
    #[cfg(feature = "serde")]
    Io,
    Load,
    Overloaded,
    Rejected,
    Closed,
}

impl Error {
    pub(crate) fn invalid_config(
        name: &'static str,
        given: impl fmt::Display,
        allowed: impl fmt::Display,
    ) -> Self {
        Self::of(Kind::InvalidConfig {
            name,
            given: given.to_string(),
            allowed: allowed.to_string(),
        })
    }

    fn of(kind: Kind) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                operation: None,
                key: None,
                source: None,
            }),
        }
    }

    /// The setting that has a value that is not allowed.
    #[cfg(feature = "global")]
    pub(crate) fn setting(&self) -> Option<&'static str> {
        match self.inner.kind {
            Kind::InvalidConfig { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Says where a setting's value comes from.
    #[cfg(feature = "global")]
    pub(crate) fn given_in(mut self, file: &str) -> Self {
        if let Kind::InvalidConfig { given, .. } = &mut self.inner.kind {
            *given = format!("{given} (in {file})");
        }
        self
    }

    /// Whether a setting has a value that is not allowed.
    pub fn is_invalid_config(&self) -> bool {
        matches!(self.inner.kind, Kind::InvalidConfig { .. })
    }
}

/// What can go wrong with a snapshot.
#[cfg(feature = "serde")]
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
impl Error {
    pub(crate) fn damaged(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(Kind::Damaged, cause)
    }

    pub(crate) fn io(cause: std::io::Error) -> Self {
        Self::caused(Kind::Io, cause)
    }

    /// Whether what was read is no snapshot, or one that has been cut short or changed.
    pub fn is_damaged(&self) -> bool {
        matches!(self.inner.kind, Kind::Damaged)
    }

    /// Whether a reader or a writer failed: its own error is the [`source`](std::error::Error::source).
    pub fn is_io(&self) -> bool {
        matches!(self.inner.kind, Kind::Io)
    }
}

/// What can go wrong with a backend.
impl Error {
    /// The far side did not answer in time. Whether a write took place is not known.
    ///
    /// Like the other constructors: for those who write a backend. Name the operation and the key with
    /// [`during`](Self::during).
    ///
    /// ```
    /// use nori_cache::Error;
    ///
    /// let error = Error::timeout("no answer in 50 ms").during("get", Some("user:42"));
    /// assert!(error.is_timeout());
    /// assert_eq!(error.to_string(), r#"get "user:42": timed out: no answer in 50 ms"#);
    /// ```
    pub fn timeout(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(Kind::Timeout, cause)
    }

    /// The far side cannot be reached, or the connection broke.
    pub fn connection(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(Kind::Connection, cause)
    }

    /// Others changed the key at every attempt.
    pub fn contention(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(Kind::Contention, cause)
    }

    /// A load or an update came back to its own key, again and again.
    pub fn circular(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(Kind::Circular, cause)
    }

    /// What is stored under the key is not what the operation works on: an integer for `incr`, say.
    pub fn wrong_type(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(Kind::WrongType, cause)
    }

    /// The result does not fit into 64 bits.
    pub fn overflow(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(Kind::Overflow, cause)
    }

    /// The codec, JSON unless another was chosen, cannot represent the value.
    pub fn encoding(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(Kind::Encoding, cause)
    }

    /// What is stored cannot be read as the type that was asked for.
    pub fn decoding(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(Kind::Decoding, cause)
    }

    /// The far side answered, and rejected the call: out of memory, read-only, no permission.
    pub fn rejected(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(Kind::Rejected, cause)
    }

    /// The backend has been closed.
    pub fn closed() -> Self {
        Self::of(Kind::Closed)
    }

    /// What a loader failed with.
    pub fn load(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(Kind::Load, cause)
    }

    /// So much is going on that nothing more is taken on: too many wait already.
    pub fn overloaded(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(Kind::Overloaded, cause)
    }

    fn caused(kind: Kind, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let mut error = Self::of(kind);
        error.inner.source = Some(Arc::from(cause.into()));
        error
    }

    /// Names the operation that failed, and its key, unless the error names them already. Of a long key only the beginning is
    /// shown, and what cannot be printed is escaped.
    #[must_use]
    pub fn during(mut self, operation: &'static str, key: Option<&str>) -> Self {
        if self.inner.operation.is_none() {
            self.inner.operation = Some(operation);
            self.inner.key = key.map(|key| show(key).into_boxed_str());
        }
        self
    }

    /// Names another operation, and what it is about, than the error does so far.
    #[cfg(feature = "backend")]
    pub(crate) fn renamed(mut self, operation: &'static str, subject: &str) -> Self {
        self.inner.operation = None;
        self.during(operation, Some(subject))
    }

    /// Whether the far side did not answer in time, or another caller's load or update of the key did not end in time. In the first
    /// case it is not known whether a write took place; in the second the call has done nothing.
    pub fn is_timeout(&self) -> bool {
        matches!(self.inner.kind, Kind::Timeout)
    }

    /// Whether the far side could not be reached, or the connection broke.
    pub fn is_connection(&self) -> bool {
        matches!(self.inner.kind, Kind::Connection)
    }

    /// Whether others changed the key at every attempt to update it.
    pub fn is_contention(&self) -> bool {
        matches!(self.inner.kind, Kind::Contention)
    }

    /// Whether a load or an update came back to its own key, again and again: its closure loads or updates, directly or through
    /// others, the key that it is called for.
    pub fn is_circular(&self) -> bool {
        matches!(self.inner.kind, Kind::Circular)
    }

    /// Whether what is stored is not what the operation works on: an integer for `incr`, say.
    pub fn is_wrong_type(&self) -> bool {
        matches!(self.inner.kind, Kind::WrongType)
    }

    /// Whether the result would not fit into 64 bits.
    pub fn is_overflow(&self) -> bool {
        matches!(self.inner.kind, Kind::Overflow)
    }

    /// Whether the codec, JSON unless another was chosen, cannot represent a value. Nothing was stored, and what was stored before stays.
    pub fn is_encoding(&self) -> bool {
        matches!(self.inner.kind, Kind::Encoding)
    }

    /// Whether what is stored cannot be read as the type that was asked for.
    pub fn is_decoding(&self) -> bool {
        matches!(self.inner.kind, Kind::Decoding)
    }

    /// Whether a loader failed: its own error is the [`source`](std::error::Error::source).
    pub fn is_load(&self) -> bool {
        matches!(self.inner.kind, Kind::Load)
    }

    /// Whether nothing was loaded because too many loads wait already. The call has done nothing; it may be tried again later, and is
    /// better not tried again at once.
    pub fn is_overloaded(&self) -> bool {
        matches!(self.inner.kind, Kind::Overloaded)
    }

    /// Whether the far side answered, and rejected the call.
    pub fn is_rejected(&self) -> bool {
        matches!(self.inner.kind, Kind::Rejected)
    }

    /// Whether the backend has been closed.
    pub fn is_closed(&self) -> bool {
        matches!(self.inner.kind, Kind::Closed)
    }

    /// The cause, if it is an `E`: what a loader failed with, say.
    ///
    /// ```
    /// use nori_cache::Error;
    ///
    /// let error = Error::connection(std::io::Error::other("unplugged"));
    /// assert_eq!(error.cause::<std::io::Error>().unwrap().to_string(), "unplugged");
    /// assert!(error.cause::<std::fmt::Error>().is_none());
    /// ```
    pub fn cause<E: StdError + 'static>(&self) -> Option<&E> {
        self.inner.source.as_deref()?.downcast_ref()
    }
}

/// A key as messages show it: quoted, escaped, and no longer than is good for a log.
fn show(key: &str) -> String {
    let end = key
        .char_indices()
        .nth(KEY_SHOWN)
        .map_or(key.len(), |(at, _)| at);
    let shown = key[..end].escape_debug();
    if end == key.len() {
        format!("\"{shown}\"")
    } else {
        format!("\"{shown}…\" ({} bytes)", key.len())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.inner;
        if let Some(operation) = inner.operation {
            write!(f, "{operation}")?;
            if let Some(key) = &inner.key {
                write!(f, " {key}")?;
            }
            write!(f, ": ")?;
        }
        let why = match &inner.kind {
            Kind::InvalidConfig {
                name,
                given,
                allowed,
            } => return write!(f, "{name} is {given}; it must be {allowed}"),
            Kind::Timeout => "timed out",
            Kind::Connection => "no connection",
            Kind::Contention => "too much contention",
            Kind::Circular => "circular",
            Kind::WrongType => "wrong type",
            Kind::Overflow => "out of range",
            Kind::Encoding => "cannot be encoded",
            Kind::Decoding => "cannot be read as the type asked for",
            #[cfg(feature = "serde")]
            Kind::Damaged => "no whole snapshot",
            #[cfg(feature = "serde")]
            Kind::Io => "reading or writing failed",
            Kind::Load => "the loader failed",
            Kind::Overloaded => "overloaded",
            Kind::Rejected => "refused",
            Kind::Closed => "the backend is closed",
        };
        write!(f, "{why}")?;
        match &inner.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

/// The text: for those whose errors are texts.
impl From<Error> for String {
    fn from(error: Error) -> Self {
        error.to_string()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_escaped_and_cut() {
        assert_eq!(show("a\n\0\"ü"), r#""a\n\0\"ü""#);
        let long = "ü".repeat(1 << 20);
        let shown = show(&long);
        assert_eq!(
            shown,
            format!("\"{}…\" (2097152 bytes)", "ü".repeat(KEY_SHOWN))
        );
    }

    #[test]
    fn the_first_operation_named_stays() {
        let error = Error::closed()
            .during("get", Some("a"))
            .during("other", None);
        assert_eq!(error.to_string(), r#"get "a": the backend is closed"#);
    }
}
