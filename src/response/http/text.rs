//! [`ShortText`]: header values in the making.

use http::HeaderValue;
use std::fmt::{self, Write as _};

/// A short text that is put together in place, without an allocation and without `fmt`: every answer needs one or two.
///
/// A part that does not fit is left out.
pub(crate) struct ShortText {
    text: [u8; Self::CAPACITY],
    length: usize,
}

impl ShortText {
    /// More than anything takes that is written here.
    const CAPACITY: usize = 128;

    pub(crate) fn new() -> Self {
        Self {
            text: [0; Self::CAPACITY],
            length: 0,
        }
    }

    pub(crate) fn of_number(number: u64) -> Self {
        let mut text = Self::new();
        text.push_number(number);
        text
    }

    pub(crate) fn of(displayed: impl fmt::Display) -> Self {
        let mut text = Self::new();
        // Writing to it never fails.
        let _ = write!(text, "{displayed}");
        text
    }

    pub(crate) fn push(&mut self, part: &str) {
        let end = self.length + part.len();
        if let Some(room) = self.text.get_mut(self.length..end) {
            room.copy_from_slice(part.as_bytes());
            self.length = end;
        }
    }

    pub(crate) fn push_number(&mut self, number: u64) {
        let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
        let Some(room) = self.text.get_mut(self.length..self.length + digits) else {
            return;
        };
        let mut rest = number;
        for digit in room.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.length += digits;
    }

    pub(crate) fn as_str(&self) -> &str {
        // Only whole texts are added.
        str::from_utf8(&self.text[..self.length]).unwrap_or_default()
    }

    /// The text as a header's value; an empty one if it has characters that no header may have.
    pub(crate) fn into_value(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.text[..self.length])
            .unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

impl fmt::Write for ShortText {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.push(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 1, 9, 10, 99, 100, 3600, u64::MAX] {
            let value = ShortText::of_number(number).into_value();
            assert_eq!(value, number.to_string());
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut text = ShortText::new();
        text.push(&"x".repeat(ShortText::CAPACITY - 2));
        text.push_number(100);
        text.push("yyy");
        text.push("zz");
        let want = "x".repeat(ShortText::CAPACITY - 2) + "zz";
        assert_eq!(text.as_str(), want);
        assert_eq!(text.into_value(), want);
    }
}
