//! Where entries lie in the backend.
//!
//! | under | lies |
//! |---|---|
//! | `K`, the key | the entry, if it is all there is to know: no `Vary` beyond what is in the key, no content coding |
//! | `K:variants` | the names of the headers that tell variants apart, and the family they belong to |
//! | `K:variant=…` | a variant: its name is a hash of what those headers say, and of the host |
//!
//! The Python original reads `K` only, and ignores what it does not know: so what it would serve wrongly never lies there.
//! Each entry says what it was made for, and is checked against that on every read. Variants of another family than
//! their signpost's do not count: to remove `K` and `K:variants` removes them all.

use super::core::Core;
use super::key::Asked;
use super::purge::{self, Purges};
use super::stored::{Entry, MadeFor, Origin, Signpost, Stored};
use super::vary::normalized;
use crate::backend::{CacheBackend, Value};
use crate::error::Error;
use crate::time::Ttl;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, HeaderName};
use std::sync::Arc;
use std::time::Duration;

/// More headers than these tell no variants apart.
const MAX_NAMES: usize = 16;

/// What is known about a request's key.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) entry: Option<Arc<Entry>>,
    /// Whether there is something under the key, but for other requests.
    pub(crate) other: bool,
    pub(crate) signpost: Option<Signpost>,
}

impl Core {
    /// As [`find`](Self::find), if that takes no waiting; `None` if it does, or fails.
    pub(crate) fn find_now(&self, asked: &Asked, headers: &HeaderMap) -> Option<Found> {
        let backend = &**self.backend().ok()?;
        let mut found = Found::default();
        if let Some(Stored(entry)) = read_now(backend, asked.key())?
            && alive_now(backend, asked.key(), &entry)?
        {
            if entry.matches(asked, headers) {
                found.entry = Some(entry);
                return Some(found);
            }
            found.other = true;
        }
        let signpost: Option<Signpost> = read_now(backend, &signpost_key(asked.key()))?;
        let Some(signpost) = signpost else {
            return Some(found);
        };
        let variant_key = variant_key(asked, &signpost.names, headers);
        if let Some(Stored(entry)) = read_now(backend, &variant_key)?
            && signpost.leads_to(&entry, asked, headers)
            && alive_now(backend, asked.key(), &entry)?
        {
            found.entry = Some(entry);
        }
        found.other |= found.entry.is_none();
        found.signpost = Some(signpost);
        Some(found)
    }

    /// The entry for a request, or what there is instead. What cannot be read counts as missing.
    pub(crate) async fn find(&self, asked: &Asked, headers: &HeaderMap) -> Result<Found, Error> {
        let backend = self.backend()?;
        let signpost_key = signpost_key(asked.key());
        let keys = [asked.key(), &*signpost_key, purge::KEY];
        let values = backend.get_values(&keys).await?;
        let mut values = values.into_iter();
        let mut next = || values.next().flatten();
        let (plain, signpost, purges) = (next(), next(), next());
        let purges = purges.and_then(|value| value.to::<Purges>().ok());
        let alive = |entry: &Arc<Entry>| match &purges {
            Some(purges) => !purges.covers(asked.key(), entry),
            None => true,
        };
        let mut found = Found::default();
        if let Some(entry) = read(plain).filter(alive) {
            if entry.matches(asked, headers) {
                found.entry = Some(entry);
                return Ok(found);
            }
            found.other = true;
        }
        let Some(signpost) = signpost.and_then(|value| value.to::<Signpost>().ok()) else {
            return Ok(found);
        };
        let variant_key = variant_key(asked, &signpost.names, headers);
        let variant = read(backend.get_value(&variant_key).await?).filter(alive);
        found.entry = variant.filter(|entry| signpost.leads_to(entry, asked, headers));
        found.other |= found.entry.is_none();
        found.signpost = Some(signpost);
        Ok(found)
    }

    /// Stores an entry where requests like this one will find it.
    pub(crate) async fn keep(
        &self,
        asked: &Asked,
        headers: &HeaderMap,
        entry: &Arc<Entry>,
        made_for: &MadeFor,
        keep: Duration,
    ) -> Result<(), Error> {
        let backend = self.backend()?;
        let keyed = &self.settings.vary_on;
        let occupant = read(backend.get_value(asked.key()).await?);
        let is_plain =
            made_for.vary.len() == keyed.len() && !entry.headers.contains_key(CONTENT_ENCODING);
        let is_free = occupant.as_ref().is_none_or(|entry| match &entry.origin {
            Origin::Foreign => asked.is_unambiguous(),
            Origin::Ours(other) => {
                let gone =
                    !entry.is_fresh(self.now()) && !entry.serves_while_revalidating(self.now());
                gone || (other.is_resource(asked) && other.vary == made_for.vary)
            }
        });
        if is_plain && is_free {
            let value = Value::trusted(Stored(Arc::clone(entry)));
            return backend
                .set_value(asked.key(), value, Ttl::After(keep))
                .await;
        }
        let names = made_for.vary.iter().map(|(name, _)| name.clone()).collect();
        let signpost = self.plant(&**backend, asked, names, keep).await?;
        let mut made_for = MadeFor::new(asked, &signpost.names, headers);
        made_for.family = signpost.family;
        let mut entry = Entry::clone(entry);
        entry.origin = Origin::Ours(made_for);
        let value = Value::trusted(Stored(Arc::new(entry)));
        let variant_key = variant_key(asked, &signpost.names, headers);
        backend
            .set_value(&variant_key, value, Ttl::After(keep))
            .await?;
        // It would hide the variant.
        if occupant.is_some_and(|occupant| occupant.matches(asked, headers)) {
            backend.delete_value(asked.key()).await?;
        }
        Ok(())
    }

