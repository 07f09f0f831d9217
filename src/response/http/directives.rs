//! `Cache-Control`, as RFC 9111 §5.2 has it, and as it really comes.
//!
//! Directives are compared without regard to case, may be spread over several lines, and may carry their value as a token or
//! as a quoted string. Of two lifetimes the shorter one holds.
//!
//! What cannot be read is never taken for permission. A field that does not follow the RFC from its first byte to its last is
//! [`malformed`](Directives::malformed). So is one with a known directive whose value is not what it should be, and one with an
//! unknown directive that looks like one that forbids, such as `no_store`. A malformed field counts as `no-store`.
//!
//! Targeted fields such as `CDN-Cache-Control` (RFC 9213 §2.1) look alike but have another syntax: they are structured. A broken
//! one is ignored, unless it [seems](seems_to_forbid) to forbid something.

use super::structured::{Bare, dictionary};
use http::HeaderMap;
use http::header::{CACHE_CONTROL, HeaderName, PRAGMA};
use std::time::Duration;

/// Larger numbers are cut off here, as RFC 9111 §1.2.2 allows.
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
    /// The largest number there is if the directive has no value: then it does not matter how stale.
    pub(crate) max_stale: Option<Duration>,
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    /// Whether the field as a whole cannot be understood.
    pub(crate) malformed: bool,
    /// Whether there is any directive at all.
    pub(crate) present: bool,
}

impl Directives {
    /// The directives of all lines of a field.
    pub(crate) fn read(headers: &HeaderMap, name: &HeaderName) -> Self {
        let mut directives = Self::default();
        for line in headers.get_all(name) {
            directives.add_line(line.as_bytes());
        }
        directives
    }

    /// The directives of a request: RFC 9111 §5.2.1, and §5.4 for requests that have `Pragma` only. Directives that cannot be
    /// understood are taken for the strictest ones: the request is not answered from the cache, and its response is not stored.
    pub(crate) fn of_request(headers: &HeaderMap) -> Self {
        let mut said = Self::read(headers, &CACHE_CONTROL);
        if !said.present {
            let pragma = Self::read(headers, &PRAGMA);
            said.no_cache = pragma.no_cache || pragma.malformed;
        }
        if said.malformed {
            return Self {
                no_store: true,
                no_cache: true,
                ..Self::default()
            };
        }
        said
    }

    /// The directives of a targeted field: RFC 9213 §2.1. `None` if it has none, if it is broken, or if the value of a directive
    /// has the wrong type.
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
                // The names of fields.
                Bare::Text => true,
                _ => return None,
            };
        } else if let Some(lifetime) = self.lifetime(name) {
            let Bare::Integer(seconds) = value else {
                return None;
            };
            let seconds = u64::try_from(seconds).unwrap_or(0).min(MOST_SECONDS);
            *lifetime = Some(Duration::from_secs(seconds));
        } else if looks_strict(name.as_bytes()) {
            self.no_store = true;
        }
        Some(())
    }

    pub(crate) fn add_line(&mut self, line: &[u8]) {
        if self.add_members(line).is_none() {
            self.malformed = true;
            self.no_store = true;
        }
    }

    /// Adds a list of directives: RFC 9110 §5.6.1 and RFC 9111 §5.2. `None` if the line is no such list, or if one of them cannot
    /// be understood.
    fn add_members(&mut self, line: &[u8]) -> Option<()> {
        let mut rest = line;
        loop {
            // Members may be empty.
            rest = skip(rest, b" \t,");
            if rest.is_empty() {
                return Some(());
            }
            self.present = true;
            let (name, after) = token(rest)?;
            let (value, after) = match after {
                [b'=', after @ ..] => {
                    let (value, after) = quoted(after).or_else(|| token(after))?;
                    (Some(value), after)
                }
                _ => (None, after),
            };
            self.add_member(name, value)?;
            rest = skip(after, b" \t");
            if !rest.is_empty() && rest[0] != b',' {
                return None;
            }
        }
    }

    /// Adds one directive. `None` if it cannot be understood.
    fn add_member(&mut self, name: &[u8], value: Option<&[u8]>) -> Option<()> {
        // In place, because every request with directives comes here. No known directive has a longer name.
        let mut lower = [0; 32];
        let lower = match lower.get_mut(..name.len()) {
            Some(lower) => {
                lower.copy_from_slice(name);
                lower.make_ascii_lowercase();
                std::str::from_utf8(lower).unwrap_or("")
            }
            None => "",
        };
        if let Some(flag) = self.flag(lower) {
            *flag = true;
            // Only these may name fields.
            let understood = value.is_none() || ["no-cache", "private"].contains(&lower);
            return understood.then_some(());
        }
        let given = match (lower, value) {
            ("max-stale", None) => Some(MOST_SECONDS),
            _ => value.and_then(parse_seconds),
        };
        if let Some(lifetime) = self.lifetime(lower) {
            let seconds = Duration::from_secs(given.unwrap_or(0));
            *lifetime = Some(lifetime.map_or(seconds, |other| other.min(seconds)));
        } else if lower == "min-fresh" {
            // Of two of these the longer one is the stricter.
            let seconds = Duration::from_secs(given.unwrap_or(MOST_SECONDS));
            self.min_fresh = Some(self.min_fresh.map_or(seconds, |other| other.max(seconds)));
        } else {
            return (!looks_strict(name)).then_some(());
        }
        given.map(drop)
    }

    fn flag(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "no-store" => &mut self.no_store,
            // Also if it names fields: a directive for some fields only is applied to all of them.
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

    /// A directive of which the shorter of two values is the stricter one.
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

/// Directives whose absence would allow more.
const STRICT: [&str; 8] = [
    "no-store",
    "no-cache",
    "private",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "max-age",
    "s-maxage",
];

/// Whether an unknown directive looks like a strict one, or like one that forbids. Unknown directives are to be ignored (RFC 9111
/// §5.2.3), but some are misspelt known ones.
fn looks_strict(name: &[u8]) -> bool {
    let written = letters(name);
    let is_it = |strict: &&str| letters(strict.as_bytes()) == written;
    seems_to_forbid(name) || STRICT.iter().any(is_it)
}

/// Whether a text seems to forbid that something is stored or shared: because of its letters, whatever stands between them, or
/// because it begins with "no".
pub(crate) fn seems_to_forbid(text: &[u8]) -> bool {
    if text.eq_ignore_ascii_case(b"no-transform") {
        return false;
    }
    let letters = letters(text);
    let has = |part: &[u8]| letters.windows(part.len()).any(|window| window == part);
    let mut words = text.split(|byte| !byte.is_ascii_alphanumeric());
    let first = words.find(|word| !word.is_empty()).unwrap_or(b"");
    let says_no = [&b"no"[..], b"none"]
        .iter()
        .any(|no| first.eq_ignore_ascii_case(no));
    says_no || [&b"stor"[..], b"cach", b"priv"].into_iter().any(has)
}

/// Letters and digits, in lower case.
fn letters(name: &[u8]) -> Vec<u8> {
    let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
    letters.map(u8::to_ascii_lowercase).collect()
}

fn skip<'t>(text: &'t [u8], bytes: &[u8]) -> &'t [u8] {
    let start = text.iter().position(|byte| !bytes.contains(byte));
    &text[start.unwrap_or(text.len())..]
}

