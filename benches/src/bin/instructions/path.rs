//! The paths that are counted, and who has them.

use crate::operations::{
    Run, evict, fill, hit, hot, incr, insert_and_remove, kept_load, load_cold, load_hit,
    load_hit_async, miss, plain_load, shared_get, tagged_get, tagged_load, typed_get, typed_set,
    update,
};
use crate::rivals;
use crate::tiers::{NEAR_GET, NEAR_TAGGED_GET};
use nori_cache_benches::Profile;
use nori_cache_benches::subjects::{
    FLOOR, Hashbrown, NoriCache, OURS, OURS_ADAPTIVE, OURS_NO_TTL, OURS_TICKING, OURS_WEIGHED,
    OURS_WEIGHED_LOOSELY, WEIGHT,
};

/// The names of a path and of one of its subjects.
pub type Cell = (&'static str, &'static str);

/// Some rows of the table.
pub struct Path {
    pub name: &'static str,
    /// The bare map, if it has the path, and ours.
    own: &'static [Run],
    rivals: &'static [Run],
}

impl Path {
    pub fn runs(&self) -> impl Iterator<Item = &'static Run> {
        self.own.iter().chain(self.rivals)
    }
}

type Floor = Hashbrown<String, Profile>;
type Ours = NoriCache<String, Profile>;
type OursNoTtl = NoriCache<String, Profile, false>;
type OursTicking = NoriCache<String, Profile, true, true>;
type OursAdaptive = NoriCache<String, Profile, true, false, true>;
type OursWeighed = NoriCache<String, Profile, true, false, false, WEIGHT>;
type OursWeighedLoosely = NoriCache<String, Profile, true, false, false, { 2 * WEIGHT }>;

pub const PATHS: &[Path] = &[
    Path {
        name: "hit",
        own: &[
            (FLOOR, hit::<Floor>),
            (OURS_NO_TTL, hit::<OursNoTtl>),
            (OURS_TICKING, hit::<OursTicking>),
            (OURS, hit::<Ours>),
            (OURS_ADAPTIVE, hit::<OursAdaptive>),
        ],
        rivals: rivals::HIT,
    },
    Path {
        name: "hot",
        own: &[
            (FLOOR, hot::<Floor>),
            (OURS_NO_TTL, hot::<OursNoTtl>),
            (OURS, hot::<Ours>),
        ],
        rivals: rivals::HOT,
    },
    Path {
        name: "miss",
        own: &[
            (FLOOR, miss::<Floor>),
            (OURS_NO_TTL, miss::<OursNoTtl>),
            (OURS, miss::<Ours>),
        ],
        rivals: rivals::MISS,
    },
    Path {
        name: "update",
        own: &[
            (FLOOR, update::<Floor>),
            (OURS_NO_TTL, update::<OursNoTtl>),
            (OURS, update::<Ours>),
            (OURS_ADAPTIVE, update::<OursAdaptive>),
            (OURS_WEIGHED, update::<OursWeighed>),
            (OURS_WEIGHED_LOOSELY, update::<OursWeighedLoosely>),
        ],
        rivals: rivals::UPDATE,
    },
    Path {
        name: "insert-evicting",
        own: &[
            (OURS_NO_TTL, evict::<OursNoTtl>),
            (OURS, evict::<Ours>),
            (OURS_ADAPTIVE, evict::<OursAdaptive>),
            (OURS_WEIGHED, evict::<OursWeighed>),
            (OURS_WEIGHED_LOOSELY, evict::<OursWeighedLoosely>),
        ],
        rivals: rivals::EVICT,
    },
    Path {
        name: "insert-into-room",
        own: &[
            (FLOOR, fill::<Floor>),
            (OURS_NO_TTL, fill::<OursNoTtl>),
            (OURS, fill::<Ours>),
            (OURS_ADAPTIVE, fill::<OursAdaptive>),
            (OURS_WEIGHED, fill::<OursWeighed>),
            (OURS_WEIGHED_LOOSELY, fill::<OursWeighedLoosely>),
        ],
        rivals: rivals::FILL,
    },
    Path {
        name: "insert-remove",
        own: &[(OURS, insert_and_remove)],
        rivals: &[],
    },
    Path {
        name: "load-hit",
        own: &[(OURS, load_hit)],
        rivals: &[],
    },
    Path {
        name: "load-hit-async",
        own: &[(OURS, load_hit_async)],
        rivals: &[],
    },
    Path {
        name: "load-cold",
        own: &[(OURS, load_cold)],
        rivals: &[],
    },
    Path {
        name: "typed-get-through-dyn",
        own: &[(OURS, typed_get)],
        rivals: &[],
    },
    Path {
        name: "typed-set-through-dyn",
        own: &[(OURS, typed_set)],
        rivals: &[],
    },
    Path {
        name: "shared-get-through-dyn",
        own: &[(OURS, shared_get)],
        rivals: &[],
    },
    Path {
        name: "tagged-get-through-dyn",
        own: &[(OURS, tagged_get)],
        rivals: &[],
    },
    Path {
        name: "near-get-through-dyn",
        own: NEAR_GET,
        rivals: &[],
    },
    Path {
        name: "near-tagged-get-through-dyn",
        own: NEAR_TAGGED_GET,
        rivals: &[],
    },
    Path {
        name: "plain-load-through-dyn",
        own: &[(OURS, plain_load)],
        rivals: &[],
    },
    Path {
        name: "kept-load-through-dyn",
        own: &[(OURS, kept_load)],
        rivals: &[],
    },
    Path {
        name: "tagged-load-through-dyn",
        own: &[(OURS, tagged_load)],
        rivals: &[],
    },
    Path {
        name: "incr-in-memory",
        own: &[(OURS, incr)],
        rivals: &[],
    },
];
