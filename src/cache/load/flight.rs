//! One load, and those who follow it.

use crate::flights::queue::Queue;
use crate::flights::unless_circular;
use crate::flights::wait_graph::{Node, Work};
use std::sync::Arc;

/// The load of a key, that somebody leads and others may wait for.
pub(crate) struct Flight<K, V> {
    pub(super) key: K,
    node: Node,
    queue: Queue<Phase<V>>,
}

#[derive(Default)]
enum Phase<V> {
    #[default]
    Loading,
    /// Its key was written meanwhile: the value will not be stored.
    Overtaken,
    /// With the value for those who wait; `None` if the leader gave up, or knew of nobody who waits: they look again.
    Ended(Option<Arc<V>>),
}

/// It would wait for itself, by some way round.
#[derive(Debug)]
pub(crate) struct Circular;

impl<K, V> Flight<K, V> {
    /// A load of a cache, told by its table's address, and which of its loads.
    pub(super) fn new(key: K, table: usize, number: u64) -> Self {
        Self {
            key,
            node: (table, number, Work::Load),
            queue: Queue::default(),
        }
    }

    /// Waits for the leader. `None` if it gave up.
    ///
    /// The value is not cloned here but handed out as it is, because a clone is user code, and this looks under the queue's lock.
    pub(crate) async fn answer(&self) -> Result<Option<Arc<V>>, Circular> {
        let ended = self.queue.wait(|phase| match phase {
            Phase::Ended(answer) => Some(answer.clone()),
            _ => None,
        });
        unless_circular(self.node, ended).await.ok_or(Circular)
    }

    /// What the load's closure runs inside of.
    pub(super) fn node(&self) -> Node {
        self.node
    }

    /// Calls `put`, which is to store the value, unless a write has overtaken the load; a write that comes meanwhile waits for it.
    /// So `put` must not run user code.
    pub(super) fn store<R>(&self, put: impl FnOnce() -> R) -> Option<R> {
        self.queue
            .with(|phase| matches!(phase, Phase::Loading).then(put))
    }

    /// Whether nobody waits.
    pub(super) fn is_deserted(&self) -> bool {
        self.queue.is_empty()
    }

    /// Answers those who wait.
    pub(super) fn end(&self, answer: Option<Arc<V>>) {
        self.queue.change(Phase::Ended(answer));
    }

    /// Keeps the value out of the cache. If it is being stored, that is over first: then the write comes after it.
    pub(super) fn overtake(&self) {
        self.queue.with(|phase| {
            if matches!(phase, Phase::Loading) {
                *phase = Phase::Overtaken;
            }
        });
    }
}
