//! Where entries lie in the backend.
//!
//! | under | lies |
//! |---|---|
//! | `K`, the key | the entry, if it is all there is to know: no `Vary` beyond what is in the key, no content coding |
//! | the signpost of `K` | the names of the headers that tell variants apart, and the family they belong to |
//! | a variant of `K` | a variant: its name is a hash of what those headers say, and of the host |
//!
//! The Python original reads `K` only, and ignores what it does not know: so what it would serve wrongly never lies there.
//! What purges leave lies beside them (see `purge`). Of all these only `K` can be named by a request (see `own_keys`).
//! Each entry says what it was made for, and is checked against that on every read. Variants of another family than
//! their signpost's do not count: to remove `K` and its signpost removes them all.

use crate::backend::{CacheBackend, Value};
use crate::error::Error;
use crate::response::entry::stored_response::{Entry, MadeFor, Origin, Signpost};
use crate::response::entry::wire::MOST_MILLIS;
use crate::response::fetch::state::Core;
use crate::response::http::cache_status::Line;
use crate::response::request::key::Asked;
use crate::response::request::vary::normalized;
use crate::response::storage::own_keys;
use crate::response::storage::purge_list::{self, Purges, Seen, Stamps};
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
    pub(crate) seen: Seen,
    purges: Purges,
}

impl Found {
    /// From what lies under the key and its signpost, the list of purges, and the stamps of those of the key.
    fn new(
        asked: &Asked,
        headers: &HeaderMap,
        [plain, signpost]: [Option<Value>; 2],
        purges: Purges,
        stamps: Stamps,
        core: &Core,
    ) -> Self {
        let last = purges.last();
        let seen = Seen { last, stamps };
        let mut found = Self {
            seen,
            purges,
            ..Self::default()
        };
        let plain = core.read(plain);
        let plain = plain.filter(|entry| !found.purges.hides(asked.key(), entry));
        found.other = plain.is_some();
        found.entry = plain.filter(|entry| entry.matches(asked, headers));
        if found.entry.is_none() {
            found.signpost = read_signpost(signpost);
        }
        found
    }

    /// Where the store cannot be asked, what the layer knows of purges must do.
    pub(crate) fn blind(asked: &Asked, core: &Core) -> Self {
        let known = &core.shared.known;
        let last = known.last();
        let stamps = [0, known.count(purge_list::bucket(asked.key()))];
        Self {
            seen: Seen { last, stamps },
            purges: Purges::of_everything(last),
            ..Self::default()
        }
    }

    /// Where to look next.
    fn variant_key(&self, asked: &Asked, headers: &HeaderMap) -> Option<String> {
        let names = &self.signpost.as_ref()?.names;
        Some(variant_key(asked, names, headers))
    }

    /// With what lies there.
    fn with_variant(
        mut self,
        asked: &Asked,
        headers: &HeaderMap,
        variant: Option<Arc<Entry>>,
    ) -> Self {
        let family = self.signpost.as_ref().map(|signpost| signpost.family);
        self.entry = variant.filter(|entry| {
            Some(entry.family()) == family
                && entry.matches(asked, headers)
                && !self.purges.hides(asked.key(), entry)
        });
        self.other |= self.entry.is_none();
        self
    }

    /// Whether an entry that another request has led is purged for this one.
    pub(crate) fn is_purged(&self, key: &str, entry: &Entry) -> bool {
        self.purges.covers(key, entry)
    }
}

impl Core {
    /// The entry that lies under a request's key itself, if it is for this request and to look takes no waiting.
    pub(crate) fn find_plain(&self, asked: &Asked, headers: &HeaderMap) -> Option<Arc<Entry>> {
        let backend = self.backend().ok()?;
        let key = asked.key();
        let mut found = None;
        backend.read_now(key, &mut |value| {
            let entry = value.downcast_ref::<Entry>();
            if entry.is_some_and(|entry| entry.matches(asked, headers)) {
                found = value.to_shared::<Entry>().ok();
            }
        });
        let entry = found?;
        // A list that does not reach to what this entry or this layer has seen was lost.
        let (mut purged, mut last) = (entry.seen > 0, 0);
        backend.read_now(own_keys::PURGES, &mut |value| {
            (purged, last) = match value.downcast_ref::<Purges>() {
                Some(purges) => (purges.hides(key, &entry), purges.last()),
                // As another process wrote it: not here.
                None => (true, 0),
            };
        });
        (!purged && !self.shared.known.goes_beyond(last)).then_some(entry)
    }

