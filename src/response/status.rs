//! `Cache-Status`: RFC 9211.

use super::stored::Entry;
use http::HeaderValue;
use std::fmt;
use std::io::Write as _;

/// How this cache calls itself.
const NAME: &str = "nori-cache";

/// Why a request went to the handler, and what came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forward {
    /// `uri-miss`, `vary-miss`, `stale`, `request`, `method`, `bypass`.
    pub(crate) why: &'static str,
    /// Whether the backend failed.
    pub(crate) down: bool,
}

impl Forward {
    pub(crate) fn new(why: &'static str) -> Self {
        Self { why, down: false }
    }

    /// Passed through.
    pub(crate) fn passed(self, detail: Option<&str>) -> HeaderValue {
        self.write("", detail)
    }

    /// Answered by the handler with this status.
    pub(crate) fn came(self, status: u16, stored: bool, detail: Option<&str>) -> HeaderValue {
        let stored = if stored && !self.down { "; stored" } else { "" };
        self.write(&format!("; fwd-status={status}{stored}"), detail)
    }

    /// Answered with what another request's handler made.
    pub(crate) fn collapsed(self) -> HeaderValue {
        self.write("; collapsed", None)
    }

    fn write(self, middle: &str, detail: Option<&str>) -> HeaderValue {
        let mut text = format!("{NAME}; fwd={}{middle}", self.why);
        match (detail, self.down) {
            (Some(detail), false) => text.extend(["; detail=", detail]),
            (None, true) => text.push_str("; detail=backend-down"),
            (Some(detail), true) => text.extend(["; detail=\"backend-down ", detail, "\""]),
            (None, false) => (),
        }
        to_value(text)
    }
}

/// Answered from an entry.
pub(crate) fn hit(entry: &Entry, now: u64, detail: Option<&str>) -> HeaderValue {
    // In place: this is on the way of every hit.
    let mut text = [0; 96];
    let mut rest = &mut text[..];
    let mut add = |part: fmt::Arguments<'_>| rest.write_fmt(part).is_ok();
    let mut fits = add(format_args!("{NAME}; hit"));
    // Of what the original wrote it is not known.
    if let Some(ttl) = ttl(entry, now) {
        fits &= add(format_args!("; ttl={ttl}"));
    }
    if let Some(detail) = detail {
        fits &= add(format_args!("; detail={detail}"));
    }
    let length = 96 - rest.len();
    let value = HeaderValue::from_bytes(&text[..length])
        .ok()
        .filter(|_| fits);
    value.unwrap_or_else(|| HeaderValue::from_static(NAME))
}

fn ttl(entry: &Entry, now: u64) -> Option<i64> {
    let fresh = i64::try_from(entry.fresh.as_secs()).ok()?;
    let age = i64::try_from(entry.age(now).as_secs()).ok()?;
    fresh
        .checked_sub(age)
        .filter(|_| fresh < i64::from(u32::MAX) * 2)
}

fn to_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(NAME))
}
