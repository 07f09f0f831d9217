//! The workloads, as data.

use crate::{
    Key,
    workload::{self, Zipf},
};

/// How many requests a thread takes between two looks at the stop flag: a multiple of 20 and of 32.
pub const BATCH: usize = 320;

/// What a thread does with each key of its request array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Get and clone the value.
    Get,
    /// Read the value in place.
    ReadInPlace,
    /// Get 32 keys in one call.
    GetMany,
    /// Get, but replace the value at every `n`-th request; `n` divides the batch length.
    UpdateEvery(usize),
    /// Store an owned copy of the key and a new value.
    Insert,
    /// Get, and store on a miss.
    GetOrInsert,
}

/// Which keys and values a workload is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entries {
    /// 24-byte `String` keys, `Arc<[u8; 64]>` values.
    Text,
    /// `u64` keys, `u64` values.
    Numbers,
}

/// Which ids are asked for.
#[derive(Clone, Copy, Debug)]
pub enum Requests {
    /// Zipf over `0..universe`.
    Zipf {
        /// How many distinct ids there are.
        universe: u64,
        /// The exponent.
        theta: f64,
        /// How many requests are prepared; threads walk over them in circles.
        length: usize,
    },
    /// Uniform over `0..universe`.
    Uniform {
        /// How many distinct ids there are.
        universe: u64,
        /// How many requests are prepared.
        length: usize,
    },
    /// One key for ever.
    OneKey,
    /// Ids from `first` upwards, come round to long after they were evicted.
    New {
        /// The first id.
        first: u64,
        /// How many requests are prepared.
        length: usize,
    },
}

/// What a workload measures.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Operations per second.
    Throughput(Action),
    /// Nanoseconds of one `get` while another thread runs [`Action::GetOrInsert`].
    Latency,
    /// Bytes per entry and allocations per operation.
    Memory,
}

/// One workload.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The name on the command line.
    pub name: &'static str,
    /// The heading in the report.
    pub title: &'static str,
    /// The types of keys and values.
    pub entries: Entries,
    /// The cache's capacity, and how many ids (`0..capacity`) are stored before the start.
    pub capacity: usize,
    /// The keys asked for.
    pub requests: Requests,
    /// What is measured.
    pub kind: Kind,
}

impl Scenario {
    /// The request array.
    pub fn keys<K: Key>(&self) -> Vec<K> {
        const SEED: u64 = 42;
        let ids = match self.requests {
            Requests::Zipf {
                universe,
                theta,
                length,
            } => Zipf::new(universe, theta, SEED).take(length),
            Requests::Uniform { universe, length } => workload::uniform(universe, length, SEED),
            Requests::OneKey => vec![7; BATCH],
            Requests::New { first, length } => (first..first + length as u64).collect(),
        };
        workload::keys(&ids)
    }

    /// Whether maps without a bound would be doing something else under this workload.
    pub fn needs_eviction(&self) -> bool {
        match self.kind {
            Kind::Throughput(action) => matches!(action, Action::Insert | Action::GetOrInsert),
            Kind::Latency => true,
            Kind::Memory => false,
        }
    }
}

const SMALL: usize = 10_000;
const LARGE: usize = 1_000_000;

const SMALL_ZIPF: Requests = Requests::Zipf {
    universe: SMALL as u64,
    theta: 0.99,
    length: 128_000,
};

const LARGE_ZIPF: Requests = Requests::Zipf {
    universe: LARGE as u64,
    theta: 0.99,
    length: 2_048_000,
};

const CHURN: Requests = Requests::Zipf {
    universe: 10 * SMALL as u64,
    theta: 0.9,
    length: 1_024_000,
};

const fn throughput(
    name: &'static str,
    title: &'static str,
    capacity: usize,
    requests: Requests,
    action: Action,
) -> Scenario {
    Scenario {
        name,
        title,
        entries: Entries::Text,
        capacity,
        requests,
        kind: Kind::Throughput(action),
    }
}

/// All workloads, in the order they run.
pub const ALL: [Scenario; 14] = [
    throughput(
        "hit-10k",
        "Hit, Zipf 0.99, 10 k entries",
        SMALL,
        SMALL_ZIPF,
        Action::Get,
    ),
    throughput(
        "hit-1m",
        "Hit, Zipf 0.99, 1 M entries",
        LARGE,
        LARGE_ZIPF,
        Action::Get,
    ),
    throughput(
        "hit-1m-uniform",
        "Hit, uniform, 1 M entries",
        LARGE,
        Requests::Uniform {
            universe: LARGE as u64,
            length: 2_048_000,
        },
        Action::Get,
    ),
    throughput(
        "hot",
        "One hot key, read in place",
        SMALL,
        Requests::OneKey,
        Action::ReadInPlace,
    ),
    throughput(
        "get-many",
        "get_many of 32, Zipf 0.99, 1 M entries (one by one where there is no such call)",
        LARGE,
        LARGE_ZIPF,
        Action::GetMany,
    ),
    throughput(
        "mixed-95",
        "95 % get, 5 % update, Zipf 0.99, 10 k entries",
        SMALL,
        SMALL_ZIPF,
        Action::UpdateEvery(20),
    ),
    throughput(
        "mixed-75",
        "75 % get, 25 % update, Zipf 0.99, 10 k entries",
        SMALL,
        SMALL_ZIPF,
        Action::UpdateEvery(4),
    ),
    throughput(
        "insert",
        "Insert of new keys, evicting, 10 k entries",
        SMALL,
        Requests::New {
            first: SMALL as u64,
            length: 1_024_000,
        },
        Action::Insert,
    ),
    throughput(
        "churn",
        "Churn: get, insert on a miss; Zipf 0.9 over ten times the capacity of 10 k",
        SMALL,
        CHURN,
        Action::GetOrInsert,
    ),
    Scenario {
        entries: Entries::Numbers,
        ..throughput(
            "hit-10k-u64",
            "Hit, u64 to u64, Zipf 0.99, 10 k entries",
            SMALL,
            SMALL_ZIPF,
            Action::Get,
        )
    },
    Scenario {
        entries: Entries::Numbers,
        ..throughput(
            "hit-1m-u64",
            "Hit, u64 to u64, Zipf 0.99, 1 M entries",
            LARGE,
            LARGE_ZIPF,
            Action::Get,
        )
    },
    Scenario {
        name: "latency",
        title: "Latency of get while another thread churns (as above), in ns",
        entries: Entries::Text,
        capacity: SMALL,
        requests: CHURN,
        kind: Kind::Latency,
    },
    Scenario {
        name: "memory-u64",
        title: "Memory, u64 to u64, 1 M entries",
        entries: Entries::Numbers,
        capacity: LARGE,
        requests: Requests::New {
            first: LARGE as u64,
            length: 100_000,
        },
        kind: Kind::Memory,
    },
    Scenario {
        name: "memory-text",
        title: "Memory, 24-byte String to Arc<[u8; 64]>, 1 M entries (128 bytes of them payload)",
        entries: Entries::Text,
        capacity: LARGE,
        requests: Requests::New {
            first: LARGE as u64,
            length: 100_000,
        },
        kind: Kind::Memory,
    },
];
