//! All subjects.

use super::{
    DashMap, Foyer, Hashbrown, Lru, LruMutexes, MiniMoka, Moka, NoriCache, Papaya, QuickCache,
    S3Fifo, SccHashCache, ShardedSieve, Stretto, TinyUfo,
};
use crate::{Key, Subject, Value};

/// Something to be done with each type of subject.
pub trait Visitor<K: Key, V: Value> {
    /// Called once per subject type.
    fn visit<S: Subject<K, V>>(&mut self);
}

/// Shows every subject to `visitor`, ours first and the floor second.
pub fn for_each<K: Key, V: Value>(visitor: &mut impl Visitor<K, V>) {
    visitor.visit::<NoriCache<K, V>>();
    visitor.visit::<Hashbrown<K, V>>();
    visitor.visit::<NoriCache<K, V, false>>();
    visitor.visit::<NoriCache<K, V, true, true>>();
    visitor.visit::<NoriCache<K, V, true, false, true>>();
    visitor.visit::<Papaya<K, V>>();
    visitor.visit::<DashMap<K, V>>();
    visitor.visit::<LruMutexes<K, V>>();
    visitor.visit::<SccHashCache<K, V>>();
    visitor.visit::<QuickCache<K, V>>();
    visitor.visit::<TinyUfo<K, V>>();
    visitor.visit::<ShardedSieve<K, V>>();
    visitor.visit::<Foyer<K, V, Lru>>();
    visitor.visit::<Foyer<K, V, S3Fifo>>();
    visitor.visit::<Stretto<K, V>>();
    visitor.visit::<MiniMoka<K, V>>();
    visitor.visit::<Moka<K, V>>();
}

/// The names of all subjects, in the order of [`for_each`].
pub fn names() -> Vec<&'static str> {
    struct Names(Vec<&'static str>);
    impl Visitor<u64, u64> for Names {
        fn visit<S: Subject<u64, u64>>(&mut self) {
            self.0.push(S::NAME);
        }
    }
    let mut names = Names(Vec::new());
    for_each(&mut names);
    names.0
}
