//! `Cache-Control`, as RFC 9111 §5.2 has it, and as it really comes.
//!
//! Directives are compared without regard to case, may be spread over several lines, and may carry their value as a token or
//! as a quoted string. Whatever cannot be understood counts against caching: a lifetime that is no number is 0, of two
//! lifetimes the shorter one holds, and a field that ends within a quoted string is taken for `no-store`.
//!
//! Targeted fields such as `CDN-Cache-Control` (RFC 9213 §2.1) look alike and are not: they are structured, and ignored if they
//! are broken.

use super::structured::{Bare, dictionary};
use http::HeaderMap;
use http::header::HeaderName;
use std::time::Duration;

/// Numbers are cut off here: what RFC 9111 §1.2.2 asks for at least.
const MOST_SECONDS: u64 = 1 << 31;

/// The directives of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Directives {
    pub(crate) no_store: bool,
    pub(crate) no_cache: bool,
    pub(crate) private: bool,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    pub(crate) must_understand: bool,
    pub(crate) only_if_cached: bool,
    pub(crate) max_age: Option<Duration>,
    pub(crate) s_maxage: Option<Duration>,
    pub(crate) min_fresh: Option<Duration>,
    /// Without a value: however stale.
    pub(crate) max_stale: Option<Duration>,
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    /// Ends within a quoted string, or has a control character in it.
    pub(crate) malformed: bool,
    /// Whether there is any directive at all.
    pub(crate) present: bool,
}

impl Directives {
    /// Those of all lines of a field.
    pub(crate) fn read(headers: &HeaderMap, name: &HeaderName) -> Self {
        let mut directives = Self::default();
        for line in headers.get_all(name) {
            directives.add_line(line.as_bytes());
        }
        directives
    }

    /// Those of a targeted field: RFC 9213 §2.1. `None` if it has none, or is broken, or a directive's value is of a wrong
    /// type.
    pub(crate) fn read_targeted(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let lines: Vec<&[u8]> = headers
            .get_all(name)
            .iter()
            .map(|line| line.as_bytes())
            .collect();
        let text = lines.join(&b", "[..]);
        let mut directives = Self::default();
        for (name, value) in dictionary(&text)? {
            directives.add_typed(std::str::from_utf8(name).ok()?, value)?;
        }
        directives.present.then_some(directives)
    }

    fn add_typed(&mut self, name: &str, value: Bare) -> Option<()> {
        self.present = true;
        if let Some(flag) = self.flag(name) {
            *flag = match value {
                Bare::Boolean(set) => set,
                // Fields named.
                Bare::Text => true,
                _ => return None,
            };
        } else if let Some(slot) = self.lifetime(name) {
            let Bare::Integer(seconds) = value else {
                return None;
            };
            let seconds = u64::try_from(seconds).unwrap_or(0).min(MOST_SECONDS);
            *slot = Some(Duration::from_secs(seconds));
        }
        Some(())
    }

    pub(crate) fn add_line(&mut self, line: &[u8]) {
        let mut rest = line;
        while !rest.is_empty() {
            let (member, after) = self.cut_member(rest);
            self.add_member(member);
            rest = after;
        }
        if self.malformed {
            self.no_store = true;
        }
    }

    /// Cuts at the next comma that is in no quoted string.
    fn cut_member<'a>(&mut self, text: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let mut quoted = false;
        let mut escaped = false;
        for (at, &byte) in text.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' if !quoted => return (&text[..at], &text[at + 1..]),
                _ => (),
            }
        }
        self.malformed |= quoted;
        (text, &[])
    }

    fn add_member(&mut self, member: &[u8]) {
        let member = member.trim_ascii();
        if member.is_empty() {
            return;
        }
        self.present = true;
        let (name, value) = match member.iter().position(|&byte| byte == b'=') {
            Some(at) => (
                member[..at].trim_ascii(),
                Some(member[at + 1..].trim_ascii()),
            ),
            None => (member, None),
        };
        // In place: requests have directives too. Longer names are none of ours.
        let mut lower = [0; 32];
        let Some(lower) = lower.get_mut(..name.len()) else {
            return;
        };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let name = std::str::from_utf8(lower).unwrap_or("");
        if let Some(flag) = self.flag(name) {
            *flag = true;
        } else if let Some(slot) = self.lifetime(name) {
            let given = match (name, value) {
                ("max-stale", None) => MOST_SECONDS,
                _ => value.and_then(seconds).unwrap_or(0),
            };
            let given = Duration::from_secs(given);
            *slot = Some(slot.map_or(given, |other| other.min(given)));
        } else if name == "min-fresh" {
            // Of these, the longer is the stricter; and what is no number is not met.
            let given = value.and_then(seconds).unwrap_or(MOST_SECONDS);
            let given = Duration::from_secs(given);
            self.min_fresh = Some(self.min_fresh.map_or(given, |other| other.max(given)));
        }
    }

    fn flag(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "no-store" => &mut self.no_store,
            // With fields named or without: one that is meant for some fields only is taken for all.
            "no-cache" => &mut self.no_cache,
            "private" => &mut self.private,
            "public" => &mut self.public,
            "must-revalidate" => &mut self.must_revalidate,
            "proxy-revalidate" => &mut self.proxy_revalidate,
            "must-understand" => &mut self.must_understand,
            "only-if-cached" => &mut self.only_if_cached,
            _ => return None,
        })
    }

    /// Of two of these, the shorter one is the stricter.
    fn lifetime(&mut self, name: &str) -> Option<&mut Option<Duration>> {
        Some(match name {
            "max-age" => &mut self.max_age,
            "s-maxage" => &mut self.s_maxage,
            "stale-while-revalidate" => &mut self.stale_while_revalidate,
            "stale-if-error" => &mut self.stale_if_error,
            "max-stale" => &mut self.max_stale,
            _ => return None,
        })
    }
}