    /// The signpost for variants that these headers tell apart: the one that stands, if it names them all.
    async fn plant(
        &self,
        backend: &dyn CacheBackend,
        asked: &Asked,
        mut names: Vec<HeaderName>,
        keep: Duration,
    ) -> Result<Signpost, Error> {
        let key = signpost_key(asked.key());
        let standing = backend.get_value(&key).await?;
        let standing = standing.and_then(|value| value.to::<Signpost>().ok());
        let now = self.now();
        let mut until = now + keep.as_millis() as u64;
        let mut family = None;
        if let Some(standing) = standing {
            let missing = names.iter().any(|name| !standing.names.contains(name));
            if !missing {
                family = Some(standing.family);
            }
            if standing.names.len() + names.len() <= MAX_NAMES || !missing {
                let others = names
                    .drain(..)
                    .filter(|name| !standing.names.contains(name));
                names = others.collect();
                names.splice(..0, standing.names);
                until = until.max(standing.until);
            }
        }
        let random = || ahash::RandomState::new().hash_one(now).max(1);
        let signpost = Signpost {
            family: family.unwrap_or_else(random),
            names,
            until,
        };
        let value = Value::new(signpost.clone())?;
        let ttl = Ttl::After(Duration::from_millis(until - now));
        backend.set_value(&key, value, ttl).await?;
        Ok(signpost)
    }

    /// Removes what is under a key, variants too.
    pub(crate) async fn remove(&self, key: &str) -> Result<bool, Error> {
        self.shared.flights.purge(key);
        let backend = self.backend()?;
        Ok(backend.delete_values(&[key, &signpost_key(key)]).await? > 0)
    }
}

fn read(value: Option<Value>) -> Option<Arc<Entry>> {
    let Stored(entry) = value?.to().ok()?;
    Some(entry)
}

/// A value that takes no waiting; `None` if it does, or must be converted.
fn read_now<T>(backend: &dyn CacheBackend, key: &str) -> Option<Option<T>>
where
    T: Clone + Send + 'static,
{
    let mut found = None;
    let mut known = true;
    let answered = backend.read_now(key, &mut |value| {
        found = value.downcast_ref().cloned();
        known = found.is_some();
    });
    (answered && known).then_some(found)
}

/// Whether no purge covers an entry; `None` if that takes waiting.
fn alive_now(backend: &dyn CacheBackend, key: &str, entry: &Entry) -> Option<bool> {
    let (mut purged, mut known) = (false, true);
    let answered = backend.read_now(
        purge::KEY,
        &mut |value| match value.downcast_ref::<Purges>() {
            Some(purges) => purged = purges.covers(key, entry),
            None => known = false,
        },
    );
    (answered && known).then_some(!purged)
}

impl Signpost {
    fn leads_to(&self, entry: &Entry, asked: &Asked, headers: &HeaderMap) -> bool {
        entry.family() == self.family && entry.matches(asked, headers)
    }
}

fn signpost_key(key: &str) -> String {
    format!("{key}:variants")
}

fn variant_key(asked: &Asked, names: &[HeaderName], headers: &HeaderMap) -> String {
    format!(
        "{}:variant={:016x}",
        asked.key(),
        variant(asked, names, headers)
    )
}

/// A number for what tells a request from others with the same key; 64-bit FNV-1a, because all processes must agree on it. Entries
/// are checked when they are read, so that requests which share a number do not share an answer.
pub(crate) fn variant(asked: &Asked, names: &[HeaderName], headers: &HeaderMap) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |parts: &[&str]| {
        for byte in parts.iter().flat_map(|part| part.bytes()).chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(&[asked.host()]);
    add(&asked.target_parts());
    add(&[asked.own().unwrap_or("")]);
    for name in names {
        add(&[name.as_str()]);
        match normalized(asked, headers, name) {
            Some(said) => add(&[&said]),
            None => add(&["\0"]),
        }
    }
    hash
}
