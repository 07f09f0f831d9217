//! `Cache-Status`: RFC 9211.

use crate::response::entry::stored_response::Entry;
use http::HeaderValue;
use std::fmt::{self, Write as _};

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
        self.end(self.begin(), detail)
    }

    /// Answered by the handler with this status.
    pub(crate) fn came(self, status: u16, stored: bool, detail: Option<&str>) -> HeaderValue {
        let mut line = self.begin();
        line.add("; fwd-status=");
        line.add_number(u64::from(status));
        if stored && !self.down {
            line.add("; stored");
        }
        self.end(line, detail)
    }

    /// Answered with what another request's handler made.
    pub(crate) fn collapsed(self) -> HeaderValue {
        let mut line = self.begin();
        line.add("; collapsed");
        self.end(line, None)
    }

    fn begin(self) -> Line {
        let mut line = Line::new();
        line.add(NAME);
        line.add("; fwd=");
        line.add(self.why);
        line
    }

    fn end(self, mut line: Line, detail: Option<&str>) -> HeaderValue {
        let parts = match (detail, self.down) {
            (Some(detail), false) => ["; detail=", detail, ""],
            (None, true) => ["; detail=backend-down", "", ""],
            (Some(detail), true) => ["; detail=\"backend-down ", detail, "\""],
            (None, false) => [""; 3],
        };
        parts.into_iter().for_each(|part| line.add(part));
        line.into_value()
    }
}

/// Answered from an entry.
pub(crate) fn hit(entry: &Entry, now: u64, detail: Option<&str>) -> HeaderValue {
    let mut line = Line::new();
    line.add(NAME);
    line.add("; hit");
    // Of what the original wrote it is not known.
    if let Some(ttl) = ttl(entry, now) {
        line.add(if ttl < 0 { "; ttl=-" } else { "; ttl=" });
        line.add_number(ttl.unsigned_abs());
    }
    if let Some(detail) = detail {
        line.add("; detail=");
        line.add(detail);
    }
    line.into_value()
}

fn ttl(entry: &Entry, now: u64) -> Option<i64> {
    let fresh = i64::try_from(entry.fresh.as_secs()).ok()?;
    let age = i64::try_from(entry.age(now).as_secs()).ok()?;
    fresh
        .checked_sub(age)
        .filter(|_| fresh < i64::from(u32::MAX) * 2)
}

/// A short text in the making: in place and without `fmt`, as every answer needs one or two.
pub(crate) struct Line {
    text: [u8; Self::ROOM],
    length: usize,
}

impl Line {
    /// Longer than all that is written here.
    const ROOM: usize = 128;

    pub(crate) fn new() -> Self {
        Self {
            text: [0; Self::ROOM],
            length: 0,
        }
    }

    pub(crate) fn of_number(number: u64) -> Self {
        let mut line = Self::new();
        line.add_number(number);
        line
    }

    pub(crate) fn of(text: impl fmt::Display) -> Self {
        let mut line = Self::new();
        // Writing to it never fails.
        let _ = write!(line, "{text}");
        line
    }

    /// Adds a part, if there is room for it.
    pub(crate) fn add(&mut self, part: &str) {
        let end = self.length + part.len();
        if let Some(place) = self.text.get_mut(self.length..end) {
            place.copy_from_slice(part.as_bytes());
            self.length = end;
        }
    }

    pub(crate) fn add_number(&mut self, number: u64) {
        let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
        let Some(places) = self.text.get_mut(self.length..self.length + digits) else {
            return;
        };
        let mut rest = number;
        for place in places.iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.length += digits;
    }

    pub(crate) fn as_str(&self) -> &str {
        // Only whole texts are added.
        str::from_utf8(&self.text[..self.length]).unwrap_or_default()
    }

    pub(crate) fn into_value(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.text[..self.length])
            .unwrap_or_else(|_| HeaderValue::from_static(NAME))
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.add(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are_said() {
        for number in [0, 1, 9, 10, 99, 100, 3600, u64::MAX] {
            assert_eq!(Line::of_number(number).into_value(), number.to_string());
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut line = Line::new();
        line.add(&"x".repeat(Line::ROOM - 2));
        line.add_number(100);
        line.add("yyy");
        line.add("zz");
        let text = "x".repeat(Line::ROOM - 2) + "zz";
        assert_eq!(line.into_value(), text);
    }
}
