//! One operation, on both.

use super::model::{Model, sorted};
use super::ops::{Bounds, Change, Key, Life, Op};
#[cfg(feature = "serde")]
use super::snapshots;
use nori_cache::{Cache, Error, Loaded, ManualClock, Update};
use proptest::prelude::*;
use std::time::Duration;

/// Does `op` to both and compares what they say. `value` is what is written, if anything is. Returns what had to go.
pub(crate) fn step(
    cache: &Cache<Key, u64>,
    clock: &ManualClock,
    model: &mut Model,
    op: Op,
    value: u64,
) -> Result<Vec<Key>, TestCaseError> {
    match op {
        Op::Insert(key, life) => {
            let inserted = match life {
                None => cache.insert(key, value),
                _ => cache.insert_with_ttl(key, value, Life::ttl(life)),
            };
            let put = model.insert(key, value, life);
            prop_assert_eq!(inserted, put.inserted);
            return Ok(put.victims);
        }
        Op::InsertPinned(key) => {
            let inserted = cache.insert_pinned(key, value);
            let put = model.insert_as(key, value, None, true);
            prop_assert_eq!(inserted, put.inserted);
            return Ok(put.victims);
        }
        Op::Unpin(key) => prop_assert_eq!(cache.unpin(&key), model.unpin(key)),
        Op::SetMaxKeys(max_keys) => {
            let resized = cache.set_max_keys(max_keys).is_ok();
            let bounds = Bounds {
                max_keys,
                ..model.bounds
            };
            let victims = if max_keys == 0 {
                None
            } else {
                model.resize(bounds)
            };
            prop_assert_eq!(resized, victims.is_some());
            return Ok(victims.unwrap_or_default());
        }
        Op::SetMaxWeight(max_weight) => {
            let resized = cache.set_max_weight(max_weight).is_ok();
            let bounds = Bounds {
                max_weight: Some(max_weight),
                ..model.bounds
            };
            let victims = if max_weight == 0 || model.bounds.max_weight.is_none() {
                None
            } else {
                model.resize(bounds)
            };
            prop_assert_eq!(resized, victims.is_some());
            return Ok(victims.unwrap_or_default());
        }
        #[cfg(feature = "serde")]
        Op::Snapshot(room) => snapshots::comes_back(cache, model, room)?,
        #[cfg(feature = "serde")]
        Op::CutSnapshot(part) => snapshots::cut_short(cache, part)?,
        Op::Get(key) => prop_assert_eq!(cache.get(&key), model.get(key)),
        Op::GetWith(key) => prop_assert_eq!(cache.get_with(&key, |v| *v), model.get(key)),
        Op::GetMany(a, b) => {
            let keys = [a, b, a];
            let expected: Vec<_> = keys.iter().map(|&k| model.get(k)).collect();
            prop_assert_eq!(cache.get_many(&keys), expected);
        }
        Op::Peek(key) => prop_assert_eq!(cache.peek(&key), model.peek(key)),
        Op::Contains(key) => {
            prop_assert_eq!(cache.contains_key(&key), model.find(key).is_some());
        }
        Op::Remaining(key) => prop_assert_eq!(cache.ttl(&key), model.remaining(key)),
        Op::Remove(key) => {
            prop_assert_eq!(cache.remove(&key), model.remove(key).is_some());
        }
        Op::Take(key) => {
            let expected = model.remove(key).map(|e| e.value);
            prop_assert_eq!(cache.take(&key), expected);
        }
        Op::Update(key, change) => {
            let mut seen = None;
            let changed = cache.update(key, |old| {
                seen = old.copied();
                match change {
                    Change::Set => Update::Set(value),
                    Change::SetWithTtl(life) => Update::SetWithTtl(value, Life::ttl(life)),
                    Change::Remove => Update::Remove,
                }
            });
            let there = model.find(key).map(|at| model.entries[at]);
            prop_assert_eq!(seen, there.map(|it| it.value));
            let is_pinned = there.is_some_and(|it| it.is_pinned);
            let put = match change {
                Change::Set => {
                    let deadline = there.and_then(|it| it.deadline);
                    model.put_as(key, value, deadline, is_pinned)
                }
                Change::SetWithTtl(life) => model.insert_as(key, value, life, is_pinned),
                // As if it were stored to live for no time.
                Change::Remove => model.insert(key, value, Some(Life(0))),
            };
            prop_assert_eq!(changed, put.inserted.is_stored() || there.is_some());
            return Ok(put.victims);
        }
        Op::SetTtl(key, life) => {
            let there = model.find(key);
            prop_assert_eq!(cache.set_ttl(&key, Life::ttl(life)), there.is_some());
            match (there, model.deadline(life)) {
                (Some(i), Some(deadline)) => model.entries[i].deadline = deadline,
                (Some(_), None) => drop(model.remove(key)),
                (None, _) => {}
            }
        }
        Op::Touch(key) => {
            prop_assert_eq!(cache.touch(&key), model.find(key).is_some());
            if let Some(mut entry) = model.remove(key) {
                entry.deadline = None;
                entry.idle = model.restarted(entry.idle, u64::MAX);
                model.entries.push(entry);
            }
        }
        Op::Retain(bound) => {
            let mut seen = Vec::new();
            cache.retain(|&k, &v| {
                seen.push((k, v));
                k >= bound
            });
            prop_assert_eq!(sorted(seen.into_iter()), model.contents());
            model.entries.retain(|e| e.key >= bound);
            prop_assert_eq!(cache.len(), model.entries.len());
        }
        Op::InvalidateIf(bound) => {
            cache.invalidate_if(|&k, _| k < bound);
            model.entries.retain(|e| e.key >= bound);
            prop_assert_eq!(cache.len(), model.entries.len());
        }
        Op::Drain => {
            prop_assert_eq!(sorted(cache.drain()), model.contents());
            model.entries.clear();
        }
        Op::InsertIfAbsent(key) => {
            let stores = model.find(key).is_none();
            let inserted = cache.insert_if_absent(key, value);
            let put = stores.then(|| model.put(key, value, None));
            let stored = put.as_ref().is_some_and(|it| it.inserted.is_stored());
            prop_assert_eq!(inserted, if stored { Ok(()) } else { Err(value) });
            return Ok(put.map_or_else(Vec::new, |it| it.victims));
        }
        Op::Replace(key) => {
            let there = model.find(key).map(|at| model.entries[at]);
            let replaced = cache.replace(key, value);
            let put = there.map(|it| model.put_as(key, value, None, it.is_pinned));
            let stored = put.as_ref().is_some_and(|it| it.inserted.is_stored());
            prop_assert_eq!(replaced, if stored { Ok(()) } else { Err(value) });
            return Ok(put.map_or_else(Vec::new, |it| it.victims));
        }
        Op::RemoveIf(key, is_it) => {
            let mut shown = None;
            let removed = cache.remove_if(&key, |v| {
                shown = Some(*v);
                is_it
            });
            prop_assert_eq!(shown, model.peek(key));
            prop_assert_eq!(removed, is_it && shown.is_some());
            if is_it {
                model.remove(key);
            }
        }
        Op::UpdateWith(key) => {
            let before = cache.update_with(key, |old| (Update::Set(value), old.copied()));
            let there = model.find(key).map(|at| model.entries[at]);
            prop_assert_eq!(before, there.map(|it| it.value));
            let deadline = there.and_then(|it| it.deadline);
            let is_pinned = there.is_some_and(|it| it.is_pinned);
            return Ok(model.put_as(key, value, deadline, is_pinned).victims);
        }
        Op::Load(key, life) => {
            let expected = model.get(key);
            let found = match (life, value % 2) {
                (None, 0) => cache.get_or_insert_with(&key, || value),
                (_, 0) => cache.get_or_insert_with_ttl(&key, Life::ttl(life), || value),
                _ => cache.get_or_insert_loaded(&key, || Loaded::new(value).ttl(Life::ttl(life))),
            };
            prop_assert_eq!(found, expected.unwrap_or(value));
            if expected.is_none() {
                return Ok(model.insert(key, value, life).victims);
            }
        }
        Op::LoadFails(key) => {
            let found = cache.try_get_or_insert_with(&key, || Err(Error::closed()));
            prop_assert_eq!(found.ok(), model.get(key));
        }
        Op::LoadMany(a, b, c) => {
            // More than one may have to go for these, so only where all fit.
            let keys = [a, b, c];
            let is_weighed = model.bounds.max_weight.is_some();
            let room = model.bounds.max_keys.saturating_sub(model.entries.len());
            let mut expected = keys.map(|k| model.get(k));
            let fits = room >= keys.len() && !is_weighed;
            let mut lacks = |k: &Key| fits && *k != b && model.find(*k).is_none();
            let load: Vec<Key> = keys.into_iter().filter(&mut lacks).collect();
            let found = cache.get_or_load_many(&keys, |missing| {
                assert!(load.iter().all(|k| missing.contains(&k)));
                load.iter().map(|&k| (k, value)).collect::<Vec<_>>()
            });
            for (&key, expected) in keys.iter().zip(&mut expected) {
                if load.contains(&key) {
                    *expected = Some(value);
                }
            }
            prop_assert_eq!(found, expected);
            for &key in &load {
                if model.find(key).is_none() {
                    model.put(key, value, None);
                }
            }
        }
        Op::Clear => {
            cache.clear();
            model.entries.clear();
            prop_assert_eq!(cache.len(), 0);
        }
        Op::Advance(ms) => {
            clock.advance(Duration::from_millis(u64::from(ms)));
            model.advance(ms);
        }
        Op::Purge => {
            let expired = cache.len() - model.entries.len();
            prop_assert_eq!(cache.purge_expired(), expired);
            prop_assert_eq!(cache.len(), model.entries.len());
        }
    }
    Ok(Vec::new())
}
