//! The one trait that every measured cache implements, and the two kinds of entries it is measured with.

use std::{borrow::Borrow, fmt::Write as _, hash::Hash, sync::Arc};

/// The value of the text workloads: 64 bytes behind a reference count.
pub type Profile = Arc<[u8; 64]>;

/// A key that can be made from a number and looked up by a borrowed form.
pub trait Key: Hash + Eq + Clone + Send + Sync + Borrow<<Self as Key>::Lookup> + 'static {
    /// What a lookup passes: `str` for `String`.
    type Lookup: ?Sized + Hash + Eq;

    /// The key with the given number.
    fn from_id(id: u64) -> Self;

    /// The borrowed form of this key.
    #[inline]
    fn lookup(&self) -> &Self::Lookup {
        self.borrow()
    }
}

impl Key for u64 {
    type Lookup = u64;

    #[inline]
    fn from_id(id: u64) -> Self {
        id
    }
}

/// 24 bytes: `user:00000000042:profile`.
impl Key for String {
    type Lookup = str;

    fn from_id(id: u64) -> Self {
        let mut key = String::with_capacity(24);
        write!(key, "user:{id:011}:profile").expect("writing to a String cannot fail");
        key
    }
}

/// A value that can be made from a number and read in place.
pub trait Value: Clone + Send + Sync + 'static {
    /// The value with the given number.
    fn from_id(id: u64) -> Self;

    /// Reads one byte of the value where it lies.
    fn first_byte(&self) -> u8;
}

impl Value for u64 {
    #[inline]
    fn from_id(id: u64) -> Self {
        id
    }

    #[inline]
    fn first_byte(&self) -> u8 {
        *self as u8
    }
}

impl Value for Profile {
    #[inline]
    fn from_id(id: u64) -> Self {
        Arc::new([id as u8; 64])
    }

    #[inline]
    fn first_byte(&self) -> u8 {
        self[0]
    }
}

/// A handle on a cache under test; each thread owns one.
pub trait Subject<K: Key, V: Value>: Sized + Send + 'static {
    /// The name in tables and on the command line.
    const NAME: &'static str;

    /// Whether the capacity is a bound. Maps that grow for ever are left out of workloads that evict.
    const EVICTS: bool = true;

    /// An empty cache for `capacity` entries, with the defaults its documentation recommends.
    fn fresh(capacity: usize) -> Self;

    /// Another handle on the same cache, for another thread; `None` if it is bound to one thread.
    fn share(&self) -> Option<Self>;

    /// Looks a key up, refreshes its recency and clones the value.
    fn get(&mut self, key: &K) -> Option<V>;

    /// Reads the value in place if the cache can do that, otherwise by its cheapest refreshing read.
    #[inline]
    fn read_with<R>(&mut self, key: &K, read: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).as_ref().map(read)
    }

    /// Looks many keys up and hands each result to `each`, in order; one by one unless the cache has a call for it.
    #[inline]
    fn get_many(&mut self, keys: &[K], mut each: impl FnMut(Option<V>)) {
        for key in keys {
            each(self.get(key));
        }
    }

    /// Stores a key that is usually absent.
    fn insert(&mut self, key: K, value: V);

    /// Replaces the value of a key that is usually present.
    #[inline]
    fn update(&mut self, key: K, value: V) {
        self.insert(key, value);
    }

    /// Finishes work the cache has put off; called outside of timed sections only.
    fn settle(&mut self) {}
}
