//! Stored responses as JSON: the Python original's fields, and beside them our own, which it ignores.
//!
//! | field | is |
//! |---|---|
//! | `body_b64` | the body, base64 with the standard alphabet; `body`, a text, in older responses |
//! | `status_code`, `media_type` | of the response |
//! | `nori` | an object with what else we know; a response without it was written by the original |
//!
//! The tags in it are pairs of a tag and its version, and `counted` is the [count](super::purge_count) of purges that the handler had
//! observed. Earlier versions wrote the tags alone, and take pairs for no response, as their purges would miss it; what they have
//! written with tags is no response for us, as it has missed ours. Without tags there is no difference.
//!
//! They come from a store that others may write to, so nothing in them is trusted: whatever does not read as a response that this
//! cache may have written is [not credible](super::credible), and that is an error. The response then counts as missing.

use super::credible::is_credible;
use super::made_for::{MadeFor, Origin};
use super::purge_count::PurgeCount;
use super::purge_number::PurgeNumber;
use super::stored_response::StoredResponse;
use super::stored_tag::StoredTag;
use super::tag_purges::TagPurges;
use crate::backend::tag::Version;
use crate::response::clock::UnixMillis;
use crate::response::http::content;
use crate::response::policy::lifetime::Lifetime;
use crate::response::policy::settings::Rules;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use http::header::{AGE, CACHE_STATUS, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_core::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde_core::ser::{SerializeMap as _, SerializeStruct as _};
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json};
use std::fmt::{self, Write as _};
use std::time::Duration;

/// The largest number of milliseconds that is written or read.
const MAX_MILLIS: u64 = UnixMillis::END.get();

impl Serialize for StoredResponse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("StoredResponse", 4)?;
        object.serialize_field("body_b64", &Body(&self.body))?;
        object.serialize_field("status_code", &self.status.as_u16())?;
        object.serialize_field("media_type", &self.media_type())?;
        if let Origin::Ours(made_for) = &self.origin {
            object.serialize_field("nori", &Nori(self, made_for))?;
        }
        object.end()
    }
}

/// Base64, written without an intermediate copy.
struct Body<'e>(&'e Bytes);

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

/// Names and values, without those that each answer sets itself.
struct Headers<'e>(&'e HeaderMap);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kept = self
            .0
            .iter()
            .filter(|(name, _)| !matches!(**name, AGE | CACHE_STATUS));
        serializer.collect_seq(kept.map(|(name, value)| (name.as_str(), Latin1(value.as_bytes()))))
    }
}

/// A text with one character for each byte.
struct Latin1<'e>(&'e [u8]);

impl Serialize for Latin1<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Latin1<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| f.write_char(char::from(*byte)))
    }
}

/// The field `nori`.
struct Nori<'e>(&'e StoredResponse, &'e MadeFor);

impl Serialize for Nori<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(stored, made_for) = self;
        let lifetime = &stored.lifetime;
        let vary: Vec<(&str, Option<&str>)> = made_for
            .vary
            .iter()
            .map(|(name, said)| (name.as_str(), said.as_deref()))
            .collect();
        let millis = |duration: Duration| {
            let millis = u64::try_from(duration.as_millis());
            millis.map_or(MAX_MILLIS, |millis| millis.min(MAX_MILLIS))
        };
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("length", &stored.body.len())?;
        object.serialize_entry("headers", &Headers(&stored.headers))?;
        object.serialize_entry("born", &lifetime.born.get())?;
        object.serialize_entry("seen", &stored.observed_purge.get())?;
        object.serialize_entry("fresh", &millis(lifetime.fresh))?;
        object.serialize_entry("swr", &millis(lifetime.while_revalidate))?;
        object.serialize_entry("sie", &millis(lifetime.if_error))?;
        object.serialize_entry("authorized", &stored.for_authorized)?;
        object.serialize_entry("strict", &lifetime.strict)?;
        object.serialize_entry("mode", made_for.rules.name())?;
        object.serialize_entry("host", &made_for.host)?;
        object.serialize_entry("target", &made_for.target)?;
        object.serialize_entry("own", &made_for.own)?;
        object.serialize_entry("vary", &vary)?;
        object.serialize_entry("family", &made_for.family)?;
        let tags: Vec<_> = stored
            .tags
            .iter()
            .map(|tag| (tag.name(), tag.version))
            .collect();
        object.serialize_entry("tags", &tags)?;
        if stored.has_tags() {
            let counted = stored.observed_tags.stored.map(PurgeCount::get);
            object.serialize_entry("counted", &counted)?;
        }
        object.end()
    }
}

