//! Purging by prefix: the list of purges in the backend.

use super::handle::Storage;
use super::own_keys;
use super::purge_list::{PurgeList, PurgeTarget};
use super::reading::look;
use crate::backend::{CacheBackendExt, Value};
use crate::error::Error;
use crate::response::entry::purge_number::PurgeNumber;
use crate::time::Ttl;
use std::future::ready;

impl Storage {
    /// Records a purge.
    ///
    /// # Errors
    /// Those of the backend.
    pub(crate) async fn purge(&self, target: PurgeTarget) -> Result<(), Error> {
        let now = self.now();
        let backend = self.backend()?;
        let known = &self.shared.known;
        // Read before the look into the store, so that the list has to reach to it.
        let reaches = known.last();
        let update = |purges: Option<PurgeList>| {
            let purges = purges.unwrap_or_default();
            ready(if purges.is_credible(now) && purges.last() >= reaches {
                purges.with(target.clone(), now)
            } else {
                self.purge_of_everything()
            })
        };
        let key = own_keys::PURGE_LIST;
        let updated = backend.atomic_update(key, Some(Ttl::Never), update).await;
        let last = match updated {
            // Nobody can say what was purged before.
            Err(error) if error.is_decoding() || error.is_wrong_type() => {
                let all = self.purge_of_everything();
                let last = all.last();
                backend.set(key, all, Ttl::Never).await?;
                last
            }
            updated => updated?.last(),
        };
        known.saw(last);
        Ok(())
    }

    /// The list of purges. It must reach to `known`, a purge that was known of before the list was read.
    ///
    /// # Errors
    /// What lies there, if that is no list of ours, or one that has lost something.
    pub(super) fn read_purges(
        &self,
        value: Option<Value>,
        known: PurgeNumber,
    ) -> Result<PurgeList, Option<Value>> {
        let purges = match &value {
            Some(value) => value.to::<PurgeList>().ok(),
            None => Some(PurgeList::default()),
        };
        let is_whole =
            |purges: &PurgeList| purges.is_credible(self.now()) && purges.last() >= known;
        let purges = purges.filter(is_whole).ok_or(value)?;
        self.shared.known.saw(purges.last());
        Ok(purges)
    }

    /// Puts a purge of everything in the place of a list that has lost something: nobody can say what was purged.
    ///
    /// # Errors
    /// Those of the backend.
    pub(super) async fn replace_purges(
        &self,
        lost: Option<&Value>,
        known: PurgeNumber,
    ) -> Result<PurgeList, Error> {
        let backend = self.backend()?;
        let all = self.purge_of_everything();
        let value = Value::new(all.clone())?;
        let key = own_keys::PURGE_LIST;
        // Only that list is replaced: a purge that comes meanwhile stays.
        let replaced = backend
            .compare_and_set(key, lost, value.clone(), Some(Ttl::Never))
            .await;
        let is_replaced = match replaced {
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
        let found = look(&**backend, key).await?;
        Ok(self.read_purges(found, known).unwrap_or(all))
    }

    /// A purge of all that any request of this layer can have been asked for. It is known of once it is in the store.
    fn purge_of_everything(&self) -> PurgeList {
        let last = self.shared.known.last();
        PurgeList::of_everything(last.next(self.now()))
    }
}