/// A token, and what comes after it: RFC 9110 §5.6.2.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let end = text.iter().position(|byte| !is_part(byte));
    let end = end.unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// What is in a quoted string, as it stands there, and what comes after it: RFC 9110 §5.6.4.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"\"")?;
    let mut escaped = false;
    for (at, &byte) in inner.iter().enumerate() {
        match byte {
            // No control characters.
            0x7f => return None,
            0..0x20 if byte != b'\t' => return None,
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((&inner[..at], &inner[at + 1..])),
            _ => (),
        }
    }
    None
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
    fn what_is_not_a_list_of_directives_is_malformed() {
        for (line, want) in [
            ("", false),
            (" , ,\t", false),
            ("a, b=c, d=\"e, \\\" f\"", false),
            ("a=b=c", true),
            ("a =b", true),
            ("a= b", true),
            ("a;b", true),
            ("a b", true),
            ("=a", true),
            ("\"a\"", true),
            ("a=\"b\"c", true),
            ("a=\"\u{1}\"", true),
            ("a=\"\\\u{7f}\"", true),
            ("a\u{e4}", true),
            ("public=1", true),
            ("private=a, no-cache=\"b\"", false),
            ("no-transform, immutable", false),
            ("no_store", true),
            ("Un-Cach-Able", true),
            ("no-sotre", true),
            ("nothing, nonsense", false),
        ] {
            let said = read(&[line]);
            assert_eq!((said.malformed, said.no_store), (want, want), "{line}");
        }
    }

    #[test]
    fn rfc9111_4_2_1_invalid_and_doubled_lifetimes_are_the_shorter_one() {
        for (line, want) in [
            ("max-age=60, max-age=1", 1),
            ("max-age=1, max-age=60", 1),
            ("max-age=\"60\"", 60),
            ("max-age=99999999999999999999999", MOST_SECONDS),
            ("max-age=0000000000000000000000007", 7),
        ] {
            assert_eq!(max_age(&[line]), Some(want), "{line}");
            assert!(!read(&[line]).malformed, "{line}");
        }
        for line in ["a60", "60a", "-1", "1.5", "\"6\\0\"", "'60'"] {
            let line = format!("max-age={line}, max-age=60");
            let said = read(&[&line]);
            assert_eq!(
                (said.max_age, said.malformed),
                (Some(Duration::ZERO), true),
                "{line}"
            );
        }
        assert!(read(&["max-age"]).malformed);
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