impl<'de> Deserialize<'de> for StoredResponse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = StoredResponse;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stored response")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StoredResponse, A::Error> {
        let (mut body, mut status, mut media_type, mut known) = (None, None, None, None);
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "body_b64" => {
                    let text: String = map.next_value()?;
                    let bytes = BASE64_STANDARD.decode(text).map_err(A::Error::custom)?;
                    body = Some(Bytes::from(bytes));
                }
                "body" if body.is_none() => body = Some(Bytes::from(map.next_value::<String>()?)),
                "status_code" => status = Some(map.next_value::<u16>()?),
                "media_type" => media_type = map.next_value::<Option<String>>()?,
                "nori" => known = Some(map.next_value::<Map<String, Json>>()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let body = body.ok_or_else(|| A::Error::missing_field("body_b64"))?;
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.ok_or_else(|| A::Error::custom("no status of a response"))?;
        let stored = match known {
            None => foreign(status, media_type.as_deref(), body),
            Some(known) => ours(status, body, &known),
        };
        let mut stored = stored.ok_or_else(|| A::Error::custom("not a response"))?;
        if !is_credible(&stored) {
            return Err(A::Error::custom("a response that is not to be stored"));
        }
        content::set_length(&mut stored.headers, stored.body.len());
        StoredResponse::make_room(&mut stored.headers)
            .ok_or_else(|| A::Error::custom("more headers than a response has"))?;
        Ok(stored)
    }
}

/// A response of the original, which does not say how old it is. The store's own time to live is what holds.
fn foreign(status: StatusCode, media_type: Option<&str>, body: Bytes) -> Option<StoredResponse> {
    let mut headers = HeaderMap::new();
    if let Some(media_type) = media_type {
        // As the original answers.
        let text = if media_type.starts_with("text/") && !media_type.contains("charset=") {
            format!("{media_type}; charset=utf-8")
        } else {
            media_type.to_owned()
        };
        headers.insert(CONTENT_TYPE, HeaderValue::try_from(text).ok()?);
    }
    Some(StoredResponse {
        status,
        headers,
        body,
        lifetime: Lifetime {
            born: UnixMillis::EPOCH,
            fresh: Duration::MAX,
            while_revalidate: Duration::ZERO,
            if_error: Duration::ZERO,
            strict: true,
        },
        observed_purge: PurgeNumber::NONE,
        observed_tags: TagPurges::default(),
        for_authorized: false,
        origin: Origin::Foreign,
        tags: Box::default(),
    })
}

fn ours(status: StatusCode, body: Bytes, known: &Map<String, Json>) -> Option<StoredResponse> {
    let number = |name: &str| known.get(name)?.as_u64();
    let millis = |name: &str| number(name).filter(|&millis| millis <= MAX_MILLIS);
    let duration = |name: &str| millis(name).map(Duration::from_millis);
    let text = |name: &str| Some(known.get(name)?.as_str()?.into());
    if number("length")? != body.len() as u64 {
        return None;
    }
    let headers = read_headers(known.get("headers")?)?;
    let vary = read_vary(known.get("vary")?)?;
    let tags = read_tags(known.get("tags")?)?;
    let counted = if tags.is_empty() {
        None
    } else {
        Some(PurgeCount::new(number("counted")?))
    };
    let own = match known.get("own")? {
        Json::Null => None,
        own => Some(own.as_str()?.into()),
    };
    let made_for = MadeFor {
        rules: Rules::named(known.get("mode")?.as_str()?)?,
        host: text("host")?,
        target: text("target")?,
        own,
        vary,
        family: number("family")?,
    };
    // Responses of earlier versions do not say.
    let strict = known
        .get("strict")
        .is_none_or(|strict| *strict != Json::Bool(false));
    Some(StoredResponse {
        status,
        headers,
        body,
        lifetime: Lifetime {
            born: UnixMillis::new(millis("born")?),
            fresh: duration("fresh")?,
            while_revalidate: duration("swr")?,
            if_error: duration("sie")?,
            strict,
        },
        observed_purge: PurgeNumber::new(millis("seen")?),
        observed_tags: TagPurges {
            stored: counted,
            made: 0,
        },
        for_authorized: known.get("authorized")?.as_bool()?,
        origin: Origin::Ours(made_for),
        tags,
    })
}

fn read_headers(pairs: &Json) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for pair in pairs.as_array()? {
        let (name, value) = (pair.get(0)?.as_str()?, pair.get(1)?.as_str()?);
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(&to_latin1(value)?).ok()?;
        headers.try_append(name, value).ok()?;
    }
    Some(headers)
}

fn read_vary(pairs: &Json) -> Option<Vec<(HeaderName, Option<Box<str>>)>> {
    let mut vary = Vec::new();
    for pair in pairs.as_array()? {
        let name = HeaderName::from_bytes(pair.get(0)?.as_str()?.as_bytes()).ok()?;
        let said = match pair.get(1)? {
            Json::Null => None,
            said => Some(said.as_str()?.into()),
        };
        vary.push((name, said));
    }
    Some(vary)
}

fn read_tags(pairs: &Json) -> Option<Box<[StoredTag]>> {
    let mut tags = Vec::new();
    for pair in pairs.as_array()? {
        let mut tag = StoredTag::new(pair.get(0)?.as_str()?);
        tag.version = Some(Version::deserialize(pair.get(1)?).ok()?);
        tags.push(tag);
    }
    Some(tags.into())
}

fn to_latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|char| u8::try_from(char).ok()).collect()
}
