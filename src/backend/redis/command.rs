//! The commands a backend sends, and what their answers mean.

use super::hash_slot::HashSlot;
use super::script::{END_LEASE, Lua, RENEW_LEASE, STORE_LEASED, TAKE_LEASE};
use crate::backend::Value;
use crate::error::Error;
use crate::time::Ttl;
use redis::{Cmd, RedisWrite, ToRedisArgs, ToSingleRedisArg, cmd};
use std::io::Write;
use std::time::Duration;

/// Redis counts milliseconds since 1970 in 63 bits. A time to live of more than half of that, 146 million years, means never.
const LONGEST: u128 = (i64::MAX / 2) as u128;

/// A key as it is on the server: the prefix, and the user's key. It is written into commands in these two parts.
#[derive(Clone, Copy)]
pub(super) struct Key<'k> {
    pub(super) prefix: &'k str,
    pub(super) key: &'k str,
}

impl Key<'_> {
    pub(super) fn to_vec(self) -> Vec<u8> {
        [self.prefix.as_bytes(), self.key.as_bytes()].concat()
    }
}

impl ToRedisArgs for Key<'_> {
    fn write_redis_args<W: RedisWrite + ?Sized>(&self, out: &mut W) {
        let mut arg = out.writer_for_next_arg();
        // Into memory: cannot fail.
        let _ = arg.write_all(self.prefix.as_bytes());
        let _ = arg.write_all(self.key.as_bytes());
    }
}

impl ToSingleRedisArg for Key<'_> {}

/// With what a lease's key ends, before two bytes that bring it into the slot of its value. No text has such a byte, so it is no user's key.
pub(super) const LEASE_MARK: [u8; 2] = [0xC1, b'L'];
pub(super) const LEASE_SUFFIX: usize = 4;

/// The key of a lease: the value's, and what tells it from that.
#[derive(Clone, Copy)]
pub(super) struct LeaseKey<'k> {
    pub(super) of: Key<'k>,
    pub(super) suffix: [u8; LEASE_SUFFIX],
}

impl ToRedisArgs for LeaseKey<'_> {
    fn write_redis_args<W: RedisWrite + ?Sized>(&self, out: &mut W) {
        let mut arg = out.writer_for_next_arg();
        // Into memory: cannot fail.
        let _ = arg.write_all(self.of.prefix.as_bytes());
        let _ = arg.write_all(self.of.key.as_bytes());
        let _ = arg.write_all(&self.suffix);
    }
}

impl ToSingleRedisArg for LeaseKey<'_> {}

/// The key whose lease this is the key of, if it is one.
pub(super) fn leased(key: &[u8]) -> Option<&[u8]> {
    let (of, suffix) = key.split_at_checked(key.len().checked_sub(LEASE_SUFFIX)?)?;
    suffix.starts_with(&LEASE_MARK).then_some(of)
}

/// A time to live as Redis takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    None,
    Millis(u64),
    Endless,
}

impl From<Ttl> for Lifetime {
    fn from(ttl: Ttl) -> Self {
        match ttl {
            Ttl::After(Duration::ZERO) => Self::None,
            Ttl::After(after) => {
                // Rounded up, as in memory.
                let millis = after.as_nanos().div_ceil(1_000_000);
                if millis <= LONGEST {
                    Self::Millis(millis as u64)
                } else {
                    Self::Endless
                }
            }
            Ttl::Never => Self::Endless,
        }
    }
}

impl Lifetime {
    /// As the scripts take it.
    fn to_argument(self) -> String {
        match self {
            Self::None => "0".to_owned(),
            Self::Millis(millis) => millis.to_string(),
            Self::Endless => String::new(),
        }
    }
}

pub(super) fn get(key: Key<'_>) -> Cmd {
    of("GET", key)
}

/// One command on many keys.
pub(super) fn on_all(name: &str, keys: &[impl ToRedisArgs]) -> Cmd {
    let mut command = cmd(name);
    for key in keys {
        command.arg(key);
    }
    command
}

/// UNLINK and not DEL: the memory of a large value is freed elsewhere than in the server's one thread.
pub(super) fn unlink(key: Key<'_>) -> Cmd {
    of("UNLINK", key)
}

/// The same of a lease.
pub(super) fn unlink_lease(lease: LeaseKey<'_>) -> Cmd {
    let mut command = cmd("UNLINK");
    command.arg(lease);
    command
}

pub(super) fn pttl(key: Key<'_>) -> Cmd {
    of("PTTL", key)
}

