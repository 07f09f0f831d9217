//! Calls whose closures call the cache.

use super::super::ledger::{Ledger, Value};
use super::{Change, KEYS, Nested, Subject, Subjects, name};
use crate::cache::Update;
use crate::time::Ttl;
use std::rc::Rc;
use std::time::Duration;

impl Nested {
    /// Returns what was inserted.
    fn call(self, cache: &Subjects, ledger: &Rc<Ledger>) -> Option<u32> {
        match self {
            Self::Insert(other) => {
                let value = ledger.value();
                let serial = value.serial();
                cache.insert(name(other), value);
                return Some(serial);
            }
            Self::Remove(other) => {
                cache.remove(name(other).as_str());
            }
            Self::Get(other) => {
                cache.get(name(other).as_str());
            }
            Self::Clear => cache.clear(),
        }
        None
    }
}

impl Subject {
    pub(super) fn get_with(&mut self, key: u8, nested: Nested) {
        let (cache, ledger) = (&self.cache, &self.ledger);
        let mut inserted = None;
        let found = cache.get_with(name(key).as_str(), |value| {
            let serial = value.serial();
            inserted = nested.call(cache, ledger);
            assert_eq!(value.serial(), serial, "changed under a reader");
            serial
        });
        assert_eq!(found, self.get(key));
        if found.is_some() {
            self.call(nested, inserted);
        }
    }

    /// What a closure has called.
    fn call(&mut self, nested: Nested, inserted: Option<u32>) {
        match nested {
            Nested::Insert(other) => {
                self.insert(other, inserted.expect("it was called"), self.ttl);
            }
            Nested::Remove(other) => {
                self.remove(other);
            }
            Nested::Get(other) => {
                self.get(other);
            }
            Nested::Clear => self.clear(),
        }
    }

    /// A load during which its own loader writes: what is written wins.
    pub(super) fn load(&mut self, key: u8, nested: Nested) {
        let (cache, ledger) = (&self.cache, &self.ledger);
        let mut inserted = None;
        let mut loaded = None;
        let found = cache.get_or_insert_with(name(key).as_str(), || {
            inserted = nested.call(cache, ledger);
            let value = ledger.value();
            loaded = Some(value.serial());
            value
        });
        let found = found.serial();
        if let Some(expected) = self.get(key) {
            assert_eq!((found, loaded), (expected, None));
            return;
        }
        assert_eq!(Some(found), loaded);
        self.loads += 1;
        self.call(nested, inserted);
        let overtaken = match nested {
            Nested::Insert(other) | Nested::Remove(other) => other % KEYS == key % KEYS,
            Nested::Get(_) => false,
            Nested::Clear => true,
        };
        if !overtaken {
            let inserted = self.insert(key, found, self.ttl);
            self.comes_back((!inserted.is_stored()).then_some(found));
        }
    }

    pub(super) fn update(&mut self, key: u8, change: Change, nested: Option<(u8, bool)>) {
        let (cache, ledger) = (&self.cache, &self.ledger);
        let mut first = nested;
        let mut inserted = None;
        let mut stored = None;
        let mut shown = None;
        let updated = cache.update(name(key), |value| {
            shown = value.map(Value::serial);
            match first.take() {
                Some((other, true)) => {
                    let value = ledger.value();
                    inserted = Some(value.serial());
                    cache.insert(name(other), value);
                }
                Some((other, false)) => {
                    cache.remove(name(other).as_str());
                }
                None => {}
            }
            assert_eq!(shown, value.map(Value::serial), "changed under a reader");
            let mut value = || {
                let value = ledger.value();
                stored = Some(value.serial());
                value
            };
            match change {
                Change::Keep => Update::Keep,
                Change::Set => Update::Set(value()),
                Change::SetWithTtl(life) => Update::SetWithTtl(value(), life.ttl()),
                Change::Remove => Update::Remove,
            }
        });
        let before = self.find(key);
        match nested {
            Some((other, true)) => {
                // What the closure was shown last tells whether its own key went, which the update may have taken out since. One that
                // keeps everything runs once, and takes nothing out.
                let went = match change {
                    Change::Keep => self.cache.peek(name(key).as_str()).is_none(),
                    _ => shown.is_none(),
                };
                self.updated = Some((key % KEYS, before.is_some() && went));
                self.insert(other, inserted.expect("the closure ran"), self.ttl);
                self.updated = None;
            }
            Some((other, false)) => {
                self.remove(other);
            }
            None => {}
        }
        let current = self.find(key);
        let writes = match change {
            Change::Keep => false,
            Change::Set => true,
            Change::SetWithTtl(life) => life.ttl() != Ttl::After(Duration::ZERO),
            Change::Remove => false,
        };
        let removes = !writes && !matches!(change, Change::Keep);
        if removes && before.is_none() && current.is_some() {
            // There was nothing to remove when the closure said so: as if the update had come before the insertion.
            assert!(!updated);
            return;
        }
        let expected = if writes { current } else { before };
        if writes || removes && current.is_some() {
            assert_eq!(shown, current.map(|it| it.serial));
        } else if matches!(change, Change::Keep) {
            assert_eq!(shown, expected.map(|it| it.serial));
        }
        let is_pinned = current.is_some_and(|it| it.is_pinned);
        let mut is_stored = writes;
        match change {
            Change::Set => {
                let serial = stored.expect("the closure ran");
                is_stored = match current {
                    Some(current) => self.put(key, serial, current.limit, is_pinned),
                    None => self.insert(key, serial, self.ttl),
                }
                .is_stored();
            }
            Change::SetWithTtl(life) => {
                let serial = stored.expect("the closure ran");
                is_stored = self
                    .insert_as(key, serial, life.ttl(), is_pinned)
                    .is_stored();
            }
            Change::Remove => {
                self.remove(key);
            }
            Change::Keep => {}
        }
        let gone = !is_stored && !matches!(change, Change::Keep);
        assert_eq!(updated, is_stored || gone && current.is_some());
    }
}
