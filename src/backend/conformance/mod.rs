//! The contract of backends as a test suite, for ours and for yours.
//!
//! [`check`] runs every row against a backend that your [`Harness`] makes and says which row fails, and how. A row is an async
//! function that uses nothing but the public calls; each gets an empty backend.
//!
//! ```
//! use nori_cache::conformance::{self, Harness, Task};
//! use nori_cache::{CacheBackend, ManualClock, MemoryCacheBackend};
//! use std::{sync::Arc, time::Duration};
//!
//! struct Memory(ManualClock);
//!
//! impl Harness for Memory {
//!     async fn backend(&self) -> Arc<dyn CacheBackend> {
//!         let backend = MemoryCacheBackend::builder().clock(self.0.clone());
//!         Arc::new(backend.build().unwrap())
//!     }
//!     async fn advance(&self, by: Duration) {
//!         self.0.advance(by); // a store with a clock of its own: tokio::time::sleep(by).await
//!     }
//!     fn spawn(&self, task: Task) {
//!         tokio::spawn(task);
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), conformance::Failure> {
//! conformance::check_row(&Memory(ManualClock::new()), "delete says what was there").await
//! # }
//! ```

mod codecs;
mod counters;
mod kept;
mod keys;
mod lifecycle;
mod loads;
mod loads_of_many;
mod many;
mod tags;
mod tools;
mod ttls;
mod updates;
mod values;

use super::CacheBackend;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tools::Outcome;

/// A task to be run beside others.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the suite needs to know of a backend.
pub trait Harness: Send + Sync {
    /// An empty backend, with its default time to live at 300 s, that holds a few thousand keys at least and shares nothing
    /// with those made before.
    fn backend(&self) -> impl Future<Output = Arc<dyn CacheBackend>> + Send;

    /// Lets this much time pass for the backends, or a little more.
    fn advance(&self, by: Duration) -> impl Future<Output = ()> + Send;

    /// Runs a task, beside others, to its end: `tokio::spawn(task);`, say.
    fn spawn(&self, task: Task);

    /// How much longer than it says [`advance`](Self::advance) may take, and calls on top; a second by default.
    fn tolerance(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// A row that does not hold.
#[derive(Debug, Clone)]
pub struct Failure {
    row: &'static str,
    reason: String,
}

impl Failure {
    /// The name of the row.
    pub fn row(&self) -> &'static str {
        self.row
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.row, self.reason)
    }
}

impl std::error::Error for Failure {}

/// Calls a function with the name of each row, in the order in which they run.
macro_rules! rows {
    ($($module:ident { $($(#[$cfg:meta])* $row:ident: $name:literal,)* })*) => {
        /// The names of all rows.
        pub const ROWS: &[&str] = &[$($($(#[$cfg])* $name,)*)*];

        async fn run<H: Harness>(harness: &H, row: &str) -> Option<Outcome> {
            Some(match row {
                $($($(#[$cfg])* $name => $module::$row(tools::Context::new(harness).await).await,)*)*
                _ => return None,
            })
        }
    };
}

rows! {
    values {
        missing: "a missing key is none",
        replaces: "set replaces",
        deletes: "delete says what was there",
        round_trips: "values read back as they were",
        floats: "floats read back as they were",
        converts: "values convert as JSON does",
        wrong_type: "a value of another type is a miss and stays",
        strict: "a value of another type is an error where reads are strict",
        not_json: "what is not JSON reads as a string",
        original: "entries of the Python original read as it wrote them",
        refuses: "what JSON cannot say is refused and the old value stays",
        shared: "a shared read",
        large: "a value of 8 MiB",
    }
    keys {
        odd: "odd keys are keys like any other",
        long: "a key of 1 MiB",
        globs: "a key is no pattern",
        errors: "an error names operation and key",
    }
    ttls {
        expires: "an entry is gone once its time has passed",
        never: "what never expires stays",
        zero: "a zero time removes",
        short: "fractions of a millisecond count as whole ones",
        inspect: "the time that is left",
        renew: "set sets the time anew, get does not",
        default: "the default time",
    }
    counters {
        born: "a counter is born at the increment",
        adds: "increments add up, negative ones too",
        ttl: "the time counts at birth only",
        born_dead: "a counter born with a zero time is not stored",
        of_values: "an integer that was set is a counter",
        not_integer: "what is not an integer is an error and stays",
        overflow: "an overflow is an error and changes nothing",
        large: "large integers",
        reads: "a counter reads as any integer type it fits",
        concurrent: "64 tasks with 1000 increments each get every number once",
        steps: "large and small increments beside each other lose nothing",
    }
    updates {
        creates: "an update creates and changes",
        keeps_ttl: "an update keeps the time that is left",
        sets_ttl: "an update with a time sets it",
        zero: "an update with a zero time removes",
        fails: "a closure that fails changes nothing",
        panics: "a closure that panics changes nothing",
        cancelled: "an update that is dropped changes nothing",
        refused: "an update to what JSON cannot say changes nothing",
        wrong_type: "an update of another type changes nothing",
        again: "a change meanwhile makes the closure run again",
        contention: "a change at every attempt is contention",
        inside: "an update of its own key inside a closure ends",
        crossing: "updates that would wait for each other end",
        compare: "compare and set",
        concurrent: "16 tasks with 500 updates each lose nothing",
        mixed: "increments and updates of one key lose nothing",
    }
    many {
        round_trip: "many are set, read and deleted",
        counters: "many reads see counters",
        empty: "none of many",
        duplicates: "a key many times",
        refuses: "one bad value of many stores none",
        ttl: "many share a time",
        thousands: "5000 keys at once",
    }
    loads {
        hit: "a hit does not load",
        miss: "a miss loads and stores",
        single: "64 callers, one load",
        error: "an error reaches every waiter and is not stored",
        cancelled: "a dropped leader hands over",
        panics: "a leader that panics hands over",
        set_wins: "a set during a load wins",
        delete_wins: "a delete during a load wins",
        flush_wins: "a flush during a load wins",
        many_win: "set_many and delete_many during a load win",
        incr_wins: "an increment during a load wins",
        fresh: "after a delete, callers load afresh",
        zero: "a load with a zero time is not stored",
        refused: "a load of what JSON cannot say is an error",
        undecodable: "a load writes over what cannot be decoded",
        other_type: "a load beside one of another type",
        inside: "a load of its own key inside a load ends",
        crossing: "loads that would wait for each other end",
        races: "deletes beside loads leave nothing stale",
    }
    kept {
        fresh: "what is kept is a value while it is fresh",
        stale: "what is kept is a miss once it is stale, and there for loads",
        replaced: "a load replaces what is stale",
        none: "that there is no value is kept, and is a miss",
        updated: "an update writes over what is stale",
        deleted: "a delete during a load of what is stale wins",
    }
    loads_of_many {
        missing: "what is missing of many is loaded with one call",
        partial: "what a load of many does not bring is missing",
        duplicates: "a key many times is loaded once",
        ttl: "what is loaded with many shares a time",
        none: "a load of no keys calls nobody",
        undecodable: "a load of many writes over what cannot be decoded",
        single_follows: "a load of one key waits for a load of many",
        many_follow: "a load of many waits for a load of one key",
        opposite: "loads of the same keys in opposite orders end",
        cancelled: "a dropped load of many hands over all its keys",
        panics: "a load of many that panics hands over all its keys",
        unloaded: "who waits for what a load of many does not bring loads it",
        error: "an error of a load of many reaches every waiter",
        refused: "one bad value of a load of many spoils only itself",
        writes_win: "writes during a load of many win, each for its key",
        incr_wins: "an increment during a load of many wins",
        inside: "a load of many inside a load of its keys ends",
        thousands: "a load of 2000 keys",
    }
    tags {
        removed: "what is removed by a tag is a miss",
        others: "a removal by a tag leaves what has others",
        flushed: "what was there before a flush has no tags after it",
        updated: "an update keeps the tags",
        during: "a removal by a tag during a load wins",
        namespaces: "a namespace is cleared, and nothing else",
        reserved: "keys of versions and too many tags are refused",
        races: "removals by a tag beside loads leave nothing stale",
    }
    codecs {
        round_trips: "every codec reads what it wrote",
        strangers: "no codec reads what another wrote",
        plain: "plain JSON is no value of another codec",
        integers: "integers are bare in every codec that does not encrypt",
        versions: "another schema version is a miss",
        hostile: "bytes that no codec wrote are a miss in each",
        spoils: "in many reads what cannot be decoded spoils only itself",
        loads: "a load writes over what another codec wrote",
        updates: "an update of what another codec wrote is an error",
        waits: "those who wait for a load get what the codec allows",
        refuses: "what a codec cannot represent is refused and the old value stays",
        #[cfg(feature = "encryption")]
        sealed: "an encrypted value is not to be read in the store",
        #[cfg(feature = "encryption")]
        moved: "an encrypted value opens under its own key only",
        #[cfg(feature = "encryption")]
        changed: "an encrypted value that was changed is a miss",
        #[cfg(feature = "encryption")]
        rotated: "keys can be rotated",
        #[cfg(feature = "encryption")]
        planted: "a counter is no encrypted value",
        #[cfg(feature = "zstd")]
        compressed: "a large value is compressed",
        #[cfg(feature = "zstd")]
        bomb: "what becomes too large is a miss",
    }
    lifecycle {
        flush: "flush removes all",
        flush_busy: "flush beside writers",
        verify: "verify finds it well",
        close: "a closed backend says so",
        send: "futures can be dropped unpolled",
    }
}

/// Runs every row against backends of the harness.
///
/// # Errors
/// The first row that does not hold.
pub async fn check<H: Harness>(harness: &H) -> Result<(), Failure> {
    for row in ROWS {
        check_row(harness, row).await?;
    }
    Ok(())
}

/// Runs one row, by its name: one of [`ROWS`].
///
/// # Errors
/// If the row does not hold, or there is none of that name.
pub async fn check_row<H: Harness>(harness: &H, row: &str) -> Result<(), Failure> {
    let Some(name) = ROWS.iter().find(|name| **name == row) else {
        return Err(Failure {
            row: "check_row",
            reason: format!("there is no row {row:?}"),
        });
    };
    match run(harness, name).await {
        Some(Err(broken)) => Err(Failure {
            row: name,
            reason: broken.to_string(),
        }),
        _ => Ok(()),
    }
}
