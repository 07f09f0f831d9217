//! One adapter per rival.

mod dashmap;
mod foyer;
mod hashbrown;
mod lru_mutexes;
mod mini_moka;
mod moka;
mod nori_cache;
mod papaya;
mod quick_cache;
mod scc;
mod sieve_cache;
mod stretto;
mod tinyufo;

pub use self::{
    dashmap::DashMap,
    foyer::{Foyer, Lru, Policy, S3Fifo},
    hashbrown::Hashbrown,
    lru_mutexes::LruMutexes,
    mini_moka::MiniMoka,
    moka::Moka,
    nori_cache::NoriCache,
    papaya::Papaya,
    quick_cache::QuickCache,
    scc::SccHashCache,
    sieve_cache::ShardedSieve,
    stretto::Stretto,
    tinyufo::TinyUfo,
};

use crate::{Key, Subject, Value};

/// The name of the cache this package belongs to; ratios are taken against it.
pub const OURS: &str = "nori-cache";

/// The name of the unsynchronised floor.
pub const FLOOR: &str = "hashbrown";

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
