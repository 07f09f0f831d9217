//! Finding the response to a question.

use super::handle::{ObservedPurges, Storage};
use super::hash::fnv1a;
use super::own_keys;
use super::purge_bucket;
use super::purge_list::PurgeList;
use super::purge_marks::PurgeMarks;
use super::reading::{look, look_at_all, look_now, mark};
use crate::backend::Value;
use crate::error::Error;
use crate::response::entry::purge_count::PurgeCount;
use crate::response::entry::purge_number::PurgeNumber;
use crate::response::entry::signpost::Signpost;
use crate::response::entry::stored_response::StoredResponse;
use crate::response::entry::tag_purges::TagPurges;
use crate::response::http::text::ShortText;
use crate::response::request::question::Question;
use http::header::HeaderName;
use std::sync::Arc;

/// What is known about a question's key.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    /// The answer, if there is one.
    pub(crate) stored: Option<Arc<StoredResponse>>,
    /// Whether there is something under the key, but it answers other questions.
    pub(crate) has_others: bool,
    pub(crate) signpost: Option<Signpost>,
    pub(crate) observed: ObservedPurges,
    pub(super) purges: PurgeList,
}

/// What lies in the backend for a question, where a lookup begins.
struct FirstLook {
    /// What lies under the key, unless it is purged.
    plain: Option<Arc<StoredResponse>>,
    signpost: Option<Value>,
    purges: PurgeList,
    observed: ObservedPurges,
}

impl Lookup {
    /// What is known where the backend cannot be asked: what this layer knows of purges has to do.
    pub(crate) fn blind(observed: ObservedPurges) -> Self {
        Self {
            observed,
            purges: PurgeList::of_everything(observed.last),
            ..Self::default()
        }
    }

    fn new(question: &Question, found: FirstLook) -> Self {
        let FirstLook {
            plain,
            signpost,
            purges,
            observed,
        } = found;
        let has_others = plain.is_some();
        let stored = plain.filter(|stored| stored.matches(question));
        let signpost = if stored.is_none() {
            read_signpost(signpost)
        } else {
            None
        };
        Self {
            stored,
            has_others,
            signpost,
            observed,
            purges,
        }
    }

    /// Where to look next.
    pub(super) fn variant_key(&self, question: &Question) -> Option<String> {
        let names = &self.signpost.as_ref()?.names;
        Some(variant_key(question, names))
    }

    /// The same with what lies there.
    fn with_variant(mut self, question: &Question, variant: Option<Arc<StoredResponse>>) -> Self {
        let family = self.signpost.as_ref().map(|signpost| signpost.family);
        self.stored = variant.filter(|stored| {
            Some(stored.family()) == family
                && stored.matches(question)
                && !self.purges.hides(question.key.as_str(), stored)
        });
        self.has_others |= self.stored.is_none();
        self
    }

    /// The same without the variant that was found, because it is purged.
    fn without_variant(self) -> Self {
        Self {
            stored: None,
            has_others: true,
            ..self
        }
    }
}

impl Storage {
    /// The response that lies under a question's key itself, if it answers the question and the look takes no waiting.
    pub(crate) fn find_plain(&self, question: &Question) -> Option<Arc<StoredResponse>> {
        let backend = self.backend().ok()?;
        let key = question.key.as_str();
        let mut found = None;
        backend.read_now(key, &mut |value| {
            let stored = value.downcast_ref::<StoredResponse>();
            if stored.is_some_and(|stored| stored.matches(question)) {
                found = value.to_shared::<StoredResponse>().ok();
            }
        });
        let stored = found?;
        // A list that does not reach to what this response or this layer has observed has lost something.
        let mut is_purged = stored.observed_purge > PurgeNumber::NONE;
        let mut last = PurgeNumber::NONE;
        let is_known = backend.read_now(own_keys::PURGE_LIST, &mut |value| {
            (is_purged, last) = match value.downcast_ref::<PurgeList>() {
                Some(purges) => (purges.hides(key, &stored), purges.last()),
                // Another process has written it. It has to be decoded, which is not done here.
                None => (true, PurgeNumber::NONE),
            };
        });
        if stored.has_tags() && !self.holds_for_sure(&**backend, &stored) {
            return None;
        }
        // Not all of a backend need be in memory.
        (is_known && !is_purged && !self.shared.known.goes_beyond(last)).then_some(stored)
    }

    /// What lies under a question's key, unless the list has a purge of it.
    fn read_plain(
        &self,
        question: &Question,
        value: Option<Value>,
        purges: &PurgeList,
    ) -> Option<Arc<StoredResponse>> {
        let plain = self.read(value);
        plain.filter(|stored| !purges.hides(question.key.as_str(), stored))
    }

