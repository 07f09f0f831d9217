//! A glance into this process's memory: nearly all loads are hits there, which allocate nothing, clone the value once, and are told
//! before anything else is thought of.

use super::decide::is_hit;
use super::options::LoadOptions;
use crate::backend::kept::Times;
use crate::backend::typed::tags;
use crate::backend::{CacheBackend, Cacheable, Value, wall};

/// What a glance came to.
pub(super) enum Glance<T> {
    /// There is a fresh value, or a fresh entry that stands for none, and that is all there is to say.
    Hit(Option<T>),
    /// The same, and though it is time to refresh it, that is under way.
    Refreshing(Option<T>),
    /// What else there is, or that there is nothing.
    Other(Option<Value>),
    /// The store is to be asked.
    Unknown,
}

/// What somebody glances at. It borrows what it needs and no more, so that a hit builds nothing else.
pub(super) struct Glancing<'c, B: ?Sized> {
    pub(super) backend: &'c B,
    pub(super) key: &'c str,
    pub(super) options: &'c LoadOptions,
    /// Whether there may be no value.
    pub(super) is_optional: bool,
    pub(super) has_background: bool,
}

impl<B: CacheBackend + ?Sized> Glancing<'_, B> {
    #[inline(always)]
    pub(super) fn glance<T: Cacheable>(&self) -> Glance<T> {
        if self.options.skip_read {
            return Glance::Other(None);
        }
        let (mut hit, mut other) = (None, None);
        let mut read = |value: &Value| {
            if let Some(value) = value.quick() {
                hit = Some(Some(value));
                return;
            }
            hit = match value.times_at_hand() {
                // Tags of which nothing is known are looked at when this read is over.
                Some(times) if self.is_hit(times) && self.holds(value, times) => self.kept(value),
                _ => None,
            };
            if hit.is_none() {
                other = Some(value.clone());
            }
        };
        if !self.backend.read_now(self.key, &mut read) {
            return Glance::Unknown;
        }
        match (hit, other) {
            (Some(hit), _) => Glance::Hit(hit),
            (None, Some(value)) => self.glance_closer(value),
            (None, None) => Glance::Other(None),
        }
    }

    /// The same, of what has tags, or is due and being refreshed already. Where that can be seen without waiting, it is a hit like any
    /// other.
    #[inline(never)]
    fn glance_closer<T: Cacheable>(&self, value: Value) -> Glance<T> {
        let Some(times) = value.times_at_hand() else {
            return Glance::Other(Some(value));
        };
        let is_hit = self.is_hit(times);
        if !is_hit && !self.is_being_refreshed(times) {
            return Glance::Other(Some(value));
        }
        if times.is_tagged {
            match tags::look_up_now(self.backend, &value, &value.tags()) {
                Some(true) => {}
                Some(false) => return Glance::Other(None),
                None => return Glance::Other(Some(value)),
            }
        }
        match self.kept(&value) {
            Some(kept) if is_hit => Glance::Hit(kept),
            Some(kept) => Glance::Refreshing(kept),
            None => Glance::Other(Some(value)),
        }
    }

    /// Whether it is fresh, and somebody loads it.
    fn is_being_refreshed(&self, times: Times) -> bool {
        self.has_background
            && times.is_fresh(wall::now_beside(self.backend, times.fresh_until))
            && self.backend.flights().is_loading(self.key)
    }

    /// Whether its tags are known to hold, if it has any.
    #[inline(always)]
    fn holds(&self, value: &Value, times: Times) -> bool {
        !times.is_tagged || tags::are_checked(self.backend, value)
    }

    /// Whether there is nothing to do about what has these times.
    #[inline(always)]
    fn is_hit(&self, times: Times) -> bool {
        wall::is_now(self.backend, |now| {
            is_hit(times, self.options, self.has_background, now)
        })
    }

    /// What is kept, if this load may have it, and need not decode it.
    #[inline(always)]
    fn kept<T: Cacheable>(&self, value: &Value) -> Option<Option<T>> {
        let kept = value.quick_kept()?;
        (kept.is_some() || self.is_optional).then_some(kept)
    }
}
