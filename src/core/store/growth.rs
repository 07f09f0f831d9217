//! How often growing files keys again.

use super::*;
use crate::core::entry::NEVER;
use crate::core::reclaim;
use crate::core::write::Write;

/// Fills a store; returns how many keys its growths have filed again, and how many buckets there are in the end.
fn fill(max_keys: usize, shards: usize) -> (usize, usize) {
    let store = Store::new(max_keys, shards);
    let (mut filed, mut buckets) = (0, 0);
    for key in 0..max_keys as u64 {
        // The store spreads by multiplication, which makes counting numbers too even.
        let mut hash = (key ^ key >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^= hash >> 29;
        let route = store.route(hash);
        Write::new(&store, reclaim::domain(), reclaim::pin(), 0).insert(route, NEVER, key, ());
        let now = store.table(&reclaim::pin()).index.range() * shards;
        if now != buckets {
            filed += key as usize;
            buckets = now;
        }
    }
    assert_eq!(store.len(), max_keys);
    (filed, buckets)
}

/// The last growth comes early, when there are few keys to file again, and is the last.
#[test]
fn a_fill_files_few_keys_again() {
    for (max_keys, shards) in [
        (1_000, 1),
        (10_000, 8),
        (100_000, 8),
        (262_144, 256),
        (300_000, 1),
        (300_000, 16),
        (262_144, 1_024),
    ] {
        let (filed, buckets) = fill(max_keys, shards);
        assert!(
            filed <= max_keys * 3 / 10,
            "{max_keys} keys, {shards} shards: {filed} filed again"
        );
        let bytes = buckets * 64 / max_keys;
        assert!(bytes < 10, "{bytes} bytes a key");
    }
}