    /// As [`find`](Self::find), if that takes no waiting; `None` if it does, or fails.
    pub(crate) fn find_now(&self, asked: &Asked, headers: &HeaderMap) -> Option<Found> {
        let backend = &**self.backend().ok()?;
        let blind = Found::blind(asked, self).seen;
        let stamp_key = purge_list::stamp_key(asked.key());
        let [plain, signpost, purges, stamp] = look_now(backend, keys(asked, &stamp_key))?;
        let purges = self.read_purges(purges, blind.last).ok()?;
        let stamps = [number(stamp), blind.stamps[1]];
        let found = Found::new(asked, headers, [plain, signpost], purges, stamps, self);
        Some(match found.variant_key(asked, headers) {
            Some(key) => {
                let [variant] = look_now(backend, [&*key])?;
                found.with_variant(asked, headers, self.read(variant))
            }
            None => found,
        })
    }

    /// The entry for a request, or what there is instead. What cannot be read counts as missing.
    pub(crate) async fn find(&self, asked: &Asked, headers: &HeaderMap) -> Result<Found, Error> {
        let backend = self.backend()?;
        let blind = Found::blind(asked, self).seen;
        let stamp_key = purge_list::stamp_key(asked.key());
        let values = look_at_all(&**backend, keys(asked, &stamp_key)).await?;
        let [plain, signpost, purges, stamp] = values;
        let purges = match self.read_purges(purges, blind.last) {
            Ok(purges) => purges,
            Err(not_ours) => self.replace_purges(not_ours.as_ref(), blind.last).await?,
        };
        let stamps = [number(stamp), blind.stamps[1]];
        let found = Found::new(asked, headers, [plain, signpost], purges, stamps, self);
        Ok(match found.variant_key(asked, headers) {
            Some(key) => {
                let variant = look(&**backend, &key).await?;
                found.with_variant(asked, headers, self.read(variant))
            }
            None => found,
        })
    }

    /// An entry, if it is one that this layer may have stored by now.
    fn read(&self, value: Option<Value>) -> Option<Arc<Entry>> {
        let entry: Arc<Entry> = value?.to_shared().ok()?;
        let is_too_young = entry.born > self.now().saturating_add(purge_list::MOST_AHEAD);
        let is_too_large = entry.body.len() as u64 > self.settings.max_body;
        (!is_too_young && !is_too_large).then_some(entry)
    }

    /// The list of purges. It must reach to a purge that was known of before it was read.
    ///
    /// # Errors
    /// What lies there, if that is no list of ours, or one that has lost something.
    fn read_purges(&self, value: Option<Value>, known: u64) -> Result<Purges, Option<Value>> {
        let purges = match &value {
            Some(value) => value.to::<Purges>().ok(),
            None => Some(Purges::default()),
        };
        let is_whole = |purges: &Purges| purges.is_ours(self.now()) && purges.last() >= known;
        let purges = purges.filter(is_whole).ok_or(value)?;
        self.shared.known.saw(purges.last());
        Ok(purges)
    }

    /// Puts a purge of everything in the place of what is no whole list of purges: nobody can say what was purged.
    async fn replace_purges(&self, lost: Option<&Value>, known: u64) -> Result<Purges, Error> {
        let backend = self.backend()?;
        let all = self.purge_of_everything();
        let value = Value::new(all.clone())?;
        let key = own_keys::PURGES;
        // Only that: a purge that comes meanwhile stays.
        let replaced = backend.compare_and_set(key, lost, value.clone(), Some(Ttl::Never));
        let is_replaced = match replaced.await {
            Err(error) if error.is_wrong_type() => {
                backend.set_value(key, value, Ttl::Never).await?;
                true
            }
            replaced => replaced?,
        };
        if is_replaced {
            self.shared.known.saw(all.last());
            return Ok(all);
        }
        let there = look(&**backend, key).await?;
        Ok(self.read_purges(there, known).unwrap_or(all))
    }

