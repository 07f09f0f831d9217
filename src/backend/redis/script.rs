//! What takes more than one step on the server, as Lua: nothing comes between the steps.
//!
//! Numbers travel as text: Lua's have 53 bits. A script is sent by its hash; a server that does not know it (it was restarted,
//! or its scripts were flushed) is sent the text, which it then knows.

use redis::{Arg, Cmd, Script, ServerError, ToRedisArgs, cmd};
use std::sync::LazyLock;

pub(super) struct Lua {
    text: &'static str,
    hash: String,
}

impl Lua {
    fn new(text: &'static str) -> Self {
        let hash = Script::new(text).get_hash().to_owned();
        Self { text, hash }
    }

    /// The command that runs it by its hash; further arguments are to be added.
    pub(super) fn by_hash(&self, key: impl ToRedisArgs) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&self.hash).arg(1).arg(key);
        command
    }

    /// As [`by_hash`](Self::by_hash), on a key and its neighbour in the same slot.
    pub(super) fn by_hash_on_both(
        &self,
        key: impl ToRedisArgs,
        neighbour: impl ToRedisArgs,
    ) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&self.hash).arg(2).arg(key).arg(neighbour);
        command
    }

    /// The same command, with the text instead of the hash.
    pub(super) fn by_text(&self, by_hash: &Cmd) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(self.text);
        for argument in by_hash.args_iter().skip(2) {
            if let Arg::Simple(bytes) = argument {
                command.arg(bytes);
            }
        }
        command
    }
}

/// Whether the server does not know the script.
pub(super) fn is_unknown(reply: &ServerError) -> bool {
    reply.code() == "NOSCRIPT"
}

/// `KEYS[1]` plus `ARGV[1]`, as text. `ARGV[2]`: milliseconds to live at birth, `0` not to be born, empty for ever.
pub(super) static INCR: LazyLock<Lua> = LazyLock::new(|| {
    Lua::new(
        r"
if redis.call('EXISTS', KEYS[1]) == 1 then
  local sum = redis.pcall('INCRBY', KEYS[1], ARGV[1])
  if type(sum) == 'table' then return sum end
  return redis.call('GET', KEYS[1])
end
if ARGV[2] == '' then
  redis.call('SET', KEYS[1], ARGV[1])
elseif ARGV[2] ~= '0' then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return ARGV[1]
",
    )
});

/// `KEYS[1]` becomes `ARGV[1]` if it is `ARGV[3]`, or is not there and there is no `ARGV[3]`; 1 if so. `ARGV[2]`: milliseconds
/// to live, `0` to be removed, with its lease `KEYS[2]`, empty for ever, `keep` for what is left.
pub(super) static COMPARE_AND_SET: LazyLock<Lua> = LazyLock::new(|| {
    Lua::new(
        r"
local current = redis.pcall('GET', KEYS[1])
if type(current) == 'table' then return current end
if current ~= (ARGV[3] or false) then return 0 end
if ARGV[2] == '0' then
  redis.call('UNLINK', KEYS[1], KEYS[2])
elseif ARGV[2] == 'keep' then
  redis.call('SET', KEYS[1], ARGV[1], 'KEEPTTL')
elseif ARGV[2] == '' then
  redis.call('SET', KEYS[1], ARGV[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
",
    )
});

/// `KEYS[2]`, the lease of `KEYS[1]`, is taken with the token `ARGV[1]` for `ARGV[2]` milliseconds: `{1}`. `{0, value}` if the key is not
/// `ARGV[3]`, or is there and there is no `ARGV[3]`; `{2, milliseconds}` if another has the lease, which lasts for so long.
pub(super) static TAKE_LEASE: LazyLock<Lua> = LazyLock::new(|| {
    Lua::new(
        r"
local current = redis.pcall('GET', KEYS[1])
if type(current) == 'table' then return current end
if current ~= (ARGV[3] or false) then return {0, current} end
if redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2], 'NX') then return {1} end
return {2, redis.call('PTTL', KEYS[2])}
",
    )
});

/// The lease `KEYS[1]` lasts for `ARGV[2]` milliseconds from now if its token is `ARGV[1]`; 1 if so.
pub(super) static RENEW_LEASE: LazyLock<Lua> = LazyLock::new(|| {
    Lua::new(
        r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
",
    )
});

/// The lease `KEYS[1]` ends if its token is `ARGV[1]`; 1 if so.
pub(super) static END_LEASE: LazyLock<Lua> = LazyLock::new(|| {
    Lua::new(
        r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1])
",
    )
});

/// `KEYS[1]` becomes `ARGV[2]` if the token of its lease `KEYS[2]` is `ARGV[1]`, and it is `ARGV[4]`, or is not there and there is no
/// `ARGV[4]`; 1 if so. `ARGV[3]`: milliseconds to live, `0` to be removed, empty for ever. The lease ends.
pub(super) static STORE_LEASED: LazyLock<Lua> = LazyLock::new(|| {
    Lua::new(
        r"
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[2])
local current = redis.pcall('GET', KEYS[1])
if type(current) == 'table' then return current end
if current ~= (ARGV[4] or false) then return 0 end
if ARGV[3] == '0' then
  redis.call('UNLINK', KEYS[1])
elseif ARGV[3] == '' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
",
    )
});
