//! A glance into this process's memory: nearly all loads are hits there, which allocate nothing, clone the value once, and are told
//! before anything else is thought of.

use super::decide::is_hit;
use super::options::LoadOptions;
use crate::backend::kept::Times;
use crate::backend::refreshing::Refreshing;
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

/// What there is to say beside a hit at first sight, or without one.
pub(super) enum Rest {
    /// It is what it is, or the store is to be asked.
    Nothing,
    /// It is being refreshed.
    Refreshing,
    /// There is this, or nothing.
    Known(Option<Value>),
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
    /// A hit, if it is one at first sight; else `rest` is what there is.
    ///
    /// What is found goes from where it is shown to where it is returned, and nowhere between: each move of what has just been written in
    /// parts waits for them.
    #[inline(always)]
    pub(super) fn hit<T: Cacheable>(&self, rest: &mut Rest) -> Option<Option<T>> {
        if self.options.skip_read {
            *rest = Rest::Known(None);
            return None;
        }
        let (mut hit, mut other, mut is_refreshing) = (None, None, false);
        let mut read = |value: &Value| {
            if let Some(value) = value.quick() {
                hit = Some(Some(value));
                return;
            }
            hit = match value.times_at_hand() {
                // Tags of which nothing is known are looked at when this read is over.
                Some(times)
                    if self.needs_nothing(value, times, &mut is_refreshing)
                        && self.holds(value, times) =>
                {
                    self.kept(value)
                }
                _ => None,
            };
            if hit.is_none() {
                other = Some(value.clone());
            }
        };
        if self.backend.read_now(self.key, &mut read) {
            if hit.is_some() {
                if is_refreshing {
                    *rest = Rest::Refreshing;
                }
                return hit;
            }
            *rest = Rest::Known(other);
        }
        None
    }

    /// What there is if it is no hit at first sight. What has tags, or is due and being refreshed already, may be one all the same: where that
    /// can be seen without waiting.
    #[inline(never)]
    pub(super) fn beyond<T: Cacheable>(&self, rest: Rest) -> Glance<T> {
        match rest {
            Rest::Known(Some(value)) => self.look_closer(value),
            Rest::Known(None) => Glance::Other(None),
            Rest::Nothing | Rest::Refreshing => Glance::Unknown,
        }
    }

    fn look_closer<T: Cacheable>(&self, value: Value) -> Glance<T> {
        let Some(times) = value.times_at_hand() else {
            return Glance::Other(Some(value));
        };
        let is_hit = self.is_hit(times, wall::now(self.backend));
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
        !times.is_tagged || tags::are_known_to_hold(self.backend, value)
    }

    /// Whether there is nothing to do about it: it is fresh, and not due or being refreshed already.
    #[inline(always)]
    fn needs_nothing(&self, value: &Value, times: Times, is_refreshing: &mut bool) -> bool {
        wall::is_for_a_while(self.backend, |now| self.is_hit(times, now))
            || self.needs_nothing_yet(value, times, is_refreshing)
    }

    /// The same, of what may be due.
    #[inline(never)]
    fn needs_nothing_yet(&self, value: &Value, times: Times, is_refreshing: &mut bool) -> bool {
        let mark = value.refreshing().filter(|_| self.has_background);
        *is_refreshing = mark.is_some_and(Refreshing::is_under_way);
        if *is_refreshing {
            times.is_fresh(wall::now_beside(self.backend, times.fresh_until))
        } else {
            self.is_hit(times, wall::now(self.backend))
        }
    }

    #[inline(always)]
    fn is_hit(&self, times: Times, now: u64) -> bool {
        is_hit(times, self.options, self.has_background, now)
    }

    /// What is kept, if this load may have it, and need not decode it.
    #[inline(always)]
    fn kept<T: Cacheable>(&self, value: &Value) -> Option<Option<T>> {
        let kept = value.quick_kept()?;
        (kept.is_some() || self.is_optional).then_some(kept)
    }
}
