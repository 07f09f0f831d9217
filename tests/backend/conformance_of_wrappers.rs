//! The suite on backends that wrap the one in memory: one whose calls take their time, which must pass, and some with a fault
//! each, which the suite must find. And what only a certain order of slow calls shows.

use nori_cache::conformance::{self, Harness, Task};
use nori_cache::{
    BackendFuture, CacheBackend, CacheBackendExt, Error, Flights, ManualClock, MemoryCacheBackend,
    Ttl, Value,
};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    SetForgetsTtl,
    SetIgnoresZero,
    SetMovesToNever,
    DeleteSaysYes,
    DeleteDoesNothing,
    FlushDoesNothing,
    IncrInTwoSteps,
    IncrRefreshesTtl,
    IncrWraps,
    IncrSkipsOne,
    CompareSaysYes,
    CompareForgetsTtl,
    CompareIgnoresNone,
    ManyReversed,
    ManyStopsEarly,
    KeysFolded,
    KeysCut,
    TtlInSeconds,
    CloseDoesNothing,
    ErrorsWithoutKey,
    StringsTrimmed,
    BytesAsText,
    BytesTrimmed,
    BytesCut,
    UndecodableRemoved,
    ManyFailTogether,
    CompareAsText,
    CompareKeepsForMinutes,
    KeptOnlyAsText,
    CompareManyIgnoresNone,
    CompareManyStoresOne,
    CompareManyForgetsTtl,
    ManyRemembers,
    KeysByTheirLastPart,
}

/// As memory, but each call takes some turns of the executor before and after its work, as over a network.
#[derive(Debug)]
struct Wrapped {
    inner: MemoryCacheBackend,
    fault: Fault,
    pace: Pace,
    flights: Flights,
    calls: AtomicU64,
    remembered: Mutex<HashMap<String, Value>>,
}

/// How many turns a call takes before its work, and after.
#[derive(Debug, Clone, Copy)]
enum Pace {
    /// Each call others.
    Mixed,
    /// One and one.
    Even,
}

/// Lets other tasks go first.
async fn wait(turns: u64) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

impl Wrapped {
    fn slowly<'a, T: Send + 'a>(
        &'a self,
        work: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> BackendFuture<'a, T> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let spread = call.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        let (before, after) = match self.pace {
            Pace::Mixed => (spread % 3, spread / 4),
            Pace::Even => (1, 1),
        };
        BackendFuture::boxed(async move {
            wait(before).await;
            let answer = work.await;
            wait(after).await;
            answer
        })
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn key<'a>(&self, key: &'a str) -> &'a str {
        match self.fault {
            Fault::KeysFolded => key.trim(),
            Fault::KeysByTheirLastPart => key.rsplit(':').next().unwrap_or(key),
            Fault::KeysCut => key.split('\0').next().unwrap_or(key),
            _ => key,
        }
    }

    /// What was found, as the fault has it.
    async fn spoilt(&self, key: &str, value: Option<Value>) -> Result<Option<Value>, Error> {
        let Some(Ok(bytes)) = value.as_ref().map(Value::encode) else {
            return Ok(value);
        };
        let text = String::from_utf8_lossy(&bytes);
        Ok(match self.fault {
            Fault::BytesAsText => Some(Value::encoded(text.into_owned())),
            // Of what is kept it stores the value alone.
            Fault::KeptOnlyAsText if bytes.starts_with(b"\xC1K") => {
                let text = bytes.iter().rposition(|byte| !(b' '..=b'~').contains(byte));
                Some(Value::encoded(&bytes[text.map_or(0, |at| at + 1)..]))
            }
            Fault::BytesTrimmed => Some(Value::encoded(bytes.trim_ascii_end())),
            Fault::BytesCut => Some(Value::encoded(&bytes[..bytes.len().min(100)])),
            Fault::UndecodableRemoved if bytes != text.as_bytes() => {
                self.inner.delete_value(key).await?;
                None
            }
            _ => value,
        })
    }

    fn unnamed<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        match self.is(Fault::ErrorsWithoutKey) && answer.is_err() {
            true => Err(Error::wrong_type("somewhere").during("incr", None)),
            false => answer,
        }
    }
}

