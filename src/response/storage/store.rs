//! Storing a response where its question will find it.

use super::handle::{ObservedPurges, Storage};
use super::hash::random;
use super::lookup::{read_signpost, variant_key};
use super::own_keys;
use super::purge_bucket;
use super::purge_marks::PurgeMarks;
use super::reading::{look, look_at_all, look_at_latest, mark};
use super::tag_versions::Versions;
use crate::backend::{CacheBackend, Value};
use crate::error::Error;
use crate::response::clock::UnixMillis;
use crate::response::entry::made_for::{MadeFor, Origin};
use crate::response::entry::signpost::Signpost;
use crate::response::entry::stored_response::StoredResponse;
use crate::response::policy::variants::MAX_SELECTING_FIELDS;
use crate::response::request::question::Question;
use crate::time::Ttl;
use http::header::{CONTENT_ENCODING, HeaderName};
use std::sync::Arc;
use std::time::Duration;

impl Storage {
    /// Stores a response where questions like this one will find it. False if the key, or a tag, was purged since the request came.
    ///
    /// # Errors
    /// Those of the backend.
    pub(crate) async fn store(
        &self,
        question: &Question,
        stored: &Arc<StoredResponse>,
        keep: Duration,
        observed: ObservedPurges,
    ) -> Result<bool, Error> {
        let backend = &**self.backend()?;
        let known = &self.shared.known;
        let key = question.key.as_str();
        let bucket = purge_bucket::of(key);
        let mark_key = own_keys::purge_mark(bucket);
        let mark_key = mark_key.as_str();
        // 1. See whether the key was purged so far.
        let [occupant, before] = look_at_all(backend, [key, mark_key]).await?;
        let before = PurgeMarks {
            stored: mark(before),
            counted: known.count(bucket),
        };
        if before != observed.marks {
            return Ok(false);
        }
        // 2. See whether a tag was.
        let stored = if stored.has_tags() {
            let versions = self.versions(backend, &stored.tags, observed.tags).await?;
            let Some(versions) = versions else {
                return Ok(false);
            };
            &Arc::new(under(stored, versions))
        } else {
            stored
        };
        // 3. Store.
        self.put(backend, question, stored, self.read(occupant), keep)
            .await?;
        // 4. See whether the key was purged meanwhile. The count is read before the mark: a purge counts before it writes one.
        let counted = known.count_after_write(bucket);
        let after = PurgeMarks {
            counted,
            stored: mark(look_at_latest(backend, mark_key).await?),
        };
        if after == observed.marks {
            return Ok(true);
        }
        // 5. The purge may not have seen the response, so it is removed here.
        let keys = [key, question.key.signpost()];
        backend.delete_values(&keys).await?;
        Ok(false)
    }

    async fn put(
        &self,
        backend: &dyn CacheBackend,
        question: &Question,
        stored: &Arc<StoredResponse>,
        occupant: Option<Arc<StoredResponse>>,
        keep: Duration,
    ) -> Result<(), Error> {
        let Origin::Ours(made_for) = &stored.origin else {
            return Ok(());
        };
        let key = question.key.as_str();
        let is_plain = made_for.vary.len() == question.key.fields
            && !stored.headers.contains_key(CONTENT_ENCODING);
        let is_free = occupant
            .as_ref()
            .is_none_or(|occupant| self.may_replace(occupant, made_for, question));
        if is_plain && is_free {
            let value = Value::trusted(Arc::clone(stored), stored.size());
            return backend.set_value(key, value, Ttl::After(keep)).await;
        }
        // 1. Have the signpost name what tells this variant apart.
        let names = made_for.vary.iter().map(|(name, _)| name.clone()).collect();
        let signpost = self.plant(backend, question, names, keep).await?;
        // 2. Store the variant as one of the signpost's family.
        let mut made_for = MadeFor::new(question, &signpost.names);
        made_for.family = signpost.family;
        let mut variant = StoredResponse::clone(stored);
        variant.origin = Origin::Ours(made_for);
        let size = variant.size();
        let value = Value::trusted(Arc::new(variant), size);
        let variant_key = variant_key(question, &signpost.names);
        backend
            .set_value(&variant_key, value, Ttl::After(keep))
            .await?;
        // 3. Remove what would be found in its place.
        if occupant.is_some_and(|occupant| occupant.matches(question)) {
            backend.delete_value(key).await?;
        }
        Ok(())
    }

