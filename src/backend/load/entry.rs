//! What is stored of what was loaded, and what those who wait get.

use super::call::Call;
use super::context::Effects;
use crate::backend::kept::{LONGEST_TAG, LONGEST_VALIDATOR, MOST_TAGS, Meta, Times};
use crate::backend::typed::write;
use crate::backend::value::to_integer;
use crate::backend::{CacheBackend, Cacheable, Value, wall};
use crate::error::Error;
use crate::time::Ttl;
use std::time::Duration;

const ZERO: Ttl = Ttl::After(Duration::ZERO);

/// What a load has got.
pub(super) struct Entry {
    /// For all who wait.
    pub(super) answer: Value,
    /// With how long it stays in the store; `None` if nothing is to be written.
    pub(super) stored: Option<(Value, Ttl)>,
}

/// What was there before the load.
pub(super) struct Before<'m> {
    pub(super) meta: Option<&'m Meta>,
    pub(super) is_there: bool,
}

impl Entry {
    /// # Errors
    /// If the codec cannot represent the value, or the validator is too long.
    pub(super) fn new<B, T>(
        call: &Call<'_, B>,
        value: Option<T>,
        effects: Effects,
        before: Before<'_>,
    ) -> Result<Self, Error>
    where
        B: CacheBackend + ?Sized,
        T: Cacheable,
    {
        let is_stored = !(call.options.skip_write || effects.is_not_cached);
        let mut entry = match value {
            Some(value) => Self::of_value(call, value, effects, before)?,
            None => Self::of_none(call, &effects, before)?,
        };
        entry.stored = entry.stored.filter(|_| is_stored);
        Ok(entry)
    }

    fn of_value<B, T>(
        call: &Call<'_, B>,
        value: T,
        effects: Effects,
        before: Before<'_>,
    ) -> Result<Self, Error>
    where
        B: CacheBackend + ?Sized,
        T: Cacheable,
    {
        let (backend, options) = (call.backend, call.options);
        let ttl = effects.ttl.or(options.ttl);
        let ttl = ttl.unwrap_or_else(|| backend.default_ttl());
        let ttl = shortened(ttl, options.jitter, || backend.flights().random_share());
        let before = before.meta.filter(|_| effects.is_not_modified);
        let mut tags = call.tags.to_boxed();
        let mut validator = effects.validator;
        if let Some(before) = before {
            validator = validator.or_else(|| before.validator.clone());
            if tags.is_empty() {
                tags = before.tags.clone();
            }
        }
        let is_kept = options.keeps() || validator.is_some() || !tags.is_empty();
        if !is_kept || ttl == ZERO {
            let (answer, stored) = plain(backend, call.key, value)?;
            let stored = Some((stored, ttl));
            return Ok(Self { answer, stored });
        }
        if validator
            .as_ref()
            .is_some_and(|text| text.len() > LONGEST_VALIDATOR)
        {
            let text = format!("the validator is longer than {LONGEST_VALIDATOR} bytes");
            return Err(Error::encoding(text));
        }
        let meta = Meta {
            times: Times::new(wall::now(backend), ttl, false),
            validator,
            tags,
        };
        let (answer, stored) = match backend.codec() {
            None => {
                let answer = Value::new(value)?;
                (answer.clone(), answer.kept(meta))
            }
            Some(codec) => {
                let integer = to_integer(&value);
                let stored = codec.encode_kept(call.key, &value, integer, &meta)?;
                (write::shared(value), stored)
            }
        };
        let stored = Some((stored, longer(ttl, options.window())));
        Ok(Self { answer, stored })
    }

    /// There is no value. If that is not to be remembered, what was there is removed.
    fn of_none<B>(call: &Call<'_, B>, effects: &Effects, before: Before<'_>) -> Result<Self, Error>
    where
        B: CacheBackend + ?Sized,
    {
        let answer = none(0, Ttl::Never).1;
        let stored = match effects.ttl.or(call.options.negative_ttl) {
            Some(ttl) if ttl != ZERO => {
                let (meta, value) = none(wall::now(call.backend), ttl);
                let stored = match call.backend.codec() {
                    None => value,
                    Some(codec) => codec.encode_kept(call.key, &0_i64, Some(0), &meta)?,
                };
                Some((stored, ttl))
            }
            _ => before.is_there.then(|| (Value::integer(0), ZERO)),
        };
        Ok(Self { answer, stored })
    }
}

/// A value for all who wait, and as it is stored where nothing is kept beside it.
pub(super) fn plain<B, T>(backend: &B, key: &str, value: T) -> Result<(Value, Value), Error>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
{
    if backend.codec().is_none() {
        let answer = Value::new(value)?;
        return Ok((answer.clone(), answer));
    }
    let stored = write::cloned(backend, key, &value)?;
    // Those who wait are not to decode it again.
    Ok((write::shared(value), stored))
}

/// What stands for no value.
fn none(now: u64, ttl: Ttl) -> (Meta, Value) {
    let meta = Meta::new(Times::new(now, ttl, true));
    let value = Value::integer(0).kept(meta.clone());
    (meta, value)
}

fn shortened(ttl: Ttl, jitter: f64, random: impl FnOnce() -> f64) -> Ttl {
    match ttl {
        Ttl::After(ttl) if jitter > 0.0 && !ttl.is_zero() => {
            let share = (1.0 - jitter * random()).clamp(0.0, 1.0);
            // Not zero: that would store nothing.
            let millis = (ttl.as_millis() as f64 * share) as u64;
            Ttl::After(Duration::from_millis(millis.max(1)).min(ttl))
        }
        _ => ttl,
    }
}

fn longer(ttl: Ttl, window: Duration) -> Ttl {
    match ttl {
        Ttl::After(ttl) => Ttl::After(ttl.saturating_add(window)),
        Ttl::Never => Ttl::Never,
    }
}

/// # Errors
/// If there are too many tags, or one is too long.
#[inline]
pub(super) fn check_tags(tags: &[&str]) -> Result<(), Error> {
    if tags.len() > MOST_TAGS {
        let allowed = format!("{MOST_TAGS} at most");
        return Err(Error::invalid_config(
            "the number of tags",
            tags.len(),
            allowed,
        ));
    }
    match tags.iter().find(|tag| tag.len() > LONGEST_TAG) {
        Some(tag) => {
            let allowed = format!("{LONGEST_TAG} bytes at most");
            Err(Error::invalid_config(
                "the length of a tag",
                tag.len(),
                allowed,
            ))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_live_are_shortened_by_a_share_and_never_to_nothing() {
        let second = Ttl::After(Duration::from_secs(1));
        let of = |jitter, random: f64| shortened(second, jitter, || random);
        assert_eq!(of(0.0, 1.0), second);
        assert_eq!(of(0.1, 0.0), second);
        assert_eq!(of(0.1, 1.0), Ttl::After(Duration::from_millis(900)));
        assert_eq!(of(1.0, 1.0), Ttl::After(Duration::from_millis(1)));
        let tiny = Ttl::After(Duration::from_nanos(1));
        assert_eq!(shortened(tiny, 1.0, || 0.5), tiny);
        assert_eq!(shortened(ZERO, 1.0, || 0.5), ZERO);
        assert_eq!(shortened(Ttl::Never, 1.0, || 0.5), Ttl::Never);
        let max = Ttl::After(Duration::MAX);
        assert!(matches!(shortened(max, 0.5, || 0.5), Ttl::After(_)));
        assert_eq!(longer(max, Duration::MAX), max);
    }
}
