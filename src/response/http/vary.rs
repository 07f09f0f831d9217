//! Selecting header fields: which ones a response names, and when two requests say the same in one: RFC 9111 §4.1.

use http::HeaderMap;
use http::header::{
    ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, COOKIE, HeaderName, VARY,
};
use std::cmp::Reverse;

/// The fields that `Vary` names, each once. `None` if one of its members is `*`, or cannot be a name.
pub(crate) fn selecting_fields(headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for line in headers.get_all(VARY) {
        for member in line.as_bytes().split(|&byte| byte == b',') {
            let member = member.trim_ascii();
            if member.is_empty() {
                continue;
            }
            let name = HeaderName::from_bytes(member).ok()?;
            if name.as_str().contains('*') {
                return None;
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Some(names)
}

/// What a request says in a field, in the form that is compared: all lines as one list, without the white space around its
/// members, and in lower case where case makes no difference. `None` if the field is missing.
///
/// With `sorts_languages`, the order of languages of one weight makes no difference either.
pub(crate) fn normalized(
    headers: &HeaderMap,
    name: &HeaderName,
    sorts_languages: bool,
) -> Option<Box<str>> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    // The members of these two are not separated by commas, so their lines are kept apart by what no line contains.
    let is_list = name != COOKIE && name != AUTHORIZATION;
    let mut text = String::new();
    // Empty lines stay: a handler that looks at the first line only sees nothing in an empty one.
    for (nth, line) in lines.enumerate() {
        if nth > 0 {
            text.push(if is_list { ',' } else { '\n' });
        }
        if is_list {
            add_list(&mut text, line.as_bytes());
        } else {
            add(&mut text, line.as_bytes());
        }
    }
    // RFC 9110 §8.3.2, §8.4.1 and §8.5.1.
    if [ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE].contains(name) {
        text.make_ascii_lowercase();
    }
    if sorts_languages && name == ACCEPT_LANGUAGE {
        text = sorted(&text).unwrap_or(text);
    }
    Some(text.into())
}

fn add(text: &mut String, part: &[u8]) {
    text.extend(part.trim_ascii().iter().copied().map(char::from));
}

/// Adds a list without the white space around its members. What is between quotes stays as it is: RFC 9110 §5.6.4.
fn add_list(text: &mut String, list: &[u8]) {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let members = list.split(|byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' => return !is_quoted,
            _ => (),
        }
        false
    });
    for (nth, member) in members.enumerate() {
        if nth > 0 {
            text.push(',');
        }
        add(text, member);
    }
}

/// Languages by falling weight, those of one weight by name: RFC 9110 §12.5.4. `None` if a member is not a language with or
/// without a weight.
fn sorted(list: &str) -> Option<String> {
    if list.contains('"') {
        return None;
    }
    let mut members = Vec::new();
    for member in list.split(',').filter(|member| !member.is_empty()) {
        let (range, weight) = match member.split_once(';') {
            None => (member, 1000),
            Some((range, weight)) => (range, thousandths(weight.trim().strip_prefix("q=")?)?),
        };
        members.push((Reverse(weight), range.trim()));
    }
    members.sort_unstable();
    let members: Vec<String> = members
        .into_iter()
        .map(|(Reverse(weight), range)| format!("{range};q={weight}"))
        .collect();
    Some(members.join(","))
}

/// A weight: RFC 9110 §12.4.2.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction = format!("{fraction:0<3}").parse().ok()?;
    match (whole, fraction) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(sorts_languages: bool, name: HeaderName, lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, line.parse().unwrap());
        }
        normalized(&headers, &name, sorts_languages).map(String::from)
    }

    #[test]
    fn rfc9111_4_1_names_are_read_from_all_lines() {
        let named = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(VARY, line.parse().unwrap());
            }
            selecting_fields(&headers)
        };
        assert_eq!(named(&[]), Some(vec![]));
        let all = named(&["Accept , ,cookie", "ACCEPT,x-any"]).unwrap();
        assert_eq!(all, ["accept", "cookie", "x-any"]);
        for odd in ["*", "accept, *", "a b", "accept-*", "\"accept\""] {
            assert_eq!(named(&[odd]), None, "{odd}");
        }
    }

    #[test]
    fn rfc9111_4_1_white_space_around_members_and_lines_are_no_difference() {
        let name = HeaderName::from_static("x-any");
        let said = normal(false, name.clone(), &["a ,  B", "\" c , \", d "]);
        assert_eq!(said.as_deref(), Some("a,B,\" c , \",d"));
        assert_eq!(normal(false, name, &[]), None);
        let cookie = normal(false, COOKIE, &[" a=1, 2"]);
        assert_eq!(cookie.as_deref(), Some("a=1, 2"));
    }

    #[test]
    fn rfc9111_4_1_case_is_no_difference_where_the_field_has_it_so() {
        for name in [ACCEPT_LANGUAGE, ACCEPT_ENCODING, ACCEPT_CHARSET] {
            let said = normal(false, name, &["eN, De;Q=0.5"]);
            assert_eq!(said.as_deref(), Some("en,de;q=0.5"));
        }
    }

    #[test]
    fn rfc9110_12_5_4_languages_of_one_weight_have_no_order() {
        let same = ["en, de;q=0.5, fr", "fr;q=1.000,EN , de; q=0.50", "de;q=.5"];
        let said = |list| normal(true, ACCEPT_LANGUAGE, &[list]).unwrap();
        assert_eq!(said(same[0]), said(same[1]));
        assert_ne!(said("en, de"), said("en, de;q=0.9"));
        // What has no such form stays as it is.
        assert_eq!(said(same[2]), same[2]);
        for odd in [
            "en;q=2,de",
            "fr,\"en,de\"",
            "en;x=1,de",
            "en;q=0.1234",
            "en;q=1.1",
        ] {
            assert_eq!(said(odd), odd);
        }
        assert_eq!(normal(false, ACCEPT_LANGUAGE, &["en,de"]).unwrap(), "en,de");
    }
}