    /// Whether what lies under a key may give way to the answer to this question.
    fn may_replace(
        &self,
        occupant: &StoredResponse,
        made_for: &MadeFor,
        question: &Question,
    ) -> bool {
        match &occupant.origin {
            Origin::Foreign => question.key.is_unambiguous(),
            Origin::Ours(other) => {
                let now = self.now();
                let is_over = !occupant.is_fresh(now) && !occupant.serves_while_revalidating(now);
                is_over || (other.is_resource(question) && other.vary == made_for.vary)
            }
        }
    }

    /// The signpost for variants that these fields tell apart: the one that stands, if it names them all.
    async fn plant(
        &self,
        backend: &dyn CacheBackend,
        question: &Question,
        names: Vec<HeaderName>,
        keep: Duration,
    ) -> Result<Signpost, Error> {
        let key = question.key.signpost();
        let standing = read_signpost(look(backend, key).await?);
        let now = self.now();
        let until = now.plus(keep).min(UnixMillis::END);
        let signpost = combined(standing, names, until, || random(now));
        let value = Value::new(signpost.clone())?;
        let ttl = Ttl::After(signpost.until.since(now));
        backend.set_value(key, value, ttl).await?;
        Ok(signpost)
    }
}

/// The response with the versions of its tags.
fn under(stored: &StoredResponse, versions: Versions) -> StoredResponse {
    let mut stored = stored.clone();
    stored.observed_tags.stored = Some(versions.observed);
    for (tag, id) in stored.tags.iter_mut().zip(versions.ids) {
        tag.version = Some(id);
    }
    stored
}

/// A signpost that names these fields, and those of the standing one as far as there is room. Its family is another one if it names
/// something new: what was stored before does not say what its request said there.
fn combined(
    standing: Option<Signpost>,
    names: Vec<HeaderName>,
    until: UnixMillis,
    new_family: impl FnOnce() -> u64,
) -> Signpost {
    let Some(mut standing) = standing else {
        let family = new_family();
        return Signpost {
            family,
            names,
            until,
        };
    };
    let is_named = |name: &HeaderName| standing.names.contains(name);
    if names.iter().all(is_named) {
        standing.until = standing.until.max(until);
        return standing;
    }
    let family = new_family();
    if standing.names.len() + names.len() > MAX_SELECTING_FIELDS {
        return Signpost {
            family,
            names,
            until,
        };
    }
    let others: Vec<_> = names.into_iter().filter(|name| !is_named(name)).collect();
    standing.names.extend(others);
    Signpost {
        family,
        names: standing.names,
        until: until.max(standing.until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<HeaderName> {
        let name = |n| HeaderName::try_from(format!("x-{n}")).unwrap();
        (0..count).map(name).collect()
    }

    #[test]
    fn a_signpost_stands_unless_something_is_new() {
        let standing = Signpost {
            family: 1,
            names: names(3),
            until: UnixMillis::new(100),
        };
        let plant = |names, until| {
            let until = UnixMillis::new(until);
            combined(Some(standing.clone()), names, until, || 2)
        };
        assert_eq!(plant(names(2), 50), standing);
        let longer = plant(names(3), 200);
        assert_eq!((longer.family, longer.until.get()), (1, 200));
        let more = plant(names(5)[2..].to_vec(), 50);
        assert_eq!((more.family, more.until.get()), (2, 100));
        assert_eq!(more.names, names(5));
    }

    #[test]
    fn a_signpost_names_no_more_than_it_may() {
        let standing = Signpost {
            family: 1,
            names: names(MAX_SELECTING_FIELDS),
            until: UnixMillis::new(100),
        };
        let other = vec![HeaderName::from_static("other")];
        let until = UnixMillis::new(50);
        let one = combined(Some(standing), other.clone(), until, || 2);
        assert_eq!((one.family, one.names, one.until), (2, other, until));
    }
}