    /// As [`find`](Self::find), if that takes no waiting. `None` if it does, or fails.
    pub(crate) fn find_now(&self, question: &Question) -> Option<Lookup> {
        let backend = &**self.backend().ok()?;
        let bucket = purge_bucket::of(question.key.as_str());
        let known = self.known_purges_in(bucket);
        let mark_key = own_keys::purge_mark(bucket);
        let values = look_now(backend, first_keys(question, &mark_key))?;
        let [plain, signpost, purges, stored_mark, count] = values;
        let purges = self.read_purges(purges, known.last).ok()?;
        let count = self.read_count(count.as_ref(), known.tags.stored).ok()?;
        let mut plain = self.read_plain(question, plain, &purges);
        if let Some(stored) = plain.as_ref().filter(|stored| stored.matches(question))
            && !self.holds_now(backend, stored, count)?
        {
            plain = None;
        }
        let first = FirstLook {
            plain,
            signpost,
            observed: known.with(&purges, stored_mark, count),
            purges,
        };
        let lookup = Lookup::new(question, first);
        let Some(variant_key) = lookup.variant_key(question) else {
            return Some(lookup);
        };
        let [variant] = look_now(backend, [&*variant_key])?;
        let lookup = lookup.with_variant(question, self.read(variant));
        if let Some(stored) = &lookup.stored
            && !self.holds_now(backend, stored, count)?
        {
            return Some(lookup.without_variant());
        }
        Some(lookup)
    }

    /// The answer to a question, or what there is instead. What cannot be read counts as missing.
    ///
    /// # Errors
    /// Those of the backend.
    pub(crate) async fn find(&self, question: &Question) -> Result<Lookup, Error> {
        let backend = &**self.backend()?;
        let bucket = purge_bucket::of(question.key.as_str());
        // 1. Note what this layer knows of purges, before the look.
        let known = self.known_purges_in(bucket);
        // 2. Look under the key and its signpost, and at what purges have left.
        let mark_key = own_keys::purge_mark(bucket);
        let values = look_at_all(backend, first_keys(question, &mark_key)).await?;
        let [plain, signpost, purges, stored_mark, count] = values;
        // 3. Replace a list of purges, or a count, that has lost something.
        let purges = match self.read_purges(purges, known.last) {
            Ok(purges) => purges,
            Err(lost) => self.replace_purges(lost.as_ref(), known.last).await?,
        };
        let count = count.as_ref();
        let count = self.count_or_begin(count, known.tags.stored).await?;
        // 4. See whether what lies there was purged by one of its tags.
        let mut plain = self.read_plain(question, plain, &purges);
        if let Some(stored) = plain.as_ref().filter(|stored| stored.matches(question))
            && !self.holds(backend, stored, count).await?
        {
            plain = None;
        }
        let first = FirstLook {
            plain,
            signpost,
            observed: known.with(&purges, stored_mark, count),
            purges,
        };
        let lookup = Lookup::new(question, first);
        // 5. Follow the signpost.
        let Some(variant_key) = lookup.variant_key(question) else {
            return Ok(lookup);
        };
        let variant = look(backend, &variant_key).await?;
        let lookup = lookup.with_variant(question, self.read(variant));
        if let Some(stored) = &lookup.stored
            && !self.holds(backend, stored, count).await?
        {
            return Ok(lookup.without_variant());
        }
        Ok(lookup)
    }
}

impl ObservedPurges {
    /// What this layer knows, with what was found in the store.
    fn with(
        self,
        purges: &PurgeList,
        mark_found: Option<Value>,
        count: Option<PurgeCount>,
    ) -> Self {
        Self {
            last: purges.last(),
            tags: TagPurges {
                stored: count,
                ..self.tags
            },
            marks: PurgeMarks {
                stored: mark(mark_found),
                ..self.marks
            },
        }
    }
}

fn first_keys<'k>(question: &'k Question, mark_key: &'k ShortText) -> [&'k str; 5] {
    [
        question.key.as_str(),
        question.key.signpost(),
        own_keys::PURGE_LIST,
        mark_key.as_str(),
        own_keys::PURGE_COUNT,
    ]
}

pub(super) fn read_signpost(value: Option<Value>) -> Option<Signpost> {
    let value = value?;
    // A key function may make another request's key of the signpost's. That a response is no signpost is seen without encoding it.
    let is_response = value.downcast_ref::<StoredResponse>().is_some();
    if is_response { None } else { value.to().ok() }
}

/// Where the variant lies that answers a question, by what it says in these fields.
pub(super) fn variant_key(question: &Question, names: &[HeaderName]) -> String {
    own_keys::variant(question.key.as_str(), variant_number(question, names))
}

/// A number for what tells a question from others with the same key. Responses are checked when they are read, so questions that
/// share a number do not share an answer.
fn variant_number(question: &Question, names: &[HeaderName]) -> u64 {
    let key = &question.key;
    let target = key.target();
    let resource = [key.host(), &target, key.own().unwrap_or("")];
    let said: Vec<_> = names
        .iter()
        .map(|name| question.says(name).unwrap_or("\0".into()))
        .collect();
    let said = names.iter().zip(&said);
    let said = said.flat_map(|(name, said)| [name.as_str(), &**said]);
    fnv1a(resource.into_iter().chain(said).map(str::as_bytes))
}