impl CacheBackend for Wrapped {
    fn get_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        self.slowly(async move {
            let value = self.inner.get_value(self.key(key)).await?;
            Ok(match value.as_ref().map(Value::to::<String>) {
                Some(Ok(text)) if self.is(Fault::StringsTrimmed) => {
                    Some(Value::new(text.trim_matches('\0').to_owned())?)
                }
                _ => self.spoilt(key, value).await?,
            })
        })
    }

    fn set_value<'a>(&'a self, key: &'a str, value: Value, ttl: Ttl) -> BackendFuture<'a, ()> {
        self.slowly(async move {
            let zero = ttl == Ttl::After(Duration::ZERO);
            let ttl = match self.fault {
                Fault::SetForgetsTtl => Ttl::Never,
                Fault::SetIgnoresZero if zero => return Ok(()),
                Fault::SetMovesToNever if self.inner.value_ttl(key).await?.is_some() => Ttl::Never,
                _ => ttl,
            };
            self.inner.set_value(self.key(key), value, ttl).await
        })
    }

    fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool> {
        self.slowly(async move {
            match self.fault {
                Fault::DeleteDoesNothing => Ok(self.inner.get_value(key).await?.is_some()),
                Fault::DeleteSaysYes => self.inner.delete_value(key).await.map(|_| true),
                _ => self.inner.delete_value(self.key(key)).await,
            }
        })
    }

    fn flush_values(&self) -> BackendFuture<'_, ()> {
        self.slowly(async move {
            match self.is(Fault::FlushDoesNothing) {
                true => Ok(()),
                false => self.inner.flush_values().await,
            }
        })
    }

    fn incr_value<'a>(&'a self, key: &'a str, by: i64, ttl: Ttl) -> BackendFuture<'a, i64> {
        self.slowly(async move {
            let key = self.key(key);
            match self.fault {
                Fault::IncrInTwoSteps => {
                    let old = match self.inner.get_value(key).await? {
                        Some(value) => value.plus(0)?,
                        None => 0,
                    };
                    wait(1).await;
                    let sum = Value::integer(old + by);
                    self.inner.set_value(key, sum, ttl).await?;
                    Ok(old + by)
                }
                Fault::IncrRefreshesTtl => {
                    let sum = self.inner.incr_value(key, by, ttl).await?;
                    let value = Value::integer(sum);
                    self.inner.set_value(key, value, ttl).await?;
                    Ok(sum)
                }
                Fault::IncrWraps => match self.inner.incr_value(key, by, ttl).await {
                    Err(error) if error.is_overflow() => {
                        let value = Value::integer(0);
                        self.inner.set_value(key, value, ttl).await?;
                        Err(error)
                    }
                    other => other,
                },
                Fault::IncrSkipsOne => match self.inner.incr_value(key, by, ttl).await? {
                    30_000 => self.inner.incr_value(key, by, ttl).await,
                    sum => Ok(sum),
                },
                _ => self.unnamed(self.inner.incr_value(key, by, ttl).await),
            }
        })
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, bool> {
        self.slowly(async move {
            let key = self.key(key);
            let ttl = match (self.fault, ttl) {
                (Fault::CompareForgetsTtl, ttl) => Some(ttl.unwrap_or(Ttl::Never)),
                (Fault::CompareKeepsForMinutes, Some(Ttl::After(ttl))) => {
                    Some(Ttl::After(ttl.min(Duration::from_secs(600))))
                }
                (_, ttl) => ttl,
            };
            let is_text = |value: &Value| value.encode().is_ok_and(|it| it.is_ascii());
            if self.is(Fault::CompareAsText) && !expected.is_none_or(is_text) {
                return Ok(false);
            }
            let blind = self.is(Fault::CompareSaysYes)
                || (self.is(Fault::CompareIgnoresNone) && expected.is_none());
            if blind {
                let ttl = ttl.unwrap_or(Ttl::Never);
                self.inner.set_value(key, new, ttl).await?;
                return Ok(true);
            }
            self.inner.compare_and_set(key, expected, new, ttl).await
        })
    }

    fn compare_and_set_many<'a>(
        &'a self,
        entries: Vec<(&'a str, Option<&'a Value>, Value)>,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, Vec<bool>> {
        self.slowly(async move {
            let mut stored = Vec::new();
            for (at, (key, expected, new)) in entries.into_iter().enumerate() {
                stored.push(match self.fault {
                    Fault::CompareManyIgnoresNone if expected.is_none() => {
                        let ttl = ttl.unwrap_or(Ttl::Never);
                        self.inner.set_value(self.key(key), new, ttl).await?;
                        true
                    }
                    Fault::CompareManyStoresOne if at > 0 => true,
                    Fault::CompareManyForgetsTtl => {
                        let never = Some(Ttl::Never);
                        self.inner
                            .compare_and_set(key, expected, new, never)
                            .await?
                    }
                    // As it does it for one.
                    _ => self.compare_and_set(key, expected, new, ttl).await?,
                });
            }
            Ok(stored)
        })
    }

    fn get_values<'a>(&'a self, keys: &'a [&'a str]) -> BackendFuture<'a, Vec<Option<Value>>> {
        self.slowly(async move {
            let keys: Vec<&str> = keys.iter().map(|key| self.key(key)).collect();
            let mut values = self.inner.get_values(&keys).await?;
            match self.fault {
                Fault::ManyReversed => values.reverse(),
                Fault::ManyStopsEarly => values.truncate(4_096),
                Fault::ManyRemembers => {
                    let mut remembered = self.remembered.lock().unwrap();
                    for (key, value) in keys.iter().zip(&mut values) {
                        if let Some(before) = remembered.get(*key) {
                            *value = Some(before.clone());
                        } else if let Some(value) = value {
                            remembered.insert((*key).to_owned(), value.clone());
                        }
                    }
                }
                Fault::ManyFailTogether => {
                    for value in values.iter().flatten() {
                        std::str::from_utf8(&value.encode()?).map_err(Error::decoding)?;
                    }
                }
                _ => (),
            }
            Ok(values)
        })
    }

    fn value_ttl<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Ttl>> {
        self.slowly(async move {
            let left = self.inner.value_ttl(self.key(key)).await?;
            Ok(match left {
                Some(Ttl::After(left)) if self.is(Fault::TtlInSeconds) => {
                    Some(Ttl::After(Duration::from_secs(left.as_secs())))
                }
                _ => left,
            })
        })
    }

    fn verify(&self) -> BackendFuture<'_, ()> {
        self.inner.verify()
    }

    fn close(&self) -> BackendFuture<'_, ()> {
        self.slowly(async move {
            match self.is(Fault::CloseDoesNothing) {
                true => Ok(()),
                false => self.inner.close().await,
            }
        })
    }

    fn flights(&self) -> &Flights {
        &self.flights
    }
}

