//! Which node serves which hash slots, as a cluster says.

use super::link::Link;
use crate::backend::redis::hash_slot::HashSlot;
use redis::Value;
use std::sync::Arc;

/// The primaries and their hash slots, as one node of the cluster saw them.
#[derive(Default)]
pub(super) struct Topology {
    /// Grows each time that the cluster is asked.
    pub(super) version: u64,
    /// By their first hash slot; no two overlap.
    ranges: Vec<Range>,
}

struct Range {
    first: HashSlot,
    last: HashSlot,
    primary: Arc<Link>,
}

impl Topology {
    /// From what `CLUSTER SLOTS` answered. `link` finds the link to an address; an empty host is that of
    /// the node that was asked.
    pub(super) fn new(
        version: u64,
        served: Vec<Served>,
        link: impl Fn(&str, u16) -> Arc<Link>,
    ) -> Self {
        let mut ranges: Vec<Range> = served
            .into_iter()
            .map(|served| Range {
                first: served.first,
                last: served.last,
                primary: link(&served.host, served.port),
            })
            .collect();
        ranges.sort_by_key(|range| range.first);
        Self { version, ranges }
    }

    pub(super) fn primary(&self, slot: HashSlot) -> Option<&Arc<Link>> {
        let after = self.ranges.partition_point(|range| range.first <= slot);
        let range = &self.ranges[after.checked_sub(1)?];
        (slot <= range.last).then_some(&range.primary)
    }

    /// Each primary once.
    pub(super) fn primaries(&self) -> Vec<Arc<Link>> {
        let mut primaries: Vec<Arc<Link>> = Vec::new();
        for range in &self.ranges {
            if !primaries
                .iter()
                .any(|known| Arc::ptr_eq(known, &range.primary))
            {
                primaries.push(Arc::clone(&range.primary));
            }
        }
        primaries
    }

    /// Whether the same primaries serve the same hash slots.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.ranges.len() == other.ranges.len()
            && self.ranges.iter().zip(&other.ranges).all(|(one, other)| {
                (one.first, one.last) == (other.first, other.last)
                    && Arc::ptr_eq(&one.primary, &other.primary)
            })
    }

    /// Whether every hash slot has a primary.
    pub(super) fn is_whole(&self) -> bool {
        let covered: usize = self
            .ranges
            .iter()
            .map(|range| usize::from(range.last.number() - range.first.number()) + 1)
            .sum();
        covered == usize::from(HashSlot::COUNT)
    }
}

/// A range of hash slots and the node that serves it: one row of the answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Served {
    first: HashSlot,
    last: HashSlot,
    host: String,
    port: u16,
}

/// Reads `[[first, last, [host, port, …], replica, …], …]`; `None` if it is something else.
pub(super) fn read(answer: Value) -> Option<Vec<Served>> {
    list(answer)?.into_iter().map(row).collect()
}

fn row(row: Value) -> Option<Served> {
    let mut fields = list(row)?.into_iter();
    let mut hash_slot = || HashSlot::new(number(fields.next()?)?);
    let (first, last) = (hash_slot()?, hash_slot()?);
    let mut primary = list(fields.next()?)?.into_iter();
    let host = match primary.next()? {
        // The node itself does not know: it is where we reached it.
        Value::Nil => String::new(),
        host => text(host)?,
    };
    let port = number(primary.next()?)?;
    (first <= last).then_some(Served {
        first,
        last,
        // `?` is what a node says that should have a host name, and has none.
        host: if host == "?" { String::new() } else { host },
        port,
    })
}

fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

fn number(value: Value) -> Option<u16> {
    match value {
        Value::Int(number) => number.try_into().ok(),
        _ => None,
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_real_and_odd_servers() {
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), Value::Nil]);
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let range =
            |first, last, node| Value::Array(vec![Value::Int(first), Value::Int(last), node]);
        let served = read(Value::Array(vec![
            range(0, 5, node(bulk("10.0.0.1"), 7000)),
            range(6, 16_383, node(Value::Nil, 7001)),
        ]));
        let served = served.unwrap();
        assert_eq!(
            (served[0].host.as_str(), served[0].port),
            ("10.0.0.1", 7000)
        );
        assert_eq!(
            (served[1].host.as_str(), served[1].last.number()),
            ("", 16_383)
        );

        assert!(read(Value::Okay).is_none());
        let beyond = range(0, 16_384, node(bulk("h"), 1));
        assert!(read(Value::Array(vec![beyond])).is_none());
        let backwards = range(2, 1, node(bulk("h"), 1));
        assert!(read(Value::Array(vec![backwards])).is_none());
        let port = range(0, 1, node(bulk("h"), 70_000));
        assert!(read(Value::Array(vec![port])).is_none());
    }
}