pub(super) fn set(key: Key<'_>, value: &[u8], ttl: Ttl) -> Cmd {
    let with = |millis: Option<u64>| {
        let size = key.prefix.len() + key.key.len() + value.len() + 32;
        let mut command = Cmd::with_capacity(5, size);
        command.arg("SET").arg(key).arg(value);
        if let Some(millis) = millis {
            command.arg("PX").arg(millis);
        }
        command
    };
    match Lifetime::from(ttl) {
        Lifetime::None => unlink(key),
        Lifetime::Millis(millis) => with(Some(millis)),
        Lifetime::Endless => with(None),
    }
}

/// A script with its arguments.
pub(super) struct Scripted {
    pub(super) by_hash: Cmd,
    lua: &'static Lua,
}

impl Scripted {
    pub(super) fn incr(lua: &'static Lua, key: Key<'_>, by: i64, ttl: Ttl) -> Self {
        let mut by_hash = lua.by_hash(key);
        by_hash.arg(by).arg(Lifetime::from(ttl).to_argument());
        Self { by_hash, lua }
    }

    pub(super) fn compare_and_set(
        lua: &'static Lua,
        key: Key<'_>,
        expected: Option<&[u8]>,
        new: &[u8],
        ttl: Option<Ttl>,
    ) -> Self {
        let lifetime = ttl.map(Lifetime::from);
        let mut by_hash = match lifetime {
            Some(Lifetime::None) => lua.by_hash_on_both(key, lease_of(key)),
            _ => lua.by_hash(key),
        };
        let ttl = lifetime.map_or_else(|| "keep".to_owned(), Lifetime::to_argument);
        by_hash.arg(new).arg(ttl);
        if let Some(expected) = expected {
            by_hash.arg(expected);
        }
        Self { by_hash, lua }
    }

    pub(super) fn take_lease(
        key: Key<'_>,
        token: &str,
        term: u64,
        expected: Option<&[u8]>,
    ) -> Self {
        let lua = &TAKE_LEASE;
        let mut by_hash = lua.by_hash_on_both(key, lease_of(key));
        by_hash.arg(token).arg(term);
        if let Some(expected) = expected {
            by_hash.arg(expected);
        }
        Self { by_hash, lua }
    }

    pub(super) fn renew_lease(key: Key<'_>, token: &str, term: u64) -> Self {
        let lua = &RENEW_LEASE;
        let mut by_hash = lua.by_hash(lease_of(key));
        by_hash.arg(token).arg(term);
        Self { by_hash, lua }
    }

    pub(super) fn end_lease(key: Key<'_>, token: &str) -> Self {
        let lua = &END_LEASE;
        let mut by_hash = lua.by_hash(lease_of(key));
        by_hash.arg(token);
        Self { by_hash, lua }
    }

    pub(super) fn store_leased(
        key: Key<'_>,
        token: &str,
        expected: Option<&[u8]>,
        new: &[u8],
        ttl: Ttl,
    ) -> Self {
        let lua = &STORE_LEASED;
        let mut by_hash = lua.by_hash_on_both(key, lease_of(key));
        by_hash.arg(token).arg(new);
        by_hash.arg(Lifetime::from(ttl).to_argument());
        if let Some(expected) = expected {
            by_hash.arg(expected);
        }
        Self { by_hash, lua }
    }

    /// The same with the text instead of the hash.
    pub(super) fn by_text(&self) -> Cmd {
        self.lua.by_text(&self.by_hash)
    }
}

/// The key of a key's lease.
pub(super) fn lease_of(key: Key<'_>) -> LeaseKey<'_> {
    LeaseKey {
        of: key,
        suffix: HashSlot::neighbour(&key.to_vec(), LEASE_MARK),
    }
}

fn of(name: &str, key: Key<'_>) -> Cmd {
    let mut command = Cmd::with_capacity(2, name.len() + key.prefix.len() + key.key.len());
    command.arg(name).arg(key);
    command
}

/// What GET answers.
pub(super) fn value(answer: redis::Value) -> Result<Option<Value>, Error> {
    match answer {
        redis::Value::Nil => Ok(None),
        redis::Value::BulkString(bytes) => Ok(Some(Value::encoded(bytes))),
        other => Err(unexpected(&other)),
    }
}

/// What the MGETs of `len` keys answer: one value for each key, else it is not known which is which.
pub(super) fn values(answers: Vec<redis::Value>, len: usize) -> Result<Vec<Option<Value>>, Error> {
    let mut values = Vec::with_capacity(len);
    for answer in answers {
        match answer {
            redis::Value::Array(some) => {
                for one in some {
                    values.push(value(one)?);
                }
            }
            other => return Err(unexpected(&other)),
        }
    }
    if values.len() != len {
        let count = values.len();
        return Err(Error::rejected(format!(
            "the server answered {count} values for {len} keys, which it never should"
        )));
    }
    Ok(values)
}

pub(super) fn integer(answer: &redis::Value) -> Result<i64, Error> {
    match answer {
        redis::Value::Int(integer) => Ok(*integer),
        redis::Value::BulkString(bytes) => std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| unexpected(answer)),
        other => Err(unexpected(other)),
    }
}

