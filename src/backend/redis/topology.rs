//! Who serves which slots: what a cluster says of itself.

use super::link::Link;
use redis::Value;
use std::sync::Arc;

/// The masters and their slots, as one node of the cluster saw them.
#[derive(Default)]
pub(super) struct Topology {
    /// Grows with each look.
    pub(super) version: u64,
    /// By first slot; no two overlap.
    ranges: Vec<Range>,
}

struct Range {
    first: u16,
    last: u16,
    master: Arc<Link>,
}

impl Topology {
    /// From what `CLUSTER SLOTS` answered. `link` finds the link to an address; an empty host is that of who was asked.
    pub(super) fn new(
        version: u64,
        said: Vec<Said>,
        link: impl Fn(&str, u16) -> Arc<Link>,
    ) -> Self {
        let mut ranges: Vec<Range> = said
            .into_iter()
            .map(|said| Range {
                first: said.first,
                last: said.last,
                master: link(&said.host, said.port),
            })
            .collect();
        ranges.sort_by_key(|range| range.first);
        Self { version, ranges }
    }

    pub(super) fn master(&self, slot: u16) -> Option<&Arc<Link>> {
        let after = self.ranges.partition_point(|range| range.first <= slot);
        let range = &self.ranges[after.checked_sub(1)?];
        (slot <= range.last).then_some(&range.master)
    }

    /// Each master once.
    pub(super) fn masters(&self) -> Vec<Arc<Link>> {
        let mut masters: Vec<Arc<Link>> = Vec::new();
        for range in &self.ranges {
            if !masters
                .iter()
                .any(|known| Arc::ptr_eq(known, &range.master))
            {
                masters.push(Arc::clone(&range.master));
            }
        }
        masters
    }

    /// Whether the same masters serve the same slots.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.ranges.len() == other.ranges.len()
            && self.ranges.iter().zip(&other.ranges).all(|(one, other)| {
                (one.first, one.last) == (other.first, other.last)
                    && Arc::ptr_eq(&one.master, &other.master)
            })
    }

    /// Whether no slot is without a master.
    pub(super) fn is_whole(&self) -> bool {
        let covered: usize = self
            .ranges
            .iter()
            .map(|range| usize::from(range.last - range.first) + 1)
            .sum();
        covered == usize::from(super::slot::SLOTS)
    }
}

/// One line of the answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    first: u16,
    last: u16,
    host: String,
    port: u16,
}

/// Reads `[[first, last, [host, port, …], replica, …], …]`; `None` if it is something else.
pub(super) fn read(answer: Value) -> Option<Vec<Said>> {
    list(answer)?.into_iter().map(line).collect()
}

fn line(line: Value) -> Option<Said> {
    let mut fields = list(line)?.into_iter();
    let (first, last) = (number(fields.next()?)?, number(fields.next()?)?);
    let mut master = list(fields.next()?)?.into_iter();
    let host = match master.next()? {
        // Unknown to the node itself: it is where we reached it.
        Value::Nil => String::new(),
        host => text(host)?,
    };
    let port = number(master.next()?)?;
    let sound = first <= last && last < super::slot::SLOTS;
    sound.then_some(Said {
        first,
        last,
        // Of a node that has no hostname although it should.
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
        let said = read(Value::Array(vec![
            range(0, 5, node(bulk("10.0.0.1"), 7000)),
            range(6, 16_383, node(Value::Nil, 7001)),
        ]));
        let said = said.unwrap();
        assert_eq!((said[0].host.as_str(), said[0].port), ("10.0.0.1", 7000));
        assert_eq!((said[1].host.as_str(), said[1].last), ("", 16_383));

        assert!(read(Value::Okay).is_none());
        let beyond = range(0, 16_384, node(bulk("h"), 1));
        assert!(read(Value::Array(vec![beyond])).is_none());
        let backwards = range(2, 1, node(bulk("h"), 1));
        assert!(read(Value::Array(vec![backwards])).is_none());
        let port = range(0, 1, node(bulk("h"), 70_000));
        assert!(read(Value::Array(vec![port])).is_none());
    }
}
