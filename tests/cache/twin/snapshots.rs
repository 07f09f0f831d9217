//! Snapshots of the cache, which another one restores.

use super::model::{Entry, Model, sorted, weigh};
use super::ops::Key;
use nori_cache::{Cache, ManualClock, Ttl};
use proptest::prelude::*;

type Twinned = Cache<Key, u64>;

fn taken(cache: &Twinned) -> (Vec<u8>, u64) {
    let mut bytes = Vec::new();
    let written = cache.snapshot(&mut bytes).expect("memory takes all of it");
    (bytes, written)
}

/// A cache of one shard with room for so many keys.
fn other(model: &Model, room: usize) -> (Twinned, ManualClock) {
    let clock = ManualClock::new();
    let builder = Cache::builder().max_keys(room).shards(1);
    let builder = builder.clock(clock.clone());
    let cache = match model.bounds.max_weight {
        None => builder.build(),
        Some(max_weight) => builder
            .max_weight(max_weight)
            .weigher(|_, &value| weigh(value))
            .build(),
    };
    (cache.expect("a valid configuration"), clock)
}

/// All that is alive is in the snapshot. Of that the cache that restores it has what was used last, in that order, and nothing of it is
/// pinned. How much time passes meanwhile is up to the machine, so what has an end lives no longer than it would have, and may be gone.
pub(super) fn comes_back(cache: &Twinned, model: &Model, room: usize) -> Result<(), TestCaseError> {
    let (bytes, written) = taken(cache);
    prop_assert_eq!(written, model.entries.len() as u64);
    let (other, _clock) = other(model, room);
    let restored = other.restore(&mut bytes.as_slice());
    let restored = restored.expect("it is a snapshot");
    let contents = sorted(other.iter());
    prop_assert!(other.weight() <= other.max_weight() && other.len() <= room);
    // Those that are pinned are in no order.
    let is_ordered = model.count(|it| it.is_pinned) == 0;
    if is_ordered && model.count(|it| it.deadline.is_some()) == 0 {
        let mut expected = Model::new(model.bounds);
        expected.bounds.max_keys = room;
        let skipped = model.entries.len().saturating_sub(room);
        let last = &model.entries[skipped..];
        for it in last {
            expected.put(it.key, it.value, None);
        }
        prop_assert_eq!(restored, last.len());
        prop_assert_eq!(contents, expected.contents());
        // The order shows in what goes, one after the other.
        for filler in 0..room as Key {
            let key = 10_000 + filler;
            other.insert(key, 0);
            expected.put(key, 0, None);
            let contents = sorted(other.iter());
            prop_assert_eq!(contents, expected.contents(), "filler {}", filler);
        }
        return Ok(());
    }
    let left = |it: &Entry| it.deadline.map(|deadline| deadline - model.now);
    for (key, value) in contents {
        let at = model.find(key).expect("nothing else was there");
        let it = model.entries[at];
        prop_assert_eq!(value, it.value);
        match (other.ttl(&key).expect("it was there"), left(&it)) {
            (Ttl::Never, None) => {}
            (Ttl::After(after), Some(left)) => prop_assert!(after.as_millis() <= left.into()),
            (ttl, left) => prop_assert!(false, "{:?} of {:?}", ttl, left),
        }
    }
    if is_ordered && model.bounds.max_weight.is_none() {
        let skipped = model.entries.len().saturating_sub(room);
        for it in &model.entries[skipped..] {
            let found = other.peek(&it.key);
            prop_assert!(found.is_some() || it.deadline.is_some(), "{:?}", it);
        }
    }
    Ok(())
}

/// A cache stays as it was, if what it is to restore has been cut short.
pub(super) fn cut_short(cache: &Twinned, part: u16) -> Result<(), TestCaseError> {
    let (bytes, _) = taken(cache);
    let len = (bytes.len() * usize::from(part)) >> 16;
    let before = (sorted(cache.iter()), cache.stats(), cache.weight());
    let error = cache.restore(&mut &bytes[..len]);
    prop_assert!(error.is_err_and(|error| error.is_damaged()));
    let after = (sorted(cache.iter()), cache.stats(), cache.weight());
    prop_assert_eq!(after, before);
    Ok(())
}
