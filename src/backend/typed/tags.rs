//! Tags: what many entries are removed by in one step.
//!
//! # Versions
//! Each tag that is in use has a [`Version`], a random number that no tag has had before, under a key of its own beside the entries
//! ([`version_key`](tag::version_key)). An entry is stored with the versions of its tags. Whoever finds it looks at what they are now: if
//! one is another, or is not there, the entry is a miss. To remove a tag is to remove its version; who next stores something with the tag
//! makes a new one, which is no earlier one.
//!
//! # Why nothing comes back
//! - *Loads.* Versions are looked at before the loader runs. If the tag is removed after that, what is stored has a version that is
//!   there no more, and is a miss to all, wherever it was loaded and whenever it arrives. Followers look at the versions of what they
//!   are answered with, too: somebody who comes after the removal may follow a load that began before.
//! - *Lost versions.* One that is evicted, expires, or is lost with its server is missing, and so are its entries. The next one that
//!   is made is another one, so that none of them is found again. That is why versions are random: a count would begin anew.
//! - *Two who make one* at the same time: one stores it, as it stores only where there is none, and the other reads that.
//! - *Copies* of a version that are out of date (on two tiers) are out of date like any others, within the same bounds. Who stores with
//!   one stores what is a miss to all who know better.
//! - *A flush* removes entries and versions, in no order. An entry that still is there while its version is not is a miss, also if a new
//!   version is made meanwhile. One that is stored during the flush with an old version is a miss as soon as the flush gets to that, and
//!   if it has got there already, from the beginning.
//! - *What is derived* from an entry by an update keeps the versions of the entry, whatever they are by then.
//! - *Looks that are spared.* Where the store [counts](TagChanges) all changes of versions, a hit whose tags were found to hold at this very
//!   count, and not long ago, looks nothing up. Whoever removes a tag counts before it returns. A version that is lost is no
//!   change: its entries are misses within a second (on two tiers: less).
//! - *What has been removed* is not there for fail-safe, for refreshes or for conditional loads either.
//!
//! What a server loses that it had acknowledged, when its replica takes over, it loses here as well: then the removal has not taken
//! place, as a `delete` would not have.

use crate::backend::kept::{Meta, Times};
use crate::backend::tag::{self, Tag, Version};
use crate::backend::tag_changes::Checked;
use crate::backend::{CacheBackend, TagChanges, Value, wall};
use crate::error::Error;
use crate::time::Ttl;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::HashMap;

/// How often versions are looked at that others make and remove, before somebody gives up.
const ATTEMPTS: u32 = 16;

