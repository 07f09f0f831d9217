//! Redaction: what errors and `Debug` may show of a URL, or of a setting that may be one.

/// A URL as it may be shown: its scheme, its hosts and the number of a database; nothing of a user, a password, options, or a path
/// that is no number. Where it is not certain which part is which, only the scheme is shown; of what is no URL, nothing.
pub(crate) fn url(url: &str) -> String {
    let not_a_url = || "not a URL (not shown)".to_owned();
    let Some((scheme, rest)) = url.split_once("://") else {
        return not_a_url();
    };
    let known = |c: char| c.is_ascii_lowercase() || c == '+';
    if scheme.is_empty() || scheme.len() > 20 || !scheme.chars().all(known) {
        return not_a_url();
    }
    match parts(rest) {
        Some(shown) => format!("\"{scheme}://{shown}\""),
        None => format!("\"{scheme}://***\""),
    }
}

/// A setting's value as it may be shown: not if it may be a URL or a password, set under the wrong name.
#[cfg(feature = "global")]
pub(crate) fn value(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | ' ' | ',');
    if text.len() <= 20 && text.chars().all(plain) {
        format!("{text:?}")
    } else {
        "something else (not shown)".to_owned()
    }
}

/// `None` if it is not certain which part is which.
fn parts(rest: &str) -> Option<String> {
    let (user, rest) = match rest.rsplit_once('@') {
        // The `@` may stand in a path or in an option, and what follows it be the rest of a password.
        Some((before, _)) if before.contains(['/', '?', '#']) => return None,
        Some((_, rest)) => ("***@", rest),
        None => ("", rest),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (hosts, rest) = rest.split_at(end);
    if !hosts.split(',').all(|host| is_host(host.trim())) {
        return None;
    }
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (path, options) = rest.split_at(end);
    let path = match path {
        "" | "/" => path,
        path if is_database(path) => path,
        _ => "/***",
    };
    let options = if options.is_empty() { "" } else { "?***" };
    Some(format!("{user}{hosts}{path}{options}"))
}

/// Whether this is a host, with a port or without. If the host was forgotten, what stands behind the colon may be a password.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(']') {
        Some((address, port)) => (address.strip_prefix('['), port.strip_prefix(':')),
        None => match host.split_once(':') {
            Some((name, port)) => (Some(name), Some(port)),
            None => (Some(host), None),
        },
    };
    let bracketed = host.starts_with('[');
    let of_name = |c: char| {
        if bracketed {
            c.is_ascii_hexdigit() || matches!(c, ':' | '.')
        } else {
            c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
        }
    };
    let is_port = |port: &str| {
        (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
    };
    // A path to a socket has no host at all.
    let has_name = name.is_some_and(|name| name.chars().all(of_name));
    let named = port.is_none() || name.is_some_and(|name| !name.is_empty());
    let rest_is_port = match (bracketed, port) {
        (true, None) => host.ends_with(']'),
        (_, port) => port.is_none_or(is_port),
    };
    has_name && named && rest_is_port
}

fn is_database(path: &str) -> bool {
    let number = path.strip_prefix('/').unwrap_or(path);
    (1..=5).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "hunter2";

    #[test]
    fn secrets_are_not_shown_wherever_they_stand() {
        for text in [
            "redis://:hunter2@host:6379/0",
            "rediss://ana:hunter2@host/0?protocol=resp3",
            "redis://ana:a@hunter2@host",
            "redis://ana:hunter2/@host",
            "redis://host?password=hunter2",
            "redis://a:hunter2@h1,redis://a:hunter2@h2",
            "redis://h1:6379,redis://a:hunter2@h2",
            "unix:///sock?pass=hunter2",
            "hunter2",
            "ana:hunter2@host://x",
            "redis://:hunter2",
            "redis://ana:hunter2/0",
            "redis://h1:6379,ana:hunter2",
            // In the path.
            "redis://host/hunter2",
            "redis://host:6379/hunter2",
            "redis://ana:x@host:6379/hunter2",
            "redis://host:6379/0/hunter2",
            "redis://host//hunter2",
            "redis+cluster://h1,h2/hunter2",
            "redis+sentinel://h1:26379/hunter2",
            "redis+sentinel://h1/main/hunter2",
            "unix:///run/hunter2.sock",
            // Behind an `@` in a path, an option, a fragment.
            "redis://host/a@hunter2",
            "redis://host?a=b@hunter2",
            "redis+sentinel://h/main?sentinel_password=a@hunter2",
            "redis://host#a@hunter2",
            "redis://ana:a?b@host/hunter2",
            "redis://host#hunter2",
            "redis://[hunter2]:6379",
            "redis://[::1]hunter2",
            "redis://host:hunter2",
            "hunter2://host",
            "REDIS://ana:hunter2@host",
        ] {
            let shown = url(text);
            assert!(!shown.contains(SECRET), "{text} → {shown}");
        }
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        for text in [
            "redis://host",
            "redis://h1:6379,[::1]:6380/0",
            "redis://[::1]",
            "redis+cluster://h1:1,h2:2",
        ] {
            assert_eq!(url(text), format!("{text:?}"));
        }
        for (text, shown) in [
            ("redis://ana:x@host:6379/1", "\"redis://***@host:6379/1\""),
            ("redis://host/one", "\"redis://host/***\""),
            ("redis://host?protocol=3", "\"redis://host?***\""),
            ("unix:///sock", "\"unix:///***\""),
        ] {
            assert_eq!(url(text), shown);
        }
    }

    #[cfg(feature = "global")]
    #[test]
    fn values_that_may_be_secrets_are_not_shown() {
        assert_eq!(value("many"), "\"many\"");
        for text in [
            "redis://:hunter2@host",
            ":hunter2@",
            "hunter2hunter2hunter2hunter2",
        ] {
            assert!(!value(text).contains(SECRET));
        }
    }
}