/// A number of seconds, as a token or quoted.
fn seconds(value: &[u8]) -> Option<u64> {
    let digits = match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    };
    parse_seconds(digits)
}

/// `delta-seconds` of RFC 9111 §1.2.2; larger ones are cut off.
pub(crate) fn parse_seconds(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let sum = digits.iter().try_fold(0_u64, |sum, digit| {
        sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    Some(sum.map_or(MOST_SECONDS, |sum| sum.min(MOST_SECONDS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Directives {
        let mut directives = Directives::default();
        for line in lines {
            directives.add_line(line.as_bytes());
        }
        directives
    }

    fn max_age(lines: &[&str]) -> Option<u64> {
        read(lines).max_age.map(|age| age.as_secs())
    }

    #[test]
    fn rfc9111_5_2_names_are_case_insensitive_and_lines_add_up() {
        let all = read(&["Public , MAX-AGE=60", "No-Store", ", ,S-MaxAge=\"5\""]);
        assert!(all.public && all.no_store);
        assert_eq!(all.max_age, Some(Duration::from_secs(60)));
        assert_eq!(all.s_maxage, Some(Duration::from_secs(5)));
        assert!(!all.malformed);
    }

    #[test]
    fn rfc9111_5_2_a_quoted_string_hides_what_is_in_it() {
        let one = read(&[r#"ext="private, no-store \", max-age=9", max-age=3"#]);
        assert!(!one.private && !one.no_store);
        assert_eq!(one.max_age, Some(Duration::from_secs(3)));
    }

    #[test]
    fn what_ends_in_a_quoted_string_is_not_stored() {
        assert!(read(&[r#"max-age=60, ext="private"#]).no_store);
        assert!(read(&[r#"max-age=60, ext="a\""#]).no_store);
    }

    #[test]
    fn rfc9111_4_2_1_invalid_and_doubled_lifetimes_are_the_shorter_one() {
        for (line, want) in [
            ("max-age=60, max-age=1", 1),
            ("max-age=1, max-age=60", 1),
            ("max-age=a60", 0),
            ("max-age=60a", 0),
            ("max-age=-1", 0),
            ("max-age=1.5", 0),
            ("max-age", 0),
            ("max-age=", 0),
            ("max-age=\"60\"", 60),
            ("max-age = 60", 60),
            ("max-age=99999999999999999999999", MOST_SECONDS),
            ("max-age=0000000000000000000000007", 7),
        ] {
            assert_eq!(max_age(&[line]), Some(want), "{line}");
        }
        assert_eq!(max_age(&["x-max-age=7"]), None);
    }

    #[test]
    fn rfc9111_5_2_2_7_private_with_fields_is_private() {
        assert!(read(&["private=\"x-user\""]).private);
        assert!(read(&["no-cache=\"set-cookie, x\", max-age=9"]).no_cache);
    }

    #[test]
    fn rfc9213_2_1_targeted_fields_are_structured() {
        let read = |lines: &[&'static str]| {
            let name = HeaderName::from_static("cdn-cache-control");
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(&name, line.parse().unwrap());
            }
            Directives::read_targeted(&headers, &name)
        };
        let max_age = |lines: &[&'static str]| read(lines)?.max_age.map(|age| age.as_secs());
        assert_eq!(max_age(&["max-age=600;x=1, foo=bar"]), Some(600));
        assert_eq!(max_age(&["max-age=99999999999"]), Some(MOST_SECONDS));
        assert_eq!(max_age(&["max-age=-1"]), Some(0));
        // Unlike in Cache-Control, the last one holds.
        assert_eq!(max_age(&["max-age=9, max-age=600"]), Some(600));
        let two = read(&["no-cache=\"a, b\"", "private=?0, must-revalidate"]).unwrap();
        assert!(two.no_cache && two.must_revalidate && !two.private);
        for broken in [
            "max-age=\"600\"",
            "max-age=600.0",
            "max-age",
            "MAX-AGE=600",
            "max-age =600",
            "max-age=600, &&&&&",
            "no-store=1, max-age=600",
            "",
        ] {
            assert_eq!(read(&[broken]), None, "{broken}");
        }
        assert_eq!(read(&["max-age=600", "x=\"a"]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn rfc9111_5_2_1_requests() {
        let request = read(&["max-stale, min-fresh=5, min-fresh=9, only-if-cached"]);
        assert_eq!(request.max_stale, Some(Duration::from_secs(MOST_SECONDS)));
        assert_eq!(request.min_fresh, Some(Duration::from_secs(9)));
        assert!(request.only_if_cached);
    }
}
