//! Keys and values of all sizes and alignments.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::support::Rng;
use nori_cache::{Cache, ManualClock, Update};

#[test]
fn zero_sized_keys_and_values_work() {
    let cache: Cache<(), ()> = Cache::new(1);
    assert_eq!(cache.get(&()), None);
    cache.insert((), ());
    assert_eq!(cache.get(&()), Some(()));
    assert_eq!(cache.len(), 1);
    assert!(cache.remove(&()));
    assert!(cache.is_empty());
}

#[test]
fn zero_sized_values_are_dropped_once_each() {
    static ALIVE: AtomicI64 = AtomicI64::new(0);

    struct Nothing;

    impl Nothing {
        fn new() -> Self {
            ALIVE.fetch_add(1, Ordering::Relaxed);
            Self
        }
    }

    impl Drop for Nothing {
        fn drop(&mut self) {
            assert!(ALIVE.fetch_sub(1, Ordering::Relaxed) > 0, "dropped twice");
        }
    }

    let cache: Cache<u64, Nothing> = Cache::new(100);
    for n in 0..2_000 {
        cache.insert(n % 300, Nothing::new());
        cache.remove(&(n % 7));
        assert_eq!(cache.contains_key(&(n % 300)), n % 300 != n % 7);
    }
    assert!(ALIVE.load(Ordering::Relaxed) >= cache.len() as i64);
    drop(cache);
    assert_eq!(ALIVE.load(Ordering::Relaxed), 0);
}

/// What gives an array its alignment.
trait Align: Copy + Default + Send + Sync + 'static {}

macro_rules! aligns {
    ($($name:ident $align:literal)*) => {$(
        #[derive(Clone, Copy, Default)]
        #[repr(align($align))]
        struct $name;
        impl Align for $name {}
    )*};
}

aligns! { A1 1 A2 2 A8 8 A16 16 A32 32 A64 64 A128 128 A1024 1024 }

/// `N` bytes, at least, aligned like `A`, all made from one number; on the heap there is one more.
#[derive(Clone)]
struct Shape<A: Align, const N: usize> {
    bytes: [u8; N],
    heap: Box<u64>,
    align: A,
}

impl<A: Align, const N: usize> Shape<A, N> {
    fn new(n: u64) -> Self {
        Self {
            bytes: std::array::from_fn(|i| (n as usize + i) as u8),
            heap: Box::new(n),
            align: A::default(),
        }
    }

    #[track_caller]
    fn check(&self, n: u64) {
        assert!(std::ptr::from_ref(&self.align).is_aligned());
        assert!(std::ptr::from_ref(self).is_aligned());
        assert_eq!(*self.heap, n);
        assert!((0..N).all(|i| self.bytes[i] == (n as usize + i) as u8));
    }
}

impl<A: Align, const N: usize> PartialEq for Shape<A, N> {
    fn eq(&self, other: &Self) -> bool {
        self.check(*self.heap);
        self.heap == other.heap
    }
}

impl<A: Align, const N: usize> Eq for Shape<A, N> {}

impl<A: Align, const N: usize> Hash for Shape<A, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.heap.hash(state);
    }
}

/// Every way in and out of slots, with keys of one shape and values of another.
fn all_ways<K: Align, const KEY: usize, V: Align, const VALUE: usize>() {
    let clock = ManualClock::new();
    let cache: Cache<Shape<K, KEY>, Shape<V, VALUE>> = Cache::builder()
        .max_keys(40)
        .shards(2)
        .clock(clock.clone())
        .build()
        .unwrap();
    let mut rng = Rng((KEY * 1_000 + VALUE) as u64);
    for _ in 0..300 {
        let n = rng.below(100);
        let (key, value) = (Shape::new(n), Shape::new(n));
        match rng.below(8) {
            0..3 => _ = cache.insert(key, value),
            3 => _ = cache.insert_with_ttl(key, value, Duration::from_millis(1 + n % 5)),
            4 => drop(cache.update(key, |_| Update::Set(value.clone()))),
            5 => {
                if let Some(taken) = cache.take(&key) {
                    taken.check(n);
                }
            }
            6 => clock.advance(Duration::from_millis(1)),
            _ => cache.retain(|key, value| {
                value.check(*key.heap);
                *key.heap != n
            }),
        }
        cache.get_with(&Shape::new(n), |value| value.check(n));
    }
}

/// Values from none to thousands of bytes, so that slots end in all places of a cache line.
fn all_sizes<K: Align, V: Align>() {
    all_ways::<K, 0, V, 0>();
    all_ways::<K, 1, V, 1>();
    all_ways::<K, 0, V, 8>();
    all_ways::<K, 8, V, 9>();
    all_ways::<K, 8, V, 16>();
    all_ways::<K, 3, V, 24>();
    all_ways::<K, 24, V, 40>();
    all_ways::<K, 24, V, 80>();
    all_ways::<K, 100, V, 200>();
    all_ways::<K, 1, V, 2_000>();
}

#[test]
fn all_shapes_keep_their_place() {
    all_sizes::<A1, A1>();
    all_sizes::<A1, A2>();
    all_sizes::<A8, A16>();
    all_sizes::<A32, A8>();
    all_sizes::<A64, A1>();
    all_sizes::<A1, A64>();
    all_sizes::<A128, A16>();
    all_sizes::<A1, A128>();
    all_sizes::<A1024, A1024>();
}

#[test]
fn large_and_overaligned_values_work() {
    #[derive(Clone, PartialEq, Debug)]
    #[repr(align(128))]
    struct Page([u64; 512]);
    let cache: Cache<u64, Page> = Cache::new(64);
    for n in 0..200 {
        cache.insert(n, Page([n; 512]));
    }
    assert_eq!(cache.len(), 64);
    for n in 136..200 {
        let read = cache.get_with(&n, |page| {
            let aligned = std::ptr::from_ref(page).addr() % 128 == 0;
            (aligned, page.clone())
        });
        assert_eq!(read, Some((true, Page([n; 512]))));
    }
}
