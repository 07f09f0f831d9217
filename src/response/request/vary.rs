//! When two requests say the same in a header that `Vary` names: RFC 9111 §4.1.

use crate::response::request::key::Asked;
use http::HeaderMap;
use http::header::{
    ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, COOKIE, HeaderName,
};
use std::cmp::Reverse;

/// What a request's header says, in the form that is compared: all its lines as one list, without the white space around its
/// members, and in lower case where case makes no difference. `None` if it is missing.
pub(crate) fn normalized(
    asked: &Asked,
    headers: &HeaderMap,
    name: &HeaderName,
) -> Option<Box<str>> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    // Members of these are not told apart by commas, and lines by what is in no line.
    let is_list = name != COOKIE && name != AUTHORIZATION;
    let mut text = String::new();
    // Empty members stay: a handler that looks at the first line sees nothing in an empty one.
    for (nth, line) in lines.enumerate() {
        if nth > 0 {
            text.push(if is_list { ',' } else { '\n' });
        }
        match is_list {
            true => add_list(&mut text, line.as_bytes()),
            false => add(&mut text, line.as_bytes()),
        }
    }
    // RFC 9110 §8.3.2, §8.4.1 and §8.5.1.
    if [ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE].contains(name) {
        text.make_ascii_lowercase();
    }
    if asked.sorts_languages && name == ACCEPT_LANGUAGE {
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

/// Languages by falling weight, those of one weight by name: RFC 9110 §12.5.4. `None` if a member is no language and its
/// weight.
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
    use crate::response::settings::{Mode, Settings};
    use http::Request;
    use std::time::Duration;

    fn normal(sort_languages: bool, name: HeaderName, lines: &[&str]) -> Option<String> {
        let by_status = Vec::new();
        let ttl = Duration::ZERO;
        let mut settings = Settings::new(Mode::Timed { ttl, by_status });
        settings.sort_languages = sort_languages;
        let mut request = Request::get("/");
        for line in lines {
            request = request.header(&name, *line);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let asked = Asked::new(&settings, &parts).unwrap();
        normalized(&asked, &parts.headers, &name).map(String::from)
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
