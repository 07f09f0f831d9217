//! Where Redis is: URLs, taken apart.
//!
//! Errors show no more of a URL than [`redact`] does.

use crate::backend::redact;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use std::fmt;

/// What is allowed, for errors.
const ALLOWED: &str = "redis://user:password@host:6379/0, with rediss: for TLS, unix:///path, \
     redis+sentinel://host:26379,host:26379/service/0, or redis+cluster://host:6379,host:6379";

/// Of a longer text, only this many bytes are read.
const MOST_READ: usize = 4096;
/// How many characters are shown.
const MOST_SHOWN: usize = 200;

/// What kind of Redis there is, and where to ask for it first.
#[derive(Clone)]
pub(super) enum Target {
    Single(ConnectionInfo),
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        service: String,
        /// How to talk to the primary; its address is not yet known.
        primary: ConnectionInfo,
    },
    Cluster(Vec<ConnectionInfo>),
}

impl Target {
    pub(super) fn is_encrypted(&self) -> bool {
        let info = match self {
            Self::Single(info) => info,
            Self::Sentinel { primary, .. } => primary,
            Self::Cluster(nodes) => &nodes[0],
        };
        matches!(info.addr(), ConnectionAddr::TcpTls { .. })
    }
}

/// Why a text is not a URL of ours: what may be shown of it, and what is allowed.
#[derive(Debug)]
pub(super) struct Malformed {
    pub(super) given: String,
    pub(super) allowed: String,
}

/// What must never be shown: passwords, as written and as meant.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// What may be shown of a text: without the secrets, as servers and proxies may quote what they were sent, or the beginning
    /// of it; and no more than one short line, as it may be anything.
    pub(super) fn scrub(&self, mut text: String) -> String {
        if text.len() > MOST_READ {
            let end = (0..=MOST_READ).rfind(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or(0));
        }
        for part in self.0.iter().flat_map(|secret| beginnings(secret)) {
            if text.contains(part) {
                text = text.replace(part, "***");
            }
        }
        one_line(&text)
    }

    /// As it is, and as servers write it that quote what cannot be printed.
    fn add(&mut self, secret: &str) {
        for form in [
            secret.to_owned(),
            quoted(secret),
            secret.escape_debug().to_string(),
        ] {
            if !form.is_empty() && !self.0.contains(&form) {
                self.0.push(form);
            }
        }
        // The longest first: one may be part of another.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }
}

/// A text with what cannot be printed escaped, and cut off where it is longer than is good for a log.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for (nth, char) in text.chars().enumerate() {
        if nth == MOST_SHOWN {
            line.push('…');
            break;
        }
        match char {
            '"' | '\'' | '\\' => line.push(char),
            other => line.extend(other.escape_debug()),
        }
    }
    line
}

/// The secret, and what may be left of it where it was cut off: at least six characters, the longest first.
fn beginnings(secret: &str) -> impl Iterator<Item = &str> {
    const LEAST: usize = 6;
    let cuts = secret
        .char_indices()
        .map(|(at, _)| at)
        .skip(LEAST)
        .collect::<Vec<_>>();
    let cut = cuts.into_iter().rev().map(|at| &secret[..at]);
    std::iter::once(secret).chain(cut)
}

/// As Redis quotes it.
fn quoted(secret: &str) -> String {
    let mut quoted = String::new();
    for byte in secret.bytes() {
        match byte {
            b'\\' | b'"' => quoted.extend(['\\', byte as char]),
            b'\n' => quoted.push_str("\\n"),
            b'\r' => quoted.push_str("\\r"),
            b'\t' => quoted.push_str("\\t"),
            b' '..=b'~' => quoted.push(byte as char),
            _ => quoted.push_str(&format!("\\x{byte:02x}")),
        }
    }
    quoted
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The parts of a URL as text. Lists have several hosts.
struct Parts<'u> {
    scheme: &'u str,
    /// `user:password@`, or nothing.
    user: &'u str,
    hosts: Vec<&'u str>,
    path: &'u str,
    query: &'u str,
}

