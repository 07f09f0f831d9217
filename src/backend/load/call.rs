//! [`Call`]: one load's settings; and what it sees in the store.

use super::decide::{Decision, Facts, Seen, decide, is_hit};
use super::glance::{Glance, Glancing, Rest};
use super::options::LoadOptions;
use super::outcome::{Answer, Outcome};
use crate::backend::flights::{Event, Failure};
use crate::backend::tag::Tag;
use crate::backend::typed::{read, tags};
use crate::backend::{CacheBackend, Cacheable, Flights, Value, alarm, wall};
use crate::error::Error;

/// One load: what it is for, and how it goes.
pub(super) struct Call<'c, B: ?Sized> {
    pub(super) backend: &'c B,
    pub(super) key: &'c str,
    pub(super) options: &'c LoadOptions,
    pub(super) tags: Tags<'c>,
    /// What errors call it.
    pub(super) operation: &'static str,
    /// What a loader fails with, if that is not the type of its errors here.
    pub(super) error_type: Option<&'static str>,
    /// Whether it may have no value.
    pub(super) is_optional: bool,
    pub(super) has_background: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Tags<'c> {
    Borrowed(&'c [&'c str]),
    Owned(&'c [Box<str>]),
}

impl Tags<'_> {
    pub(super) fn is_empty(self) -> bool {
        match self {
            Self::Borrowed(tags) => tags.is_empty(),
            Self::Owned(tags) => tags.is_empty(),
        }
    }

    pub(super) fn to_boxed(self) -> Box<[Box<str>]> {
        match self {
            Self::Borrowed(tags) => tags.iter().map(|tag| (*tag).into()).collect(),
            Self::Owned(tags) => tags.into(),
        }
    }
}

/// What a look at the store came to.
pub(super) struct Looked<T> {
    pub(super) seen: Seen,
    /// `None` too if what was seen stands for no value.
    pub(super) value: Option<T>,
    /// Why the store could not be read.
    pub(super) unread: Option<Error>,
}

impl<T> Looked<T> {
    #[inline]
    pub(super) fn nothing() -> Self {
        Self {
            seen: Seen::Missing,
            value: None,
            unread: None,
        }
    }

    #[inline]
    pub(super) fn answer(self, outcome: Outcome) -> Answer<Option<T>> {
        Answer {
            store_error: self.unread,
            ..Answer::new(self.value, outcome)
        }
    }

