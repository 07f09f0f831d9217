//! Removing what is still there of what was to be replaced: a repair, when a server is back.
//!
//! A repair comes late, and it may be carried out later still, when whoever sent it has given it up long ago. So it has two steps: it looks
//! what is under a key, and removes that value and no other (compare and remove, by the script that updates use). Whatever is written
//! after the look stays, however late the second step is.
//!
//! What is a bare integer stays, too: it may be a counter that others have gone on with. So does what is no value of ours.

use super::announced::Telling;
use super::failure::Failure;
use super::request::Replay;
use super::{Addressed, Servers};
use crate::backend::redis::command::{self, Key, Scripted};
use crate::backend::redis::script::COMPARE_AND_SET;
use crate::error::Error;
use crate::time::Ttl;
use redis::Value;
use std::time::Duration;

/// What became of a key that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend) enum Removal {
    /// There is nothing under it any more, and no lease.
    Removed,
    /// It may be a counter, or is another program's.
    Left,
    /// It was written between the two steps.
    Changed,
    /// It was not wanted any more when it had been looked at.
    Unwanted,
}

impl Servers {
    /// Removes keys with their leases. Of each is asked, between the look and the removal, whether that is still wanted: by its
    /// place. The answers come in the order of the keys.
    pub(in crate::backend::redis) async fn remove_seen(
        &self,
        keys: &[Key<'_>],
        is_wanted: &(dyn Fn(usize) -> bool + Sync),
    ) -> Vec<Result<Removal, Error>> {
        let removals = self.remove_each(keys, is_wanted).await;
        let removals = removals.into_iter();
        removals
            .map(|removal| removal.map_err(|failure| self.error(failure)))
            .collect()
    }

    pub(super) async fn remove_each(
        &self,
        keys: &[Key<'_>],
        is_wanted: &(dyn Fn(usize) -> bool + Sync),
    ) -> Vec<Result<Removal, Failure>> {
        let gets = keys.iter().map(|key| Addressed {
            key: key.to_vec(),
            command: command::get(*key),
        });
        let seen = self
            .many(gets.collect(), Replay::Safe, Telling::Nothing)
            .await;
        let mut removals = Vec::with_capacity(keys.len());
        let mut scripts = Vec::new();
        for (nth, (seen, key)) in seen.into_iter().zip(keys).enumerate() {
            let removal = match seen_value(seen) {
                Ok(Some(_)) if !is_wanted(nth) => Ok(Removal::Unwanted),
                Ok(Some(value)) => {
                    let now = Some(Ttl::After(Duration::ZERO));
                    let value = value.as_deref();
                    let remove = Scripted::compare_and_set(&COMPARE_AND_SET, *key, value, b"", now);
                    scripts.push((*key, remove));
                    // Until the script has said so.
                    Ok(Removal::Removed)
                }
                Ok(None) => Ok(Removal::Left),
                Err(failure) => Err(failure),
            };
            removals.push(removal);
        }
        let mut removed = self.run_all(&scripts).await.into_iter();
        let to_be_removed =
            |removal: &&mut Result<Removal, Failure>| matches!(removal, Ok(Removal::Removed));
        for removal in removals.iter_mut().filter(to_be_removed) {
            *removal = match removed.next() {
                Some(Ok(Value::Int(1))) => Ok(Removal::Removed),
                Some(Ok(_)) => Ok(Removal::Changed),
                Some(Err(failure)) => Err(failure),
                None => Err(Failure::Unsent(Error::connection("not sent"))),
            };
        }
        removals
    }
}

/// What GET has answered: a value that may be removed, or that there is none; or `None`, if what there is has to stay.
fn seen_value(answer: Result<Value, Failure>) -> Result<Option<Option<Vec<u8>>>, Failure> {
    match answer {
        Ok(Value::Nil) => Ok(Some(None)),
        Ok(Value::BulkString(bytes)) if is_integer(&bytes) => Ok(None),
        Ok(Value::BulkString(bytes)) => Ok(Some(Some(bytes))),
        Ok(_) => Ok(None),
        Err(Failure::Rejected(reply)) if reply.code() == "WRONGTYPE" => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Whether it is what counters are.
fn is_integer(bytes: &[u8]) -> bool {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_counter_stays() {
        for integer in ["0", "7", "-7", "9223372036854775807", "007"] {
            assert!(is_integer(integer.as_bytes()), "{integer}");
        }
        for other in ["", "-", "1.5", "1 ", "\"1\"", "[1]", "1e3", "--1", "+1"] {
            assert!(!is_integer(other.as_bytes()), "{other}");
        }
        let bulk = |text: &str| Ok(Value::BulkString(text.as_bytes().to_vec()));
        assert!(matches!(seen_value(bulk("12")), Ok(None)));
        assert!(matches!(seen_value(bulk("[12]")), Ok(Some(Some(_)))));
        assert!(matches!(seen_value(Ok(Value::Nil)), Ok(Some(None))));
        assert!(matches!(seen_value(Ok(Value::Int(1))), Ok(None)));
        let lost = || Failure::Unsent(Error::connection("gone"));
        assert!(seen_value(Err(lost())).is_err());
    }
}