    /// Stores an entry where requests like this one will find it; false if the key was purged since the request came.
    pub(crate) async fn keep(
        &self,
        asked: &Asked,
        headers: &HeaderMap,
        entry: &Arc<Entry>,
        keep: Duration,
        seen: Seen,
    ) -> Result<bool, Error> {
        let backend = self.backend()?;
        let known = &self.shared.known;
        let bucket = purge_list::bucket(asked.key());
        let stamp_key = own_keys::stamp(bucket);
        let stamp_key = stamp_key.as_str();
        let [occupant, stamp] = look_at_all(&**backend, [asked.key(), stamp_key]).await?;
        if [number(stamp), known.count(bucket)] != seen.stamps {
            return Ok(false);
        }
        self.put(&**backend, asked, headers, entry, self.read(occupant), keep)
            .await?;
        let count = known.count_after_write(bucket);
        let stamp = look(&**backend, stamp_key).await?;
        if [number(stamp), count] == seen.stamps {
            return Ok(true);
        }
        let keys = [asked.key(), asked.signpost_key()];
        backend.delete_values(&keys).await?;
        Ok(false)
    }

    async fn put(
        &self,
        backend: &dyn CacheBackend,
        asked: &Asked,
        headers: &HeaderMap,
        entry: &Arc<Entry>,
        occupant: Option<Arc<Entry>>,
        keep: Duration,
    ) -> Result<(), Error> {
        let Origin::Ours(made_for) = &entry.origin else {
            return Ok(());
        };
        let keyed = &self.settings.vary_on;
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
            let value = Value::trusted(Arc::clone(entry));
            return backend
                .set_value(asked.key(), value, Ttl::After(keep))
                .await;
        }
        let names = made_for.vary.iter().map(|(name, _)| name.clone()).collect();
        let signpost = self.plant(backend, asked, names, keep).await?;
        let mut made_for = MadeFor::new(asked, &signpost.names, headers);
        made_for.family = signpost.family;
        let mut entry = Entry::clone(entry);
        entry.origin = Origin::Ours(made_for);
        let value = Value::trusted(Arc::new(entry));
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
        let key = asked.signpost_key();
        let standing = read_signpost(look(backend, key).await?);
        let now = self.now();
        let keep = u64::try_from(keep.as_millis()).unwrap_or(MOST_MILLIS);
        let mut until = now.saturating_add(keep).min(MOST_MILLIS);
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
        let signpost = Signpost {
            family: family.unwrap_or_else(|| random(now)),
            names,
            until,
        };
        let value = Value::new(signpost.clone())?;
        let ttl = Ttl::After(Duration::from_millis(until.saturating_sub(now)));
        backend.set_value(key, value, ttl).await?;
        Ok(signpost)
    }

    /// Removes an entry that was found for a request, unless another has taken its place.
    pub(crate) async fn forget(
        &self,
        asked: &Asked,
        headers: &HeaderMap,
        gone: &Entry,
    ) -> Result<(), Error> {
        let found = self.find(asked, headers).await?;
        let is_there = |entry: &Arc<Entry>| entry.born == gone.born && entry.body == gone.body;
        if found.entry.as_ref().is_some_and(is_there) {
            let variant_key = found.variant_key(asked, headers);
            let key = variant_key.as_deref().unwrap_or(asked.key());
            self.backend()?.delete_value(key).await?;
        }
        Ok(())
    }

    /// Removes what is under a key, variants too, and keeps what is on its way from being stored.
    pub(crate) async fn remove(&self, key: &str) -> Result<bool, Error> {
        if !own_keys::may_be_asked_for(key) {
            return Ok(false);
        }
        let backend = self.backend()?;
        let bucket = purge_list::bucket(key);
        // Before the store is touched.
        self.shared.known.add(bucket);
        let stamp = Value::integer(random(self.now()).cast_signed());
        let ttl = Ttl::After(purge_list::STAMP_TTL);
        backend
            .set_value(own_keys::stamp(bucket).as_str(), stamp, ttl)
            .await?;
        Ok(backend
            .delete_values(&[key, &own_keys::signpost(key)])
            .await?
            > 0)
    }
}