/// Takes a URL, or a comma-separated list of URLs or hosts, apart.
pub(super) fn parse(url: &str) -> Result<(Target, Secrets), Malformed> {
    let malformed = |why: &str| Malformed {
        given: format!("{} ({why})", redact::url(url)),
        allowed: ALLOWED.to_owned(),
    };
    let parts = split(url).map_err(malformed)?;
    if parts.user.contains(['/', '?', '#']) {
        // Else the library would take what follows for a path or options, and ignore it.
        return Err(malformed(
            "an `@` behind `/`, `?` or `#`: write these as %2F, %3F, %23, %40",
        ));
    }
    let mut secrets = Secrets::default();
    if let Some((_, password)) = parts.user.trim_end_matches('@').split_once(':') {
        secrets.add(password);
    }
    let (kind, scheme) = match parts.scheme {
        "redis+sentinel" | "valkey+sentinel" => ("sentinel", "redis"),
        "rediss+sentinel" | "valkeys+sentinel" => ("sentinel", "rediss"),
        "redis+cluster" | "valkey+cluster" => ("cluster", "redis"),
        "rediss+cluster" | "valkeys+cluster" => ("cluster", "rediss"),
        "redis" | "valkey" => ("", "redis"),
        "rediss" | "valkeys" => ("", "rediss"),
        "unix" | "redis+unix" | "valkey+unix" => ("unix", "unix"),
        _ => return Err(malformed("unknown scheme")),
    };
    let one = |user: &str, host: &str, path: &str, query: &str| {
        let url = format!("{scheme}://{user}{host}{path}{query}");
        let info = url
            .as_str()
            .into_connection_info()
            .map_err(|_| malformed("host, port, database or option"))?;
        Ok(prepared(info))
    };
    if !matches!(kind, "unix" | "sentinel") && !is_plain(parts.query) {
        return Err(malformed("unknown option"));
    }
    let (target, known) = match kind {
        "unix" => {
            let info = one(parts.user, parts.hosts[0], parts.path, parts.query)?;
            (Target::Single(info.clone()), info)
        }
        "sentinel" => {
            let (service, db) = split_service(parts.path);
            if service.is_empty() {
                return Err(malformed("the name of the service is missing"));
            }
            let primary = one(parts.user, parts.hosts[0], db, "")?;
            let options = SentinelOptions::parse(parts.query).ok_or_else(|| {
                malformed("unknown option; sentinel_user and sentinel_password are")
            })?;
            let user = options.user();
            secrets.add(options.password);
            let mut sentinels = Vec::new();
            for host in &parts.hosts {
                let info = one(&user, &with_port(host, 26_379), "", "")?;
                note(&info, &mut secrets);
                sentinels.push(info);
            }
            let target = Target::Sentinel {
                sentinels,
                service: service.to_owned(),
                primary: primary.clone(),
            };
            (target, primary)
        }
        _ => {
            let mut nodes = Vec::new();
            for host in &parts.hosts {
                nodes.push(one(parts.user, host, parts.path, parts.query)?);
            }
            let known = nodes[0].clone();
            if kind.is_empty() && nodes.len() == 1 {
                (Target::Single(known.clone()), known)
            } else if known.redis_settings().db() != 0 {
                return Err(malformed("a cluster has database 0 only"));
            } else {
                (Target::Cluster(nodes), known)
            }
        }
    };
    note(&known, &mut secrets);
    Ok((target, secrets))
}

fn note(info: &ConnectionInfo, secrets: &mut Secrets) {
    if let Some(password) = info.redis_settings().password() {
        secrets.add(password);
    }
}

fn split(url: &str) -> Result<Parts<'_>, &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let start = format!("{scheme}://");
    // A list of whole URLs; in a list of hosts there is only one scheme.
    let mut urls = rest.split(',').peekable();
    let mut hosts = Vec::new();
    let (mut user, mut path, mut query) = ("", "", "");
    let whole = url.matches(start.as_str()).count() > 1;
    if whole {
        for (nth, one) in urls.by_ref().enumerate() {
            let one = one.trim();
            let one = one.strip_prefix(start.as_str()).unwrap_or(one);
            let (its_user, host, its_path, its_query) = authority(one);
            if nth == 0 {
                (user, path, query) = (its_user, its_path, its_query);
            } else if (its_user, its_path, its_query) != (user, path, query) {
                return Err("the URLs of a list differ in more than the host");
            }
            hosts.push(host);
        }
    } else {
        let list;
        (user, list, path, query) = authority(rest);
        hosts.extend(list.split(',').map(str::trim));
    }
    Ok(Parts {
        scheme,
        user,
        hosts,
        path,
        query,
    })
}

/// User, hosts, path, query of what follows `scheme://`.
fn authority(rest: &str) -> (&str, &str, &str, &str) {
    let at = rest.find('@').map_or(0, |_| {
        // The last `@` before the path; a raw one in a password is forgiven.
        let end = rest.rfind('@').unwrap_or(0);
        end + 1
    });
    let (user, rest) = rest.split_at(at);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (hosts, rest) = rest.split_at(end);
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (path, query) = rest.split_at(end);
    (user, hosts, path, query)
}

