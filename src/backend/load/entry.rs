//! What is stored of what was loaded, and what those who wait get.

use super::call::Call;
use super::context::Effects;
use crate::backend::kept::{LONGEST_VALIDATOR, Meta, Times};
use crate::backend::tag::{self, Tag};
use crate::backend::typed::{tags, write};
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
    /// The tags of what is loaded, with the versions that they had before. `None` if these are not known: then nothing is stored.
    pub(super) tags: Option<Box<[Tag]>>,
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
        let is_stored =
            before.tags.is_some() && !(call.options.skip_write || effects.is_not_cached);
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
        let ttl = effects.ttl.or(options.ttl.get());
        let ttl = ttl.unwrap_or_else(|| backend.default_ttl());
        let ttl = shortened(ttl, options.jitter, || backend.flights().random_share());
        let mut tags = before.tags.unwrap_or_default();
        let mut validator = effects.validator;
        if let Some(before) = before.meta.filter(|_| effects.is_not_modified) {
            validator = validator.or_else(|| before.validator.clone());
            if call.tags.is_empty() {
                // Their versions were looked at before the loader ran.
                tags = united(tags, &before.tags)?;
            }
        }
        let is_kept = options.keeps() || validator.is_some() || !tags.is_empty();
        if !is_kept || ttl == ZERO {
            let meta = tags::beside(backend, &tags);
            let (answer, stored) = both(backend, call.key, value, meta)?;
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
            validator,
            ..Meta::new(Times::new(wall::now(backend), ttl, false)).tagged(tags)
        };
        let (answer, stored) = both(backend, call.key, value, Some(meta))?;
        let stored = Some((stored, longer(ttl, options.window())));
        Ok(Self { answer, stored })
    }

    /// There is no value. If that is not to be remembered, what was there is removed.
    fn of_none<B>(call: &Call<'_, B>, effects: &Effects, before: Before<'_>) -> Result<Self, Error>
    where
        B: CacheBackend + ?Sized,
    {
        let tags = before.tags.unwrap_or_default();
        let answer = none(0, Ttl::Never, tags.clone()).1;
        let stored = match effects.ttl.or(call.options.negative_ttl.get()) {
            Some(ttl) if ttl != ZERO => {
                let (meta, value) = none(wall::now(call.backend), ttl, tags);
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
    let stored = write::cloned(backend, key, &value, None)?;
    // Those who wait are not to decode it again.
    Ok((write::shared(value), stored))
}

/// As [`plain`], with what is kept beside it. Those who wait get its tags, too.
pub(super) fn both<B, T>(
    backend: &B,
    key: &str,
    value: T,
    meta: Option<Meta>,
) -> Result<(Value, Value), Error>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
{
    let Some(meta) = meta else {
        return plain(backend, key, value);
    };
    let is_tagged = meta.times.is_tagged;
    let Some(codec) = backend.codec() else {
        let plain = Value::new(value)?;
        let stored = plain.clone().kept(meta);
        let answer = if is_tagged { stored.clone() } else { plain };
        return Ok((answer, stored));
    };
    let stored = codec.encode_kept(key, &value, to_integer(&value), &meta)?;
    let answer = write::shared(value);
    let answer = if is_tagged { answer.kept(meta) } else { answer };
    Ok((answer, stored))
}

/// # Errors
/// If these are too many.
fn united(tags: Box<[Tag]>, others: &[Tag]) -> Result<Box<[Tag]>, Error> {
    let mut all = tags.into_vec();
    for other in others {
        if !all.iter().any(|tag| tag.key() == other.key()) {
            all.push(other.clone());
        }
    }
    let names: Vec<&str> = all.iter().map(Tag::name).collect();
    tag::check_tags(&names)?;
    Ok(all.into())
}

/// What stands for no value.
fn none(now: u64, ttl: Ttl, tags: Box<[Tag]>) -> (Meta, Value) {
    let meta = Meta::new(Times::new(now, ttl, true)).tagged(tags);
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
