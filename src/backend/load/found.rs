//! What a leader finds when it looks once more, and what follows from that.

use super::call::{Call, Looked, Next};
use super::decide::Seen;
use super::outcome::Answer;
use crate::backend::lease::Lease;
use crate::backend::{CacheBackend, Cacheable, Value};
use crate::error::Error;

/// Why somebody leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To have an answer.
    Answer,
    /// To replace what the caller was answered with.
    Refresh,
}

/// What a leader finds.
pub(super) struct Found<T> {
    /// What is to be replaced.
    pub(super) stored: Option<Value>,
    /// By a tag: it is there only to be replaced.
    pub(super) is_removed: bool,
    pub(super) looked: Looked<T>,
    /// If this process loads for all others.
    pub(super) lease: Option<Lease>,
}

pub(super) enum Examined<T> {
    /// There is no need to load any more.
    Answer(Answer<Option<T>>),
    Found(Found<T>),
}

impl<T: Cacheable> Found<T> {
    pub(super) fn nothing() -> Self {
        Self::with(None, false, Looked::nothing())
    }

    pub(super) fn unread(error: Error) -> Self {
        let looked = Looked {
            unread: Some(error),
            ..Looked::nothing()
        };
        Self::with(None, false, looked)
    }

    fn with(stored: Option<Value>, is_removed: bool, looked: Looked<T>) -> Self {
        Self {
            stored,
            is_removed,
            looked,
            lease: None,
        }
    }

    pub(super) fn examined<B>(
        call: &Call<'_, B>,
        stored: Option<Value>,
        is_removed: bool,
        purpose: Purpose,
    ) -> Result<Examined<T>, Error>
    where
        B: CacheBackend + ?Sized,
    {
        let mut looked = Looked::nothing();
        if let Some(found) = stored.as_ref().filter(|_| !is_removed) {
            match call.open(found) {
                Ok(opened) => (looked.seen, looked.value) = opened,
                Err(error) if call.is_strict() && !call.options.skip_read => {
                    return Err(call.named(error));
                }
                // What we came upon before, most likely, and counted then.
                Err(_) => looked.seen = Seen::Missing,
            }
        }
        if call.options.skip_read {
            return Ok(Examined::Found(Self::with(stored, is_removed, looked)));
        }
        Ok(match (call.next(looked)?, purpose) {
            (Next::Load(looked), _) | (Next::Refresh(looked, _), Purpose::Refresh) => {
                Examined::Found(Self::with(stored, is_removed, looked))
            }
            (Next::Refresh(looked, outcome), Purpose::Answer) => {
                Examined::Answer(looked.answer(outcome))
            }
            (Next::Answer(answer), _) => Examined::Answer(answer),
        })
    }
}

/// Whether what is stored has been removed by one of its tags.
pub(super) async fn is_removed<B>(call: &Call<'_, B>, stored: Option<&Value>) -> Result<bool, Error>
where
    B: CacheBackend + ?Sized,
{
    match stored {
        Some(value) => Ok(!call.holds(value).await?),
        None => Ok(false),
    }
}
