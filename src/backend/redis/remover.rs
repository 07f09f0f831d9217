//! [`Remover`]: what repairs have of a backend.

use super::RedisCacheBackend;
use super::command::Key;
use super::servers::Servers;
use crate::error::Error;
use std::future::Future;
use std::sync::{Arc, Weak};

pub(in crate::backend) use super::servers::Removal;

/// Removes keys of a backend, which it does not keep alive.
pub(in crate::backend) struct Remover {
    servers: Weak<Servers>,
    prefix: Box<str>,
}

impl RedisCacheBackend {
    pub(in crate::backend) fn remover(&self) -> Remover {
        Remover {
            servers: Arc::downgrade(&self.servers),
            prefix: self.prefix.clone(),
        }
    }
}

impl Remover {
    /// Removes keys with their leases, but nothing that may be a counter. Of each is asked, between the look and the removal, whether that
    /// is still wanted, by its place. The answers come in the order of the keys; `None` if the backend is gone.
    pub(in crate::backend) async fn remove(
        &self,
        keys: &[&str],
        is_wanted: &(dyn Fn(usize) -> bool + Sync),
    ) -> Option<Vec<Result<Removal, Error>>> {
        let servers = self.servers.upgrade()?;
        let keys = keys.iter().map(|key| Key {
            prefix: &self.prefix,
            key,
        });
        let keys: Vec<Key<'_>> = keys.collect();
        Some(servers.remove_seen(&keys, is_wanted).await)
    }

    /// The same of all keys with the backend's prefix, each of which is asked about by its name.
    pub(in crate::backend) async fn remove_all(
        &self,
        is_wanted: &(dyn Fn(&str) -> bool + Sync),
    ) -> Option<Result<(), Error>> {
        let servers = self.servers.upgrade()?;
        Some(servers.flush_seen(&self.prefix, is_wanted).await)
    }

    /// Runs a task on the thread that drives connections. It runs nothing of a caller's. Whether it could be.
    pub(in crate::backend) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        match self.servers.upgrade() {
            Some(servers) => servers.spawn(task),
            None => false,
        }
    }
}