/// The tags that an entry is to have: those of all that goes through this backend, and these.
fn names<'n, B, T>(backend: &'n B, given: &'n [T]) -> Result<SmallVec<[&'n str; 4]>, Error>
where
    B: CacheBackend + ?Sized,
    T: AsRef<str>,
{
    let own = backend.entry_tags().iter().map(|name| &**name);
    let mut names = SmallVec::new();
    for name in own.chain(given.iter().map(AsRef::as_ref)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    tag::check_tags(&names)?;
    Ok(names)
}

/// # Errors
/// If an entry with these tags would have too many, or one that is too long.
#[inline]
pub(in crate::backend) fn check<B>(backend: &B, given: &[&str]) -> Result<(), Error>
where
    B: CacheBackend + ?Sized,
{
    if given.is_empty() && backend.entry_tags().is_empty() {
        return Ok(());
    }
    check_slow(backend, given)
}

#[inline(never)]
fn check_slow<B>(backend: &B, given: &[&str]) -> Result<(), Error>
where
    B: CacheBackend + ?Sized,
{
    if backend.entry_tags().is_empty() {
        return tag::check_tags(given);
    }
    names(backend, given).map(drop)
}

/// Those of what is stored from now on, with their versions: before what is stored is looked for. Versions that are missing are made.
///
/// # Errors
/// What the store fails with; if there are too many tags, or one is too long.
pub(in crate::backend) async fn current<B, T>(backend: &B, given: &[T]) -> Result<Box<[Tag]>, Error>
where
    B: CacheBackend + ?Sized,
    T: AsRef<str> + Sync,
{
    if given.is_empty() && backend.entry_tags().is_empty() {
        return Ok(Box::default());
    }
    let names = names(backend, given)?;
    let keys: Vec<Box<str>> = names.iter().map(|name| tag::version_key(name)).collect();
    let mut versions: Vec<Option<Version>> = vec![None; keys.len()];
    for _ in 0..ATTEMPTS {
        let missing = (0..keys.len()).filter(|&at| versions[at].is_none());
        let missing: Vec<usize> = missing.collect();
        let asked: Vec<&str> = missing.iter().map(|&at| &*keys[at]).collect();
        let found = backend.get_values(&asked).await?;
        let mut fresh = Vec::new();
        for (&at, found) in missing.iter().zip(&found) {
            versions[at] = found.as_ref().and_then(version_of);
            if versions[at].is_none() {
                fresh.push((at, found.as_ref(), Version::fresh()));
            }
        }
        // What is there and is no version is written over.
        let made = fresh
            .iter()
            .map(|&(at, replaced, version)| Ok((&*keys[at], replaced, Value::new(version)?)));
        let made = made.collect::<Result<Vec<_>, Error>>()?;
        if !made.is_empty() {
            let ttl = Some(Ttl::After(tag::VERSION_TTL));
            let made = backend.compare_and_set_many(made, ttl).await?;
            // Where another was first, its version counts.
            for (&(at, _, version), _) in fresh.iter().zip(made).filter(|(_, made)| *made) {
                versions[at] = Some(version);
            }
        }
        if versions.iter().all(Option::is_some) {
            let tags = names.iter().zip(versions);
            return Ok(tags
                .map(|(name, version)| Tag::new(name, version))
                .collect());
        }
    }
    let text = format!("the versions of tags changed during each of {ATTEMPTS} attempts");
    Err(Error::contention(text))
}

/// What is kept beside a value that is stored from now on as long as the store has it; `None` without tags.
///
/// # Errors
/// As [`current`].
pub(in crate::backend) async fn meta<B>(backend: &B, given: &[&str]) -> Result<Option<Meta>, Error>
where
    B: CacheBackend + ?Sized,
{
    let tags = current(backend, given).await?;
    Ok(beside(backend, &tags))
}

/// What is kept beside a value that has these tags; `None` without any.
pub(in crate::backend) fn beside<B>(backend: &B, tags: &[Tag]) -> Option<Meta>
where
    B: CacheBackend + ?Sized,
{
    if tags.is_empty() {
        return None;
    }
    let times = Times::new(wall::now(backend), Ttl::Never, false);
    Some(Meta::new(times).tagged(tags.into()))
}

/// Whether none of a value's tags has been removed since what it was made of was looked for.
///
/// # Errors
/// What the store fails with.
#[inline]
pub(in crate::backend) async fn hold<B>(backend: &B, value: &Value) -> Result<bool, Error>
where
    B: CacheBackend + ?Sized,
{
    if are_known_to_hold(backend, value) {
        return Ok(true);
    }
    look_up(backend, value).await
}

/// As [`hold`], whatever is known already.
///
/// # Errors
/// As [`hold`].
pub(in crate::backend) async fn look_up<B>(backend: &B, value: &Value) -> Result<bool, Error>
where
    B: CacheBackend + ?Sized,
{
    let tags = value.tags();
    match look_up_now(backend, value, &tags) {
        Some(holds) => Ok(holds),
        None => {
            let all = [tags];
            let holds = Box::pin(ask(backend, &all)).await?;
            Ok(holds == [true])
        }
    }
}

/// Whether tags that were last found to hold then are known to hold, and their value to be fresh for longer than that serves. Where it says
/// no, they may.
#[inline]
pub(in crate::backend) fn are_checked<B>(backend: &B, checked: &Checked) -> bool
where
    B: CacheBackend + ?Sized,
{
    let changes = backend.tag_changes();
    changes.is_some_and(|changes| changes.are_checked(checked))
}

/// The same of a value's tags, if it has any, and there is something to remember it.
#[inline]
pub(in crate::backend) fn are_known_to_hold<B>(backend: &B, value: &Value) -> bool
where
    B: CacheBackend + ?Sized,
{
    let checked = value.checked();
    checked.is_some_and(|(_, checked)| are_checked(backend, checked))
}

/// As [`hold_now`], which is remembered unless the value's fresh life is about to end.
pub(in crate::backend) fn look_up_now<B>(backend: &B, value: &Value, tags: &[Tag]) -> Option<bool>
where
    B: CacheBackend + ?Sized,
{
    match (backend.tag_changes(), value.checked()) {
        (Some(changes), Some((times, checked))) if stays_fresh(backend, times, changes) => {
            changes.check(checked, || hold_now(backend, tags))
        }
        _ => hold_now(backend, tags),
    }
}

/// Whether somebody who relies on a look that is made now, as long as one may, does so while the value is fresh.
fn stays_fresh<B>(backend: &B, times: Times, changes: &TagChanges) -> bool
where
    B: CacheBackend + ?Sized,
{
    times.is_fresh(wall::now(backend).saturating_add(changes.every()))
}

/// As [`hold`], of many values with one question; those that are not asked about are [`true`].
///
/// # Errors
/// As [`hold`].
pub(in crate::backend) async fn hold_each<B>(
    backend: &B,
    values: &[Option<Value>],
    is_asked: impl Fn(usize) -> bool,
) -> Result<Vec<bool>, Error>
where
    B: CacheBackend + ?Sized,
{
    let mut holds = vec![true; values.len()];
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for (at, value) in values.iter().enumerate() {
        let value = value.as_ref().filter(|value| value.is_tagged());
        let Some(value) = value.filter(|_| is_asked(at)) else {
            continue;
        };
        if are_known_to_hold(backend, value) {
            continue;
        }
        let tags = value.tags();
        match look_up_now(backend, value, &tags) {
            Some(known) => holds[at] = known,
            None => {
                open.push(at);
                all.push(tags);
            }
        }
    }
    if !open.is_empty() {
        for (at, answer) in open.into_iter().zip(ask(backend, &all).await?) {
            holds[at] = answer;
        }
    }
    Ok(holds)
}

/// Whether none of a value's tags has been removed, as far as is known in this process, for when the store cannot be asked. Of a tag of
/// which nothing is known, it may have been.
pub(in crate::backend) fn held_last<B>(backend: &B, value: &Value) -> bool
where
    B: CacheBackend + ?Sized,
{
    let known = |tag: &Tag| backend.last_known(tag.key()).as_ref().and_then(version_of);
    value.tags().iter().all(|tag| tag.holds(known(tag)))
}

/// Whether all tags hold, if that can be said without waiting.
#[inline]
pub(in crate::backend) fn hold_now<B>(backend: &B, tags: &[Tag]) -> Option<bool>
where
    B: CacheBackend + ?Sized,
{
    let mut is_open = false;
    for tag in tags {
        let mut stored = None;
        let mut read = |value: &Value| stored = version_of(value);
        if !backend.read_now(tag.key(), &mut read) {
            is_open = true;
        } else if !tag.holds(stored) {
            return Some(false);
        }
    }
    (!is_open).then_some(true)
}

/// Whether the tags hold, of each of these.
async fn ask<B>(backend: &B, all: &[Cow<'_, [Tag]>]) -> Result<Vec<bool>, Error>
where
    B: CacheBackend + ?Sized,
{
    let mut keys: Vec<&str> = all
        .iter()
        .flat_map(|tags| tags.iter().map(Tag::key))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let found = backend.get_values(&keys).await?;
    // A store that answers too little has lost the rest.
    let found = keys.into_iter().zip(&found);
    let found = found.map(|(key, value)| (key, value.as_ref().and_then(version_of)));
    let versions: HashMap<&str, Option<Version>, ahash::RandomState> = found.collect();
    let holds = |tag: &Tag| tag.holds(versions.get(tag.key()).copied().flatten());
    Ok(all.iter().map(|tags| tags.iter().all(holds)).collect())
}

#[inline]
fn version_of(value: &Value) -> Option<Version> {
    match value.downcast_ref() {
        Some(version) => Some(*version),
        None => value.to_once().ok(),
    }
}

/// Makes all entries with this tag misses.
///
/// # Errors
/// What the store fails with; if the tag is too long.
pub(in crate::backend) async fn remove<B>(
    backend: &B,
    name: &str,
    call: &'static str,
) -> Result<(), Error>
where
    B: CacheBackend + ?Sized,
{
    tag::check_tags(&[name]).map_err(|error| error.during(call, Some(name)))?;
    let removed = backend.delete_value(&tag::version_key(name)).await;
    // The key is not one that the caller knows.
    removed.map(drop).map_err(|error| error.renamed(call, name))
}
