//! Which of a query's parameters are part of the key, and in which order.
//!
//! Handlers do not agree on what a query says. Most decode it as a form, with percent escapes and plus signs; some compare
//! names without regard to case, take a semicolon for a separator, or `page[]` and `page.size` for `page`. So a parameter is
//! left out of the key only if nobody can take it for one that counts, and parameters change places only if nobody can give
//! them the same name. What is in the key is there as it was sent.

use std::borrow::Cow;

/// How a query is written into a key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub(crate) sorted: bool,
    /// The names of the parameters that count, as handlers see them.
    pub(crate) allowed: Option<Vec<String>>,
}

impl Query {
    /// The query as it is in the key. `None` if a parameter may count or not, depending on who reads it.
    pub(crate) fn apply<'q>(&self, query: &'q str) -> Option<Cow<'q, str>> {
        if (!self.sorted && self.allowed.is_none()) || query.is_empty() {
            return Some(Cow::Borrowed(query));
        }
        let mut parameters = Vec::new();
        for parameter in query.split('&') {
            if self.counts(parameter)? {
                parameters.push(parameter);
            }
        }
        if self.sorted {
            sort(&mut parameters);
        }
        Some(Cow::Owned(parameters.join("&")))
    }

    /// Whether a parameter is part of the key; `None` if readers may differ.
    fn counts(&self, parameter: &str) -> Option<bool> {
        let Some(allowed) = &self.allowed else {
            return Some(true);
        };
        let raw_name = parameter.split('=').next().unwrap_or("");
        if allowed.iter().any(|name| spells(raw_name, name)) {
            return Some(true);
        }
        // A handler that cannot read the parameter may fail, and its failure would be served to all.
        let once = decode_valid(parameter)?;
        let (twice, _) = decode(&once);
        let twice = String::from_utf8_lossy(&twice);
        let names = once.split(SEPARATORS).chain(twice.split(SEPARATORS));
        for name in names.map(name_of) {
            if !name.is_ascii() || allowed.iter().any(|allowed| resembles(name, allowed)) {
                return None;
            }
        }
        Some(false)
    }
}

/// What some readers take for the end of a parameter.
const SEPARATORS: [char; 2] = ['&', ';'];

/// Sorts by name. Parameters of one name keep their order, because that may mean something. Where it is not clear which ones have
/// the same name, all keep their order.
fn sort(parameters: &mut [&str]) {
    let keys: Option<Vec<String>> = parameters.iter().map(|one| sort_key(one)).collect();
    let Some(keys) = keys else {
        return;
    };
    let mut keyed: Vec<(String, &str)> = keys.into_iter().zip(parameters.iter().copied()).collect();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (target, (_, parameter)) in parameters.iter_mut().zip(keyed) {
        *target = parameter;
    }
}

/// A text that is the same for all parameters to which some reader may give the same name.
fn sort_key(parameter: &str) -> Option<String> {
    let once = decode_valid(parameter)?;
    let (twice, _) = decode(&once);
    let twice = String::from_utf8(twice).ok()?;
    if twice.contains(SEPARATORS) || once.contains(SEPARATORS) {
        return None;
    }
    let name = name_of(&twice);
    let head = name.split('[').next().unwrap_or("");
    let is_plain = name.is_ascii() && name.matches('[').count() == name.matches(']').count();
    is_plain.then(|| letters(head).map(char::from).collect())
}

/// Whether a name in a query is this one, with nothing encoded that need not be.
fn spells(raw: &str, name: &str) -> bool {
    let mut raw = raw.as_bytes();
    for &byte in name.as_bytes() {
        let literally = raw.first() == Some(&byte);
        raw = match raw {
            [_, rest @ ..] if literally => rest,
            [b'+', rest @ ..] if byte == b' ' => rest,
            [b'%', high, low, rest @ ..]
                if !is_unreserved(byte) && hex(*high, *low) == Some(byte) =>
            {
                rest
            }
            _ => return false,
        };
    }
    raw.is_empty()
}

