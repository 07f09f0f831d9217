//! What writers tell readers where servers do not (`Coherence::Backplane`): on a channel of the backend's own, which keys they have
//! written.
//!
//! A notice is a byte that says what it is, `k`, and the keys without the prefix, each behind its length in four bytes, the highest first.
//! **Whatever is not exactly that means that anything may have been written**: so does the one that is sent when the list
//! would be too long, and what a later version may send.

use redis::{Cmd, cmd};
use std::sync::Arc;

/// A notice is no longer than this, as each goes to every process.
const LONGEST: usize = 64 << 10;
const KEYS: u8 = b'k';
const ANYTHING: &[u8] = b"*";

/// The channel of a prefix.
#[derive(Clone)]
pub(super) struct Channel {
    name: Arc<str>,
    prefix: Arc<str>,
}

impl Channel {
    /// The name is reserved, like all that continue it with a colon.
    pub(super) fn of(prefix: &str) -> Self {
        Self {
            name: format!("{prefix}nori-cache:written").into(),
            prefix: prefix.into(),
        }
    }

    /// One that belongs to the same user, and that nobody knows of but who is told of the token.
    pub(super) fn private(&self, token: &str) -> Self {
        Self {
            name: format!("{}:{token}", self.name).into(),
            prefix: Arc::clone(&self.prefix),
        }
    }

    pub(super) fn subscribe(&self) -> Cmd {
        let mut subscribe = cmd("SUBSCRIBE");
        subscribe.arg(&*self.name);
        subscribe
    }

    /// Tells that these keys were written, which are as they are on the server.
    pub(super) fn tell_of<'k>(&self, keys: impl IntoIterator<Item = &'k [u8]>) -> Cmd {
        let mut notice = vec![KEYS];
        let mut last: Option<&[u8]> = None;
        for key in keys {
            if last == Some(key) {
                continue;
            }
            last = Some(key);
            let short = key.strip_prefix(self.prefix.as_bytes()).unwrap_or(key);
            if notice.len() + 4 + short.len() > LONGEST {
                return self.tell_of_anything();
            }
            // It fits: see above.
            notice.extend((short.len() as u32).to_be_bytes());
            notice.extend(short);
        }
        self.publish(&notice)
    }

    /// Tells that anything may have been written.
    pub(super) fn tell_of_anything(&self) -> Cmd {
        self.publish(ANYTHING)
    }

    fn publish(&self, notice: &[u8]) -> Cmd {
        let mut publish = Cmd::with_capacity(3, self.name.len() + notice.len() + 16);
        publish.arg("PUBLISH").arg(&*self.name).arg(notice);
        publish
    }
}

/// The keys that a notice names, without the prefix. `None`: anything may have been written.
pub(super) fn keys(notice: &[u8]) -> Option<Vec<&[u8]>> {
    let (&KEYS, mut rest) = notice.split_first()? else {
        return None;
    };
    let mut keys = Vec::new();
    while !rest.is_empty() {
        let (len, behind) = rest.split_first_chunk()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let (key, behind) = behind.split_at_checked(len)?;
        keys.push(key);
        rest = behind;
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::Arg;

    fn args(command: &Cmd) -> Vec<Vec<u8>> {
        let args = command.args_iter().filter_map(|arg| match arg {
            Arg::Simple(bytes) => Some(bytes.to_vec()),
            _ => None,
        });
        args.collect()
    }

    fn notice(of: &[&[u8]]) -> Vec<u8> {
        let publish = args(&Channel::of("p:").tell_of(of.iter().copied()));
        assert_eq!(publish[..2], [&b"PUBLISH"[..], b"p:nori-cache:written"]);
        publish[2].clone()
    }

    #[test]
    fn what_is_told_is_what_is_read() {
        let binary: &[u8] = b"p:\0\r\n\xC1L*k";
        for (told, read) in [
            (vec![], vec![]),
            (vec![&b"p:a"[..]], vec![&b"a"[..]]),
            (vec![b"p:", binary], vec![b"", &binary[2..]]),
            // A key and its lease are told of once.
            (vec![b"p:a", b"p:a", b"p:b"], vec![b"a", b"b"]),
        ] {
            assert_eq!(keys(&notice(&told)), Some(read));
        }
    }

    #[test]
    fn a_list_that_is_too_long_is_anything() {
        let key = [b'x'; 1_000];
        let many = |count| notice(&vec![&key[..]; count]);
        assert!(keys(&many(2)).is_some());
        let different: Vec<Vec<u8>> = (0..66_u8).map(|nth| [&key[1..], &[nth]].concat()).collect();
        let of = |count: usize| {
            let keys: Vec<&[u8]> = different[..count].iter().map(|key| &**key).collect();
            notice(&keys)
        };
        let fits = of(65);
        assert!(fits.len() <= LONGEST && keys(&fits).unwrap().len() == 65);
        assert_eq!(of(66), ANYTHING);
        assert_eq!(keys(ANYTHING), None);
        assert_eq!(notice(&[&vec![b'x'; LONGEST]]), ANYTHING);
    }

    #[test]
    fn what_cannot_be_read_is_anything() {
        let good = notice(&[b"p:a", b"p:bc"]);
        assert_eq!(good.len(), 1 + 4 + 1 + 4 + 2);
        let whole = [1, 6, 12];
        for len in (0..good.len()).filter(|len| !whole.contains(len)) {
            assert_eq!(keys(&good[..len]), None, "{len}");
        }
        for other in [
            &b"K\0\0\0\x01a"[..],
            b"k\xFF\xFF\xFF\xFFa",
            b"\0",
            b"hello",
            b"",
        ] {
            assert_eq!(keys(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_private_channel_is_below_the_shared_one() {
        let shared = Channel::of("p:");
        let private = args(&shared.private("7").subscribe());
        assert_eq!(private, [&b"SUBSCRIBE"[..], b"p:nori-cache:written:7"]);
    }
}
