//! The backend in memory keeps the contract: with a clock that tests move, and with the system's.

use nori_cache::conformance::{self, Harness, Task};
use nori_cache::{CacheBackend, Codec, ManualClock, MemoryCacheBackend};
use std::sync::Arc;
use std::time::Duration;

struct Manual(ManualClock);

impl Harness for Manual {
    async fn backend(&self) -> Arc<dyn CacheBackend> {
        let builder = MemoryCacheBackend::builder().clock(self.0.clone());
        Arc::new(builder.build().unwrap())
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }

    fn tolerance(&self) -> Duration {
        Duration::from_millis(2)
    }
}

/// As bytes, in a codec.
struct Encoded(ManualClock, Codec);

impl Harness for Encoded {
    async fn backend(&self) -> Arc<dyn CacheBackend> {
        let builder = MemoryCacheBackend::builder().clock(self.0.clone());
        Arc::new(builder.codec(self.1.clone()).build().unwrap())
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }

    fn tolerance(&self) -> Duration {
        Duration::from_millis(2)
    }
}

struct System;

impl Harness for System {
    async fn backend(&self) -> Arc<dyn CacheBackend> {
        Arc::new(MemoryCacheBackend::new(10_000))
    }

    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }

    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }

    fn tolerance(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// Runs all rows, so that one that fails does not hide the others.
async fn all(harness: &impl Harness) {
    let mut failures = Vec::new();
    for row in conformance::ROWS {
        let started = std::time::Instant::now();
        if let Err(failure) = conformance::check_row(harness, row).await {
            failures.push(failure.to_string());
        }
        println!("{:>6} ms  {row}", started.elapsed().as_millis());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Runs all rows; these are the ones that must fail, and no others.
async fn all_but(codec: Codec, exceptions: &[&str]) {
    let mut failures = Vec::new();
    for row in conformance::ROWS {
        let harness = Encoded(ManualClock::new(), codec.clone());
        if let Err(failure) = conformance::check_row(&harness, row).await {
            failures.push(failure);
        }
    }
    let mut names: Vec<&str> = failures.iter().map(conformance::Failure::row).collect();
    let mut exceptions = exceptions.to_vec();
    names.sort_unstable();
    exceptions.sort_unstable();
    assert_eq!(names, exceptions, "{codec:?}: {failures:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_as_json() {
    all_but(Codec::json(), &[]).await;
}

/// As many threads as there are processors: with more of them, those that only wait for a turn keep the others from theirs.
#[tokio::test(flavor = "multi_thread")]
async fn memory_with_a_manual_clock() {
    all(&Manual(ManualClock::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_with_the_system_clock() {
    all(&System).await;
}

#[tokio::test]
async fn memory_on_one_thread() {
    all(&Manual(ManualClock::new())).await;
}

/// The rows that say how JSON is, which other formats are not, fail.
mod in_other_formats {
    #[allow(unused_imports, reason = "as many as there are features")]
    use super::{Codec, all_but};

    #[cfg(any(feature = "msgpack", feature = "postcard"))]
    const OF_JSON: [&str; 11] = [
        "values convert as JSON does",
        "what is not JSON reads as a string",
        "entries of the Python original read as it wrote them",
        "what JSON cannot say is refused and the old value stays",
        "an error names operation and key",
        "an integer that was set is a counter",
        "a counter reads as any integer type it fits",
        "an update to what JSON cannot say changes nothing",
        "one bad value of many stores none",
        "one bad value of a load of many spoils only itself",
        "a load of what JSON cannot say is an error",
    ];
    /// As the type that was stored, and not as another.
    #[cfg(feature = "postcard")]
    const OF_TYPES_THAT_TELL: [&str; 4] = [
        "values read back as they were",
        "floats read back as they were",
        "a shared read",
        "what is not an integer is an error and stays",
    ];

    #[cfg(all(feature = "encryption", feature = "zstd"))]
    const IN_THE_CLEAR: [&str; 34] = [
        "64 tasks with 1000 increments each get every number once",
        "a counter is born at the increment",
        "a counter reads as any integer type it fits",
        "a key of 1 MiB",
        "a large value is compressed",
        "a load writes over what another codec wrote",
        "an encrypted value that was changed is a miss",
        "an increment during a load of many wins",
        "an increment during a load wins",
        "an integer that was set is a counter",
        "an overflow is an error and changes nothing",
        "an update keeps the time that is left",
        "an update of what another codec wrote is an error",
        "another schema version is a miss",
        "bytes that no codec wrote are a miss in each",
        "entries of the Python original read as it wrote them",
        "every codec reads what it wrote",
        "in many reads what cannot be decoded spoils only itself",
        "increments add up, negative ones too",
        "increments and updates of one key lose nothing",
        "integers are bare in every codec that does not encrypt",
        "large and small increments beside each other lose nothing",
        "large integers",
        "many reads see counters",
        "no codec reads what another wrote",
        "odd keys are keys like any other",
        "plain JSON is no value of another codec",
        "the time counts at birth only",
        "those who wait for a load get what the codec allows",
        "values convert as JSON does",
        "what a codec cannot represent is refused and the old value stays",
        "what becomes too large is a miss",
        "what is not JSON reads as a string",
        "what is not an integer is an error and stays",
    ];

    #[cfg(feature = "zstd")]
    #[tokio::test(flavor = "multi_thread")]
    async fn compressed() {
        all_but(Codec::json().zstd_above(64), &[]).await;
    }

    #[cfg(feature = "msgpack")]
    #[tokio::test(flavor = "multi_thread")]
    async fn msgpack() {
        all_but(Codec::msgpack(), &OF_JSON).await;
    }

    #[cfg(feature = "postcard")]
    #[tokio::test(flavor = "multi_thread")]
    async fn postcard() {
        let both: Vec<&str> = OF_JSON.into_iter().chain(OF_TYPES_THAT_TELL).collect();
        all_but(Codec::postcard(), &both).await;
    }

    /// What needs counters that are read, or puts something there in the clear.
    #[cfg(all(feature = "encryption", feature = "zstd"))]
    #[tokio::test(flavor = "multi_thread")]
    async fn encrypted() {
        let keys = nori_cache::Keys::new(1, &[1; 32]);
        all_but(Codec::json().encrypted(keys), &IN_THE_CLEAR).await;
    }
}
