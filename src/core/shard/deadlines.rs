//! Deadlines: what is filed in the wheel, what moves them, and what is taken out as they have passed.

use super::Seen;
use super::locked::{Locked, Refused};
use super::needs::Special;
use super::reuse::Vacant;
use crate::core::budget::Token;
use crate::core::life::INHERITED;
use crate::core::listener::RemovalCause;
use crate::core::meta::NEVER;
use crate::core::wheel::{IDLE, Wheel};

/// How many entries of the wheel each write takes out or moves on.
pub(super) const WORK: u32 = 4;

impl<'s, 'c, K, V> Locked<'s, '_, 'c, K, V> {
    /// As [`Locked::set_limit`], where an entry takes the place of another one, whose limit it may inherit. Says whether that had expired.
    pub(super) fn limit_after(&mut self, id: u32, before: u64, limit: u64, old: u32) -> bool {
        let old = self.slots().life(old);
        let expired = old.has_expired(self.context.now);
        let inherited = old.limit().get().deadline();
        let limit = if limit == INHERITED { inherited } else { limit };
        self.set_limit(id, before, limit);
        expired
    }

    /// Sets the limit of an entry whose slot is filled, and is not filed yet.
    pub(super) fn set_limit(&mut self, id: u32, before: u64, limit: u64) {
        let slots = self.slots();
        let life = slots.life(id);
        let word = life.limit();
        let before = before.min(word.get().deadline());
        word.set(word.get().with_deadline(limit));
        // What readers look at first is filed when the entry is linked, and that will do unless the limit comes before it. To file what comes
        // later would make it look as if the slot were filed early enough.
        let first = slots.slot(id).word().get().deadline();
        if limit < first && Wheel::is_needed(&slots.slot(id).timer, limit, before) {
            self.file_in_wheel(id, limit);
        }
    }

    /// Moves the deadlines of a key's entry: the limit, and the idle deadline, if there is one, further ahead. True if it was still alive;
    /// refused means to look again.
    pub(crate) fn revise(
        &mut self,
        seen: Seen,
        (limit, idle): (u64, Option<u64>),
    ) -> Result<bool, Refused> {
        self.expire(WORK);
        let stands = self.locate(seen, &[])?.is_some();
        let Some(id) = seen.id().filter(|_| stands) else {
            return Ok(false);
        };
        let (slots, now) = (self.slots(), self.context.now);
        let life = slots.life(id);
        if life.has_expired(now) {
            return Ok(false);
        }
        if let (Some(word), Some(idle)) = (life.idle(), idle) {
            let later = |old: u64| (idle > old).then_some(idle);
            if word.shift(now, later).is_none() {
                return Ok(false);
            }
        }
        let Some(before) = life.limit().shift(now, |_| Some(limit)) else {
            return Ok(false);
        };
        if Wheel::is_needed(&slots.slot(id).timer, limit, before) {
            self.apart(move |it| it.file_in_wheel(id, limit));
        }
        Ok(true)
    }

    /// Files an entry in the wheel under its first deadline, if it has to be.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn schedule(&mut self, vacant: &Vacant<'_, K, V>, deadline: u64) {
        if Wheel::is_needed(&vacant.slot.timer, deadline, vacant.before) {
            let id = vacant.id;
            self.apart(move |it| it.file_in_wheel(id, deadline));
        }
    }

    fn file_in_wheel(&mut self, id: u32, deadline: u64) {
        let slots = self.slots();
        self.inner.wheel.file(id, deadline, &slots);
        self.publish_due();
    }

    /// Takes out one expired entry, with at most `work` steps of the wheel, and returns its token.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn expire_one(&mut self, work: &mut u32) -> Option<Token<'c>> {
        if self.context.now < self.inner.wheel.next_due() {
            return None;
        }
        self.expire_one_slow(work)
    }

    fn expire_one_slow(&mut self, work: &mut u32) -> Option<Token<'c>> {
        let expired = {
            let slots = self.slots();
            self.inner.wheel.poll(self.context.now, work, &slots)
        };
        self.publish_due();
        let id = expired?;
        self.inner.counts.expirations += 1;
        let (token, _) = self.take_out::<Special>(id, RemovalCause::Expired);
        self.drain(1);
        Some(token)
    }

    /// Takes out expired entries, with at most `work` steps of the wheel; says how many.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn expire(&mut self, work: u32) -> usize {
        if self.context.now < self.inner.wheel.next_due() {
            return 0;
        }
        self.apart(move |it| {
            let mut work = work;
            std::iter::from_fn(|| it.expire_one(&mut work)).count()
        })
    }
}

const _: () = assert!(IDLE > NEVER);