    /// Whether what was seen is there for when a load fails, or takes too long.
    pub(super) fn is_safe<B>(&self, call: &Call<'_, B>) -> bool
    where
        B: CacheBackend + ?Sized,
    {
        call.options.fail_safe.is_set() && self.seen.is_safe(call.options, wall::now(call.backend))
    }

    /// What there is to answer with when a load has failed, or takes too long. What is last known of a store that cannot be read is
    /// looked at only now: while the loader ran, it may have become known to be out of date.
    pub(super) fn into_safe<B>(self, call: &Call<'_, B>) -> Option<Self>
    where
        B: CacheBackend + ?Sized,
        T: Cacheable,
    {
        if self.unread.is_none() || matches!(self.seen, Seen::Kept(_)) {
            return self.is_safe(call).then_some(self);
        }
        let (seen, value) = call.last_known()?;
        Some(Self {
            seen,
            value,
            ..self
        })
    }

    /// What a caller gets whose load has failed.
    pub(super) fn or_fail<B, E>(
        self,
        call: &Call<'_, B>,
        shown: Error,
        error: impl FnOnce() -> E,
    ) -> Result<Answer<Option<T>>, E>
    where
        B: CacheBackend + ?Sized,
        T: Cacheable,
    {
        let Some(safe) = self.into_safe(call) else {
            return Err(error());
        };
        call.flights().tally().count(Event::FailSafe);
        Ok(safe.answer(Outcome::FailSafe(shown)))
    }
}

/// What follows from a look.
pub(super) enum Next<T> {
    Answer(Answer<Option<T>>),
    /// Answer with this, and refresh in the background.
    Refresh(Looked<T>, Outcome),
    Load(Looked<T>),
}

impl<B: CacheBackend + ?Sized> Call<'_, B> {
    pub(super) fn flights(&self) -> &Flights {
        self.backend.flights()
    }

    pub(super) fn named(&self, error: Error) -> Error {
        error.during(self.operation, Some(self.key))
    }

    pub(super) fn is_strict(&self) -> bool {
        self.options.strict || self.backend.is_strict()
    }

    /// Looks into this process's memory once more.
    #[inline(never)]
    fn glance<T: Cacheable>(&self) -> Glance<T> {
        let glancing = Glancing {
            backend: self.backend,
            key: self.key,
            options: self.options,
            is_optional: self.is_optional,
            has_background: self.has_background,
        };
        let mut rest = Rest::Nothing;
        match glancing.hit(&mut rest) {
            Some(hit) if matches!(rest, Rest::Refreshing) => Glance::Refreshing(hit),
            Some(hit) => Glance::Hit(hit),
            None => glancing.beyond(rest),
        }
    }

    /// Looks into the store, and decides.
    pub(super) async fn look<T: Cacheable>(&self) -> Result<Next<T>, Error> {
        let glance = self.glance();
        self.look_from(glance).await
    }

    /// As [`look`](Self::look), after a glance.
    pub(super) async fn look_from<T: Cacheable>(
        &self,
        glance: Glance<T>,
    ) -> Result<Next<T>, Error> {
        let mut looked = Looked::nothing();
        let other = match glance {
            Glance::Hit(value) => return Ok(Next::Answer(Answer::new(value, Outcome::Hit))),
            Glance::Refreshing(value) => return Ok(Next::Answer(Answer::refreshing(value))),
            _ if self.options.skip_read => return Ok(Next::Load(looked)),
            Glance::Other(found) => found,
            Glance::Unknown => match self.backend.get_value(self.key).await {
                Ok(found) => found,
                Err(error) => {
                    looked.unread = Some(self.without_store(error)?);
                    None
                }
            },
        };
        if let Some(found) = other {
            match self.holds(&found).await {
                Ok(true) => (looked.seen, looked.value) = self.open_slow(&found)?,
                Ok(false) => {}
                Err(error) => looked.unread = Some(self.without_store(error)?),
            }
        }
        if looked.unread.is_some()
            && let Some((seen, value)) = self.last_known()
        {
            (looked.seen, looked.value) = (seen, value);
        }
        self.next(looked)
    }

    /// As [`look_from`](Self::look_from), but where there is something to go away with, a store that is slow is waited for no longer than
    /// the soft timeout.
    pub(super) async fn look_briefly<T: Cacheable>(
        &self,
        glance: Glance<T>,
    ) -> Result<Next<T>, Error> {
        let limit = self.options.soft_timeout;
        let limit = limit
            .get()
            .filter(|_| self.has_background && !self.options.skip_read);
        let Some(limit) = limit.filter(|_| self.last_known::<T>().is_some()) else {
            return self.look_from(glance).await;
        };
        let looking = self.look_from(glance);
        if let Some(next) = alarm::until(alarm::after(limit), looking).await {
            return next;
        }
        let Some((seen, value)) = self.last_known() else {
            // It is out of date by now.
            return self.look().await;
        };
        let slow = Error::timeout(format!("the store took longer than {limit:?}"));
        let unread = Some(self.without_store(slow)?);
        let looked = Looked {
            seen,
            value,
            unread,
        };
        Ok(Next::Refresh(looked, Outcome::TimedOut))
    }

    /// What was in the store as far as is known in this process, for when it cannot be read: if fail-safe allows it, and its tags have not
    /// been removed, as far as that is known.
    #[cold]
    fn last_known<T: Cacheable>(&self) -> Option<(Seen, Option<T>)> {
        if !self.options.fail_safe.is_set() || self.options.strict {
            return None;
        }
        let known = self.backend.last_known(self.key)?;
        let seen = Seen::LastKnown(known.times());
        if !seen.is_safe(self.options, wall::now(self.backend))
            || !tags::held_last(self.backend, &known)
        {
            return None;
        }
        // What this load cannot read is none for it.
        let (_, value) = self.open(&known).ok()?;
        (value.is_some() || self.is_optional).then_some((seen, value))
    }

    /// Whether what was found, or what another has loaded, has not been removed by one of its tags.
    ///
    /// # Errors
    /// What the store fails with.
    #[inline]
    pub(super) async fn holds(&self, value: &Value) -> Result<bool, Error> {
        if !value.is_tagged() {
            return Ok(true);
        }
        let holds = tags::hold(self.backend, value).await;
        holds.map_err(|error| error.renamed(self.operation, self.key))
    }

    /// The tags of what is loaded from now on, with their versions. `None` if the store does not say what these are: then nothing may
    /// be stored.
    ///
    /// # Errors
    /// As [`without_store`](Self::without_store); and if there are too many tags, or one is too long.
    pub(super) async fn versions<T>(
        &self,
        looked: &mut Looked<T>,
    ) -> Result<Option<Box<[Tag]>>, Error> {
        if self.tags.is_empty() && self.backend.entry_tags().is_empty() {
            return Ok(Some(Box::default()));
        }
        if looked.unread.is_some() {
            return Ok(None);
        }
        let current = match self.tags {
            Tags::Borrowed(names) => Box::pin(tags::current(self.backend, names)).await,
            Tags::Owned(names) => Box::pin(tags::current(self.backend, names)).await,
        };
        let error = match current {
            Ok(tags) => return Ok(Some(tags)),
            Err(error) => error.renamed(self.operation, self.key),
        };
        if error.is_invalid_config() {
            return Err(error);
        }
        looked.unread = Some(self.without_store(error)?);
        Ok(None)
    }

    /// An error of the store that is no obstacle.
    ///
    /// # Errors
    /// The error, if it is one.
    pub(super) fn without_store(&self, error: Error) -> Result<Error, Error> {
        let error = self.named(error);
        if self.options.strict || error.is_closed() {
            return Err(error);
        }
        self.flights().tally().count(Event::Unread);
        Ok(error)
    }

    #[cold]
    fn open_slow<T: Cacheable>(&self, found: &Value) -> Result<(Seen, Option<T>), Error> {
        let read = self.open(found);
        let (strict, backend, key) = (self.is_strict(), self.backend, self.key);
        let opened = read::or_miss_unless(strict, backend, "get", key, read)?;
        Ok(opened.unwrap_or((Seen::Missing, None)))
    }

    /// What was found, as this load reads it.
    pub(super) fn open<T: Cacheable>(&self, found: &Value) -> Result<(Seen, Option<T>), Error> {
        match found.times() {
            None => Ok((Seen::Plain, Some(found.to_once()?))),
            Some(times) if !times.is_negative => Ok((Seen::Kept(times), Some(found.to_once()?))),
            Some(times) => {
                // Where it is encrypted, this authenticates it.
                found.to_once::<i64>()?;
                Ok((Seen::Kept(times), None))
            }
        }
    }

    /// What follows from what was seen.
    #[inline]
    pub(super) fn next<T>(&self, mut looked: Looked<T>) -> Result<Next<T>, Error> {
        if !self.is_optional && looked.value.is_none() {
            looked.seen = Seen::Missing;
        }
        let (facts, failure) = self.facts(looked.seen);
        Ok(match decide(facts, self.options) {
            Decision::Hit => Next::Answer(looked.answer(Outcome::Hit)),
            Decision::HitAndRefresh => Next::Refresh(looked, Outcome::Hit),
            Decision::StaleAndRefresh => Next::Refresh(looked, Outcome::Stale),
            Decision::Stale => Next::Answer(looked.answer(Outcome::Stale)),
            Decision::FailSafe => {
                self.flights().tally().count(Event::FailSafe);
                let outcome = Outcome::FailSafe(self.failed(failure));
                Next::Answer(looked.answer(outcome))
            }
            Decision::Fail => return Err(self.failed(failure)),
            Decision::Load => Next::Load(looked),
        })
    }

    #[cold]
    fn failed(&self, failure: Option<Failure>) -> Error {
        let text = failure.map_or_else(String::new, |failure| failure.text.to_string());
        self.named(Error::load(text))
    }

    /// What a decision is made of. The clock is looked at once at most, unless a load of the key has failed.
    #[inline]
    fn facts(&self, seen: Seen) -> (Facts, Option<Failure>) {
        let mut facts = Facts {
            seen,
            now: 0,
            failed_at: None,
            has_background: self.has_background,
        };
        match seen {
            Seen::Plain => return (facts, None),
            Seen::Kept(times) => {
                let is_hit = |now| is_hit(times, self.options, self.has_background, now);
                facts.now = wall::now_while(self.backend, is_hit);
                if is_hit(facts.now) {
                    return (facts, None);
                }
            }
            Seen::Missing | Seen::LastKnown(_) => {}
        }
        let failure = self.flights().failures().last(self.key);
        if let Some(failure) = &failure {
            facts.now = wall::now(self.backend);
            facts.failed_at = Some(failure.at);
        }
        (facts, failure)
    }
}