/// `/service/0` as `service` and `/0`.
fn split_service(path: &str) -> (&str, &str) {
    let path = path.strip_prefix('/').unwrap_or(path);
    match path.find('/') {
        Some(at) => path.split_at(at),
        None => (path, ""),
    }
}

fn with_port(host: &str, port: u16) -> String {
    let named = match host.rfind(']') {
        Some(end) => host[end..].contains(':'),
        None => host.contains(':'),
    };
    if named {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    }
}

/// Whether there are no options but those that say what we do anyway.
fn is_plain(query: &str) -> bool {
    matches!(
        query,
        "" | "?" | "?protocol=3" | "?protocol=resp3" | "#insecure"
    )
}

/// The credentials of the sentinels, which are not those of the primary.
#[derive(Default)]
struct SentinelOptions<'q> {
    name: &'q str,
    password: &'q str,
}

impl<'q> SentinelOptions<'q> {
    fn parse(query: &'q str) -> Option<Self> {
        let mut options = Self::default();
        let pairs = query.trim_start_matches('?').split('&');
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            match pair.split_once('=')? {
                ("sentinel_user", name) => options.name = name,
                ("sentinel_password", password) => options.password = password,
                ("protocol", "3" | "resp3") => {}
                _ => return None,
            }
        }
        Some(options)
    }

    fn user(&self) -> String {
        match (self.name, self.password) {
            ("", "") => String::new(),
            (name, password) => format!("{name}:{password}@"),
        }
    }
}

/// RESP3, and a name that operators find in `CLIENT LIST`.
///
/// Nagle's algorithm stays on, as the library has it: what many tasks send while an answer is on its way goes out together,
/// half as much again a second. Alone, nobody waits: each answer acknowledges its command.
fn prepared(info: ConnectionInfo) -> ConnectionInfo {
    let settings = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name("nori-cache", env!("CARGO_PKG_VERSION"));
    info.set_redis_settings(settings)
}

/// The same way of talking, to another address.
pub(super) fn moved_to(like: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let host = host.to_owned();
    let addr = match like.addr() {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    like.clone().set_addr(addr)
}

/// The host and port of an address that has them.
pub(super) fn host_and_port(addr: &ConnectionAddr) -> Option<(&str, u16)> {
    match addr {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Some((host, *port))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_scrubbed_in_all_their_forms() {
        let mut secrets = Secrets::default();
        secrets.add("a\"b\\c\u{e9}-long-password-of-many-letters");
        for quoted in [
            "a\"b\\c\u{e9}-long-password-of-many-letters",
            r#"a\"b\\c\xc3\xa9-long-password-of-many-letters"#,
            r#"a\"b\\c\xc3\xa9-long-passw"#,
        ] {
            let shown = secrets.scrub(format!("unknown command '{quoted}'"));
            assert_eq!(shown, "unknown command '***'");
        }
        let shown =
            secrets.scrub("a\"b\\c\u{e9}-long-p a\"b\\c\u{e9}-lo a\"b\\c\u{e9}-long-passw".into());
        assert_eq!(shown, "*** *** ***");
        // One that is in its own replacement.
        let mut secrets = Secrets::default();
        secrets.add("*");
        assert_eq!(secrets.scrub("a*b".into()), "a***b");
        let other = "a \"server\" without 'secrets' \\ and with \u{e9}".to_owned();
        assert_eq!(Secrets::default().scrub(other.clone()), other);
    }

    #[test]
    fn what_a_server_says_is_one_short_line() {
        let mut secrets = Secrets::default();
        secrets.add("hunter2hunter2");
        let lines = secrets.scrub("ERR one\r\ntwo\x1b[2J\u{202e}\0".into());
        assert_eq!(lines, "ERR one\\r\\ntwo\\u{1b}[2J\\u{202e}\\0");
        // Neither a cut nor an escape brings out what was hidden.
        for before in 0..300 {
            let text = "x".repeat(before) + "\nhunter2hunter2 " + &"y".repeat(10_000_000 / 300);
            let shown = secrets.scrub(text);
            assert!(!shown.contains("hun"), "{before}: {shown}");
            assert!(shown.ends_with('…') && shown.chars().count() <= 202);
        }
        let long = "\u{e9}".repeat(200);
        assert_eq!(secrets.scrub(long.clone()), long);
    }
}
