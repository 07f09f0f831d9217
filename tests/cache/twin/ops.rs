//! What is done with the cache and its twin.

use nori_cache::Ttl;
use proptest::prelude::*;
use std::time::Duration;

/// More keys than that are not promised to be in exact order.
const MOST_KEYS: usize = 64;
/// Enough for all of them, and too little for one.
const MOST_WEIGHT: u64 = 900;

pub(crate) type Key = u16;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    Insert(Key, Option<Life>),
    Get(Key),
    GetWith(Key),
    GetMany(Key, Key),
    Peek(Key),
    Contains(Key),
    Remaining(Key),
    Remove(Key),
    Take(Key),
    Update(Key, Change),
    SetTtl(Key, Option<Life>),
    Touch(Key),
    Retain(Key),
    InvalidateIf(Key),
    Clear,
    Drain,
    InsertIfAbsent(Key),
    Replace(Key),
    RemoveIf(Key, bool),
    UpdateWith(Key),
    Load(Key, Option<Life>),
    LoadFails(Key),
    /// All of them but the second are found.
    LoadMany(Key, Key, Key),
    Advance(u32),
    Purge,
    InsertPinned(Key),
    Unpin(Key),
    SetMaxKeys(usize),
    SetMaxWeight(u64),
    /// Into a cache of so many keys.
    #[cfg(feature = "serde")]
    Snapshot(usize),
    /// One of which such a part is missing, in 65,536ths.
    #[cfg(feature = "serde")]
    CutSnapshot(u16),
}

/// A time to live in milliseconds; 0 stores nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life(pub(crate) u32);

#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Set,
    SetWithTtl(Option<Life>),
    Remove,
}

impl Life {
    pub(crate) fn ttl(life: Option<Self>) -> Ttl {
        life.map_or(Ttl::Never, |Self(ms)| {
            Ttl::After(Duration::from_millis(u64::from(ms)))
        })
    }
}

fn life() -> impl Strategy<Value = Option<Life>> {
    prop_oneof![
        6 => Just(None),
        4 => (1..60_u32).prop_map(|ms| Some(Life(ms))),
        2 => (1..100_000_u32).prop_map(|ms| Some(Life(ms))),
        1 => Just(Some(Life(0))),
    ]
}

pub(crate) fn op(keys: Key) -> impl Strategy<Value = Op> {
    let key = move || 0..keys;
    let change = prop_oneof![
        4 => Just(Change::Set),
        2 => life().prop_map(Change::SetWithTtl),
        1 => Just(Change::Remove),
    ];
    prop_oneof![
        40 => (key(), life()).prop_map(|(k, l)| Op::Insert(k, l)),
        25 => key().prop_map(Op::Get),
        8 => key().prop_map(Op::GetWith),
        4 => (key(), key()).prop_map(|(a, b)| Op::GetMany(a, b)),
        4 => key().prop_map(Op::Peek),
        3 => key().prop_map(Op::Contains),
        3 => key().prop_map(Op::Remaining),
        5 => key().prop_map(Op::Remove),
        3 => key().prop_map(Op::Take),
        8 => (key(), change).prop_map(|(k, c)| Op::Update(k, c)),
        6 => (key(), life()).prop_map(|(k, l)| Op::SetTtl(k, l)),
        4 => key().prop_map(Op::Touch),
        1 => key().prop_map(Op::Retain),
        1 => key().prop_map(Op::InvalidateIf),
        1 => Just(Op::Clear),
        1 => Just(Op::Drain),
        6 => key().prop_map(Op::InsertIfAbsent),
        5 => key().prop_map(Op::Replace),
        4 => (key(), any::<bool>()).prop_map(|(k, is_it)| Op::RemoveIf(k, is_it)),
        3 => key().prop_map(Op::UpdateWith),
        12 => (key(), life()).prop_map(|(k, l)| Op::Load(k, l)),
        2 => key().prop_map(Op::LoadFails),
        4 => (key(), key(), key()).prop_map(|(a, b, c)| Op::LoadMany(a, b, c)),
        5 => (0..40_u32).prop_map(Op::Advance),
        1 => (0..200_000_u32).prop_map(Op::Advance),
        2 => Just(Op::Purge),
    ]
}

/// What only the twin of one shard can follow: which entry goes is not up to the cache.
pub(crate) fn any_op(keys: Key) -> impl Strategy<Value = Op> {
    let key = move || 0..keys;
    let others = prop_oneof![
        6 => key().prop_map(Op::InsertPinned),
        5 => key().prop_map(Op::Unpin),
        2 => (0..=MOST_KEYS).prop_map(Op::SetMaxKeys),
        2 => (0..MOST_WEIGHT).prop_map(Op::SetMaxWeight),
    ];
    #[cfg(feature = "serde")]
    let others = prop_oneof![
        15 => others,
        1 => (1..=MOST_KEYS).prop_map(Op::Snapshot),
        1 => any::<u16>().prop_map(Op::CutSnapshot),
    ];
    prop_oneof![10 => op(keys), 1 => others]
}

/// The idle time of a cache in milliseconds, if it has one.
pub(crate) fn idle() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        Just(None),
        (1..15_u64).prop_map(Some),
        (1..300_u64).prop_map(Some)
    ]
}

/// What a cache of one shard is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) max_keys: usize,
    /// If entries are weighed.
    pub(crate) max_weight: Option<u64>,
    pub(crate) idle: Option<u64>,
}

impl Bounds {
    /// With nothing but that.
    pub(crate) fn keys(max_keys: usize) -> Self {
        Self {
            max_keys,
            max_weight: None,
            idle: None,
        }
    }
}

/// The bounds, the range of keys (some fit, some do not) and what is done with them.
pub(crate) fn scenario() -> impl Strategy<Value = (Bounds, Vec<Op>)> {
    let max_weight = prop_oneof![Just(None), (1..MOST_WEIGHT).prop_map(Some)];
    (1..=MOST_KEYS, max_weight, idle())
        .prop_flat_map(|(max_keys, max_weight, idle)| {
            let bounds = Bounds {
                max_keys,
                max_weight,
                idle,
            };
            (Just(bounds), 1..=max_keys * 3)
        })
        .prop_flat_map(|(bounds, keys)| {
            let ops = prop::collection::vec(any_op(keys as Key), 1..400);
            (Just(bounds), ops)
        })
}