/// Where to look first.
fn keys<'k>(asked: &'k Asked, stamp_key: &'k Line) -> [&'k str; 4] {
    let signpost_key = asked.signpost_key();
    [
        asked.key(),
        signpost_key,
        own_keys::PURGES,
        stamp_key.as_str(),
    ]
}

/// What is there, if to look takes no waiting; `None` if it does, or fails.
fn look_now<const N: usize>(
    backend: &dyn CacheBackend,
    keys: [&str; N],
) -> Option<[Option<Value>; N]> {
    let mut values = [const { None }; N];
    for (key, place) in keys.into_iter().zip(&mut values) {
        if !backend.read_now(key, &mut |value| *place = Some(value.clone())) {
            return None;
        }
    }
    Some(values)
}

/// What is there; what cannot be a value of ours counts as missing.
async fn look(backend: &dyn CacheBackend, key: &str) -> Result<Option<Value>, Error> {
    if let Some([value]) = look_now(backend, [key]) {
        return Ok(value);
    }
    match backend.get_value(key).await {
        Err(error) if error.is_wrong_type() => Ok(None),
        found => found,
    }
}

/// As [`look`], for many. Where one of another type makes the call for all of them fail, one by one.
async fn look_at_all<const N: usize>(
    backend: &dyn CacheBackend,
    keys: [&str; N],
) -> Result<[Option<Value>; N], Error> {
    if let Some(values) = look_now(backend, keys) {
        return Ok(values);
    }
    match backend.get_values(&keys).await {
        Err(error) if error.is_wrong_type() => {
            let mut values = [const { None }; N];
            for (key, place) in keys.into_iter().zip(&mut values) {
                *place = look(backend, key).await?;
            }
            Ok(values)
        }
        // What is not one value for each key says nothing about any of them.
        found => Ok(found?.try_into().unwrap_or([const { None }; N])),
    }
}

/// A stamp; what is none is 0.
fn number(value: Option<Value>) -> u64 {
    let stamp = value.and_then(|value| value.to::<i64>().ok());
    stamp.unwrap_or(0).cast_unsigned()
}

/// A number that nobody has had before; not 0.
fn random(now: u64) -> u64 {
    ahash::RandomState::new().hash_one(now).max(1)
}

fn read_signpost(value: Option<Value>) -> Option<Signpost> {
    let value = value?;
    // A key function may give its place to another request. To see that an entry is no signpost it need not be said in JSON.
    let is_entry = value.downcast_ref::<Entry>().is_some();
    if is_entry { None } else { value.to().ok() }
}

fn variant_key(asked: &Asked, names: &[HeaderName], headers: &HeaderMap) -> String {
    own_keys::variant(asked.key(), variant(asked, names, headers))
}

/// A number for what tells a request from others with the same key. Entries are checked when they are read, so that requests
/// which share a number do not share an answer.
fn variant(asked: &Asked, names: &[HeaderName], headers: &HeaderMap) -> u64 {
    let target = asked.target();
    let resource = [asked.host(), &target, asked.own().unwrap_or("")];
    let said: Vec<_> = names
        .iter()
        .map(|name| normalized(asked, headers, name).unwrap_or("\0".into()))
        .collect();
    let said = names.iter().zip(&said);
    let said = said.flat_map(|(name, said)| [name.as_str(), &**said]);
    fnv1a(resource.into_iter().chain(said).map(str::as_bytes))
}

/// 64-bit FNV-1a of some texts, because all processes must agree on it.
pub(crate) fn fnv1a<'t>(texts: impl IntoIterator<Item = &'t [u8]>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in texts.into_iter().flat_map(|text| text.iter().chain(&[0])) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}