struct Wraps {
    clock: ManualClock,
    fault: Fault,
}

impl Harness for Wraps {
    async fn backend(&self) -> Arc<dyn CacheBackend> {
        let inner = MemoryCacheBackend::builder().clock(self.clock.clone());
        Arc::new(Wrapped {
            inner: inner.build().unwrap(),
            fault: self.fault,
            pace: Pace::Mixed,
            flights: Flights::default(),
            calls: AtomicU64::new(0),
            remembered: Mutex::default(),
        })
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }

    fn tolerance(&self) -> Duration {
        Duration::from_millis(2)
    }
}

/// The rows that fail.
async fn failures(fault: Fault) -> Vec<String> {
    let mut failures = Vec::new();
    for row in conformance::ROWS {
        let harness = Wraps {
            clock: ManualClock::new(),
            fault,
        };
        if let Err(failure) = conformance::check_row(&harness, row).await {
            failures.push(failure.to_string());
        }
    }
    failures
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_takes_its_time_passes() {
    let failures = failures(Fault::None).await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn a_backend_that_takes_its_time_passes_on_one_thread() {
    let failures = failures(Fault::None).await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Runs the row that must find the fault.
async fn finds(fault: Fault, row: &str) {
    let harness = Wraps {
        clock: ManualClock::new(),
        fault,
    };
    let result = conformance::check_row(&harness, row).await;
    let failure = result.expect_err(&format!("{row:?} does not find {fault:?}"));
    assert_eq!(failure.row(), row);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_found() {
    for (fault, row) in [
        (
            Fault::SetForgetsTtl,
            "an entry is gone once its time has passed",
        ),
        (Fault::SetIgnoresZero, "a zero time removes"),
        (
            Fault::SetMovesToNever,
            "set sets the time anew, get does not",
        ),
        (Fault::DeleteSaysYes, "delete says what was there"),
        (Fault::DeleteDoesNothing, "delete says what was there"),
        (Fault::FlushDoesNothing, "flush removes all"),
        (
            Fault::IncrInTwoSteps,
            "64 tasks with 1000 increments each get every number once",
        ),
        (Fault::IncrRefreshesTtl, "the time counts at birth only"),
        (
            Fault::IncrWraps,
            "an overflow is an error and changes nothing",
        ),
        (
            Fault::IncrSkipsOne,
            "64 tasks with 1000 increments each get every number once",
        ),
        (Fault::CompareSaysYes, "compare and set"),
        (
            Fault::CompareSaysYes,
            "increments and updates of one key lose nothing",
        ),
        (
            Fault::CompareSaysYes,
            "a change meanwhile makes the closure run again",
        ),
        (
            Fault::CompareForgetsTtl,
            "an update keeps the time that is left",
        ),
        (Fault::CompareIgnoresNone, "an increment during a load wins"),
        (Fault::ManyReversed, "many are set, read and deleted"),
        (Fault::ManyStopsEarly, "5000 keys at once"),
        (Fault::KeysFolded, "odd keys are keys like any other"),
        (Fault::KeysCut, "odd keys are keys like any other"),
        (Fault::TtlInSeconds, "the time that is left"),
        (Fault::CloseDoesNothing, "a closed backend says so"),
        (Fault::ErrorsWithoutKey, "an error names operation and key"),
        (Fault::StringsTrimmed, "values read back as they were"),
        (Fault::BytesAsText, "every codec reads what it wrote"),
        (Fault::BytesTrimmed, "every codec reads what it wrote"),
        (Fault::BytesCut, "every codec reads what it wrote"),
        (
            Fault::UndecodableRemoved,
            "no codec reads what another wrote",
        ),
        (
            Fault::ManyFailTogether,
            "in many reads what cannot be decoded spoils only itself",
        ),
        (
            Fault::CompareAsText,
            "a load writes over what another codec wrote",
        ),
        (Fault::CompareAsText, "a load replaces what is stale"),
        (
            Fault::CompareKeepsForMinutes,
            "what is kept is a value while it is fresh",
        ),
        (
            Fault::UndecodableRemoved,
            "that there is no value is kept, and is a miss",
        ),
        (
            Fault::KeptOnlyAsText,
            "what is kept is a miss once it is stale, and there for loads",
        ),
        (
            Fault::KeptOnlyAsText,
            "that there is no value is kept, and is a miss",
        ),
        (
            Fault::CompareManyIgnoresNone,
            "an increment during a load of many wins",
        ),
        (
            Fault::CompareManyStoresOne,
            "what is missing of many is loaded with one call",
        ),
        (
            Fault::CompareManyForgetsTtl,
            "what is loaded with many shares a time",
        ),
        (Fault::ManyReversed, "a key many times is loaded once"),
        (Fault::ManyRemembers, "what is removed by a tag is a miss"),
        (
            Fault::KeysByTheirLastPart,
            "a removal by a tag leaves what has others",
        ),
    ] {
        // Some need a race: not to be lost to an unlucky schedule.
        finds(fault, row).await;
    }
}

/// One turn. With an even pace, a call takes three: the second does its work, the third brings the answer.
fn turn<F: Future>(future: &mut Pin<&mut F>) -> Poll<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    future.as_mut().poll(&mut context)
}

/// A load that leads looks into the store once more. It may see there what a delete, which began before and so did not come
/// upon the load, is about to remove: whoever comes after the delete must not get that.
#[test]
fn what_a_load_finds_in_the_store_is_not_for_those_who_wait() {
    let backend = Wrapped {
        inner: MemoryCacheBackend::builder().build().unwrap(),
        fault: Fault::None,
        pace: Pace::Even,
        flights: Flights::default(),
        calls: AtomicU64::new(0),
        remembered: Mutex::default(),
    };
    let load = |value: i32| {
        let load = move || async move { Ok::<_, Infallible>(value) };
        backend.get_or_load("key", Duration::from_secs(60), load)
    };
    let mut leader = pin!(load(1));
    for _ in 0..2 {
        assert!(turn(&mut leader).is_pending(), "it looks");
    }
    // As another load does that ends just now.
    let mut stored = pin!(backend.inner.set("key", 1, Ttl::Never));
    assert!(turn(&mut stored).is_ready());
    let mut delete = pin!(backend.delete("key"));
    assert!(turn(&mut delete).is_pending(), "no load is under way");
    for _ in 0..2 {
        assert!(turn(&mut leader).is_pending(), "it looks again, and finds");
    }
    assert!(turn(&mut delete).is_pending(), "it deletes");
    assert!(matches!(turn(&mut delete), Poll::Ready(Ok(true))));
    let mut after = pin!(load(2));
    for _ in 0..3 {
        assert!(turn(&mut after).is_pending(), "it misses, and waits");
    }
    assert!(matches!(turn(&mut leader), Poll::Ready(Ok(1))));
    let read = (0..32).map(|_| turn(&mut after)).find(Poll::is_ready);
    assert!(matches!(read, Some(Poll::Ready(Ok(2)))), "{read:?}");
}