/// What the script answers that takes leases.
pub(super) enum TakenLease {
    Other(Option<Value>),
    Granted,
    Taken(Duration),
}

pub(super) fn taken_lease(answer: redis::Value) -> Result<TakenLease, Error> {
    let redis::Value::Array(parts) = answer else {
        return Err(unexpected(&answer));
    };
    let mut parts = parts.into_iter();
    let kind = parts.next().unwrap_or(redis::Value::Nil);
    Ok(match integer(&kind)? {
        0 => TakenLease::Other(value(parts.next().unwrap_or(redis::Value::Nil))?),
        1 => TakenLease::Granted,
        _ => {
            let left = integer(&parts.next().unwrap_or(redis::Value::Nil))?;
            // Less than a millisecond is left, or somebody else made it a lease without an end.
            let left = u64::try_from(left).unwrap_or_default();
            TakenLease::Taken(Duration::from_millis(left))
        }
    })
}

/// What PTTL answers.
pub(super) fn ttl(answer: &redis::Value) -> Result<Option<Ttl>, Error> {
    Ok(match integer(answer)? {
        -2 => None,
        -1 => Some(Ttl::Never),
        // Less than a millisecond is left.
        millis => Some(Ttl::After(Duration::from_millis(millis.max(1) as u64))),
    })
}

/// The error names the kind of the answer, not its content: that may be a secret.
pub(super) fn unexpected(answer: &redis::Value) -> Error {
    let kind = match answer {
        redis::Value::Nil => "nil",
        redis::Value::Int(_) => "an integer",
        redis::Value::BulkString(_) | redis::Value::SimpleString(_) => "a string",
        redis::Value::Okay => "OK",
        redis::Value::Array(_) => "an array",
        _ => "something else",
    };
    Error::rejected(format!("the server answered {kind}, which it never should"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_live_as_redis_takes_them() {
        let lifetime = |after| Lifetime::from(Ttl::After(after));
        assert_eq!(lifetime(Duration::ZERO), Lifetime::None);
        assert_eq!(lifetime(Duration::from_nanos(1)), Lifetime::Millis(1));
        // Rounded up, never down.
        assert_eq!(lifetime(Duration::from_micros(2_000)), Lifetime::Millis(2));
        assert_eq!(lifetime(Duration::from_micros(2_001)), Lifetime::Millis(3));
        assert_eq!(lifetime(Duration::from_micros(2_999)), Lifetime::Millis(3));
        assert_eq!(lifetime(Duration::MAX), Lifetime::Endless);
        assert_eq!(Lifetime::from(Ttl::Never), Lifetime::Endless);
    }

    #[test]
    fn a_list_of_another_length_is_no_answer() {
        let list = |len| redis::Value::Array(vec![redis::Value::Nil; len]);
        assert_eq!(values(vec![list(2), list(1)], 3).unwrap().len(), 3);
        for answers in [vec![], vec![list(2)], vec![list(2), list(2)]] {
            let error = values(answers, 3).unwrap_err();
            assert!(error.to_string().contains("3 keys"), "{error}");
        }
    }

    #[test]
    fn a_script_by_its_text_has_the_same_arguments() {
        let key = Key {
            prefix: "p:",
            key: "k",
        };
        let ttl = Ttl::After(Duration::from_millis(5));
        let scripted = Scripted::incr(&super::super::script::INCR, key, 7, ttl);
        let text = scripted.by_text();
        let args = |command: &Cmd| -> Vec<Vec<u8>> {
            let arguments = command.args_iter().filter_map(|argument| match argument {
                redis::Arg::Simple(bytes) => Some(bytes.to_vec()),
                _ => None,
            });
            arguments.collect()
        };
        let (hash, text) = (args(&scripted.by_hash), args(&text));
        assert_eq!((&*hash[0], &*text[0]), (&b"EVALSHA"[..], &b"EVAL"[..]));
        assert_eq!(hash[2..], text[2..]);
        assert_eq!(text[2..], [&b"1"[..], b"p:k", b"7", b"5"]);
    }
}
