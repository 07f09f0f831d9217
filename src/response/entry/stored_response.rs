//! [`StoredResponse`]: what lies in the store.

use super::made_for::{MadeFor, Origin};
use super::own_memory;
use super::purge_number::PurgeNumber;
use super::stored_tag::StoredTag;
use super::tag_purges::TagPurges;
use crate::response::clock::UnixMillis;
use crate::response::http::date;
use crate::response::policy::lifetime::Lifetime;
use crate::response::policy::plan::Plan;
use crate::response::policy::settings::Rules;
use crate::response::policy::storable::MAX_HEADERS;
use crate::response::request::question::Question;
use bytes::Bytes;
use http::header::{AGE, CACHE_STATUS, CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

/// A response and what is known about it. Backends in memory hold it as it is, others as [JSON](super::wire).
#[derive(Debug, Clone)]
pub(crate) struct StoredResponse {
    pub(crate) status: StatusCode,
    /// End-to-end fields only. There is room for `Age` and `Cache-Status`, which each answer sets.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) lifetime: Lifetime,
    /// The last purge in the list when the handler was started. Later ones may cover the response.
    pub(crate) observed_purge: PurgeNumber,
    /// What purges by tag had left then. Of no meaning without tags.
    pub(crate) observed_tags: TagPurges,
    /// Whether callers with `Authorization` may have it: RFC 9111 §3.5.
    pub(crate) for_authorized: bool,
    pub(crate) origin: Origin,
    pub(crate) tags: Box<[StoredTag]>,
}

impl StoredResponse {
    /// The answer to a question, without its body. These fields tell it apart from other answers: `keyed` are in the key, and the
    /// plan names others. `None` if the headers are too many or too long.
    pub(crate) fn new(
        plan: Plan,
        (status, mut headers): (StatusCode, HeaderMap),
        question: &Question,
        keyed: &[HeaderName],
        (observed_purge, observed_tags): (PurgeNumber, TagPurges),
        now: UnixMillis,
    ) -> Option<Self> {
        if !headers.contains_key(DATE)
            && let Some(date) = date::format(now)
        {
            // RFC 9110 §6.6.1.
            headers.try_insert(DATE, date).ok()?;
        }
        own_memory::headers(&mut headers)?;
        Self::make_room(&mut headers)?;
        let mut fields = keyed.to_vec();
        let more = plan.vary.into_iter();
        fields.extend(more.filter(|name| !keyed.contains(name)));
        Some(Self {
            status,
            headers,
            body: Bytes::new(),
            lifetime: plan.lifetime,
            observed_purge,
            observed_tags,
            for_authorized: plan.for_authorized,
            origin: Origin::Ours(MadeFor::new(question, &fields)),
            tags: plan.tags.iter().map(|tag| StoredTag::new(tag)).collect(),
        })
    }

    /// How many bytes it takes in memory: those of its body, and about those of its headers and of what else is known of it.
    pub(crate) fn size(&self) -> u64 {
        /// Of a header, beside its value.
        const FIELD: usize = 64;
        let fields = self.headers.values().map(|value| value.len() + FIELD);
        let tags = self.tags.iter().map(StoredTag::size);
        let rest: usize = fields.chain(tags).sum();
        (self.body.len() + rest + size_of::<Self>()) as u64
    }

    /// Whether this may be the answer to a question.
    #[inline]
    pub(crate) fn matches(&self, question: &Question) -> bool {
        if question.is_authorized && !self.for_authorized {
            return false;
        }
        match &self.origin {
            Origin::Foreign => question.key.rules == Rules::Timed && question.key.is_unambiguous(),
            Origin::Ours(made_for) => made_for.matches(question),
        }
    }

    #[inline]
    pub(crate) fn has_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    pub(crate) fn rules(&self) -> Rules {
        match &self.origin {
            Origin::Foreign => Rules::Timed,
            Origin::Ours(made_for) => made_for.rules,
        }
    }

    pub(crate) fn family(&self) -> u64 {
        match &self.origin {
            Origin::Foreign => 0,
            Origin::Ours(made_for) => made_for.family,
        }
    }

    /// The media type in the original's form: without the character set that it adds to text itself.
    pub(crate) fn media_type(&self) -> String {
        let Some(text) = self
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
        else {
            return "application/octet-stream".to_owned();
        };
        let bare = text.split(';').next().unwrap_or("").trim();
        let rest = text[text.find(';').unwrap_or(text.len())..].to_ascii_lowercase();
        if bare.starts_with("text/") && rest.replace(' ', "") == ";charset=utf-8" {
            bare.to_owned()
        } else {
            text.to_owned()
        }
    }

    /// Makes room for the fields that every answer has, so that a hit only overwrites them. `None` if there are too many fields
    /// already.
    pub(crate) fn make_room(headers: &mut HeaderMap) -> Option<()> {
        if headers.len() > MAX_HEADERS {
            return None;
        }
        let placeholder = HeaderValue::from_static("0");
        headers.try_insert(AGE, placeholder.clone()).ok()?;
        if !headers.contains_key(CACHE_STATUS) {
            headers.try_insert(CACHE_STATUS, placeholder).ok()?;
        }
        Some(())
    }
}