/// Never encoded by those who follow RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Whether some reader may take one name for the other. Case, punctuation, and what stands in brackets or behind a dot make no
/// difference.
fn resembles(name: &str, allowed: &str) -> bool {
    let head = |name: &str| name.split(['[', '.']).next().unwrap_or("").len();
    let (name_head, allowed_head) = (&name[..head(name)], &allowed[..head(allowed)]);
    let same_head = !name_head.is_empty() && letters(name_head).eq(letters(allowed_head));
    same_head || letters(name).eq(letters(allowed))
}

/// The letters and digits of a name, in lower case.
fn letters(name: &str) -> impl Iterator<Item = u8> {
    let kept = name.bytes().filter(u8::is_ascii_alphanumeric);
    kept.map(|byte| byte.to_ascii_lowercase())
}

fn name_of(parameter: &str) -> &str {
    parameter.split('=').next().unwrap_or("")
}

/// As [`decode`]; `None` if an escape is broken, or if the result is not UTF-8 or has control characters in it.
fn decode_valid(text: &str) -> Option<Cow<'_, str>> {
    let is_plain = |byte: u8| byte != b'%' && byte != b'+';
    let decoded = if text.bytes().all(is_plain) {
        Cow::Borrowed(text)
    } else {
        let (bytes, whole) = decode(text);
        Cow::Owned(String::from_utf8(bytes).ok().filter(|_| whole)?)
    };
    (!decoded.contains(char::is_control)).then_some(decoded)
}

/// The bytes behind the escapes of a form, and whether all escapes are whole; those that are not stay as they are.
fn decode(text: &str) -> (Vec<u8>, bool) {
    let mut bytes = Vec::with_capacity(text.len());
    let mut whole = true;
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if hex(*high, *low).is_some() => {
                bytes.extend(hex(*high, *low));
                rest = after;
            }
            _ => {
                whole &= *first != b'%';
                bytes.push(*first);
            }
        }
    }
    (bytes, whole)
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_sorted_by_name_and_keep_doubles() {
        let sorted = Query {
            sorted: true,
            allowed: None,
        };
        for (query, want) in [
            ("b=2&a=9&a=1&c", "a=9&a=1&b=2&c"),
            ("", ""),
            ("c[y]=1&b=2&c[x]=3&C=4", "b=2&c[y]=1&c[x]=3&C=4"),
            ("b=1&%61=2&a=3", "%61=2&a=3&b=1"),
            // Readers differ.
            ("b=1;c=2&a=3", "b=1;c=2&a=3"),
            ("b=%zz&a=3", "b=%zz&a=3"),
        ] {
            assert_eq!(sorted.apply(query).as_deref(), Some(want), "{query}");
        }
    }

    #[test]
    fn what_is_not_allowed_is_left_out() {
        let some = Query {
            sorted: false,
            allowed: Some(vec!["page".into(), "a[b c]".into()]),
        };
        for (query, want) in [
            ("utm=1&page=2&pages=3&page=1", Some("page=2&page=1")),
            ("a%5bb+c%5D=1&a[b%20c]=2&x", Some("a%5bb+c%5D=1&a[b%20c]=2")),
            ("%61[b c]=1", None),
            ("page=1&Page=2", None),
            ("x=%ff", None),
        ] {
            assert_eq!(some.apply(query).as_deref(), want, "{query}");
        }
    }

    #[test]
    fn forms_are_decoded_as_far_as_they_can_be() {
        let (bytes, whole) = decode("a+%41%c3%A9%zz%4");
        assert_eq!(bytes, "a A\u{e9}%zz%4".as_bytes());
        assert!(!whole);
        assert_eq!(decode_valid("%41+b").as_deref(), Some("A b"));
        for broken in ["%", "%4", "%4x", "%ff", "%00", "a%0a", "%+1"] {
            assert_eq!(decode_valid(broken), None, "{broken}");
        }
    }
}
