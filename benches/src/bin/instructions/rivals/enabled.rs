//! The rivals, each with the paths that it has.

use crate::operations::{Run, evict, fill, hit, hot, miss, update};
use nori_cache_benches::subjects::{DashMap, Papaya, QuickCache, SccHashCache};

pub const HIT: &[Run] = &[
    ("quick_cache", hit::<QuickCache<_, _>>),
    ("papaya", hit::<Papaya<_, _>>),
    ("dashmap", hit::<DashMap<_, _>>),
    ("scc", hit::<SccHashCache<_, _>>),
];

pub const HOT: &[Run] = &[
    ("papaya", hot::<Papaya<_, _>>),
    ("scc", hot::<SccHashCache<_, _>>),
];

pub const MISS: &[Run] = &[
    ("quick_cache", miss::<QuickCache<_, _>>),
    ("papaya", miss::<Papaya<_, _>>),
    ("scc", miss::<SccHashCache<_, _>>),
];

pub const UPDATE: &[Run] = &[
    ("quick_cache", update::<QuickCache<_, _>>),
    ("papaya", update::<Papaya<_, _>>),
    ("scc", update::<SccHashCache<_, _>>),
];

pub const EVICT: &[Run] = &[
    ("quick_cache", evict::<QuickCache<_, _>>),
    ("scc", evict::<SccHashCache<_, _>>),
];

pub const FILL: &[Run] = &[
    ("quick_cache", fill::<QuickCache<_, _>>),
    ("scc", fill::<SccHashCache<_, _>>),
];
