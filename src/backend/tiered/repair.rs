//! Repairs: writes that failed while the far tier was down leave there what they were to replace or remove. When it is back, that is
//! removed.
//!
//! # What is noted
//! The keys whose `set`, `delete` or the like, or whose tag's removal, failed at the far tier or was given up, so that it is not known whether
//! it took place; and that a flush did. Each key once: what is to be done about it is always the same. To remove it is right for a
//! cache whatever the write was; what was to be set is not known to be the newest any more.
//!
//! *Not noted* are increments, updates and the stores of loads. They start from what is there, and leave either that or what their caller
//! was told. What a load that failed to store has left was missing, or had expired and is judged by its own time by whoever finds it.
//! (Only a load that did not read leaves something fresh.) To remove these keys could lose an increment that was acknowledged.
//!
//! # What is removed
//! A repair looks what is under the key, and removes just that, in one step that compares: see `remove_seen` of the servers. Between the two
//! it asks whether the key is still to be removed. A bare integer is left: it may be a counter, and what others have added to it since has
//! been acknowledged to them. Another value that another process has written since is removed: that costs a hit.
//!
//! # Own writes
//! A write of this process takes its keys out when it *begins*, and puts them back if it fails. So a write that is acknowledged is not
//! undone by a repair that had begun before it:
//!
//! - If the write begins before the repair asks whether the key is still wanted, it is not, and stays.
//! - If it begins after that, the repair has looked before the write began. What it removes is what was there before the write: if
//!   it comes first, it is as if it had come before the write began (an update finds that its value has changed, and begins anew), and if it
//!   comes second, however late, it finds another value, and leaves it. (The same bytes again, after two updates say, are removed: a
//!   value that is as it was before.)
//!
//! Who takes a key out while another write of it is under way does not know about that one; if that fails, it notes the key anew.
//! It was under way at the same time, so that it may count as the later one. All this is about short sections of one lock, in which
//! no other lock is taken and nobody else's code runs; what is sent is sent outside.
//!
//! # Reads
//! A read of this process that would ask for a key that is to be repaired repairs it first. So what this process has removed, or failed to
//! replace, it does not show again, however soon after the outage it reads, nor does it make a copy of that: the copy's ticket is older than
//! the look for repairs, and a write that fails is noted before it makes tickets out of date. (An own write that is under way
//! meanwhile decides about its key itself.) Other processes may read it until the task has come to it.
//!
//! # The task
//! It runs while there is something to repair, on the thread that drives connections: it tries, and waits, from 50 ms up to a second. Whether
//! a try costs anything is for the breaker of the server to say. It holds neither the backend nor its connections. When the backend is
//! closed or dropped, what is left is forgotten, as it is when the process ends.
//!
//! # Bounds
//! As many keys as configured. One more is not noted, and counted as dropped: its caller has got the error, as all have. While a flush
//! is to be repeated, the keys that are written meanwhile are spared, as many; if they are more, the flush is dropped.

use crate::backend::redis::{Removal, Remover, Tracking};
use crate::error::Error;
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering};
use std::collections::{HashMap, HashSet};
use std::process;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Between two tries: at first, twice as long after each that did not do, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// So many keys are repaired together. Their values are in memory for that.
const BATCH: usize = 100;

pub(super) struct Repairs {
    state: Mutex<State>,
    /// How many keys are noted, and a flush as one more: for those who only want to know whether there is anything.
    pending: AtomicUsize,
    done: AtomicU64,
    dropped: AtomicU64,
    most: usize,
    remover: Remover,
    tracking: Arc<Tracking>,
}

#[derive(Default)]
struct State {
    /// With the number of the note: another one since is another number.
    keys: HashMap<Box<str>, u64, ahash::RandomState>,
    flush: Option<Flush>,
    /// The number of the next note.
    next: u64,
    /// The process in which the task runs: the child of a fork has none.
    runner: Option<u32>,
    is_closed: bool,
}

struct Flush {
    number: u64,
    /// Keys that this process has written since.
    spared: HashSet<Box<str>, ahash::RandomState>,
}

/// What a write has taken out.
#[derive(Default)]
pub(super) struct Held {
    keys: Vec<Box<str>>,
    /// Notes that were there when it began have no higher numbers.
    began: u64,
}

impl Held {
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|held| **held == *key)
    }
}

impl Repairs {
    pub(super) fn new(most: usize, remover: Remover, tracking: Arc<Tracking>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::default()),
            pending: AtomicUsize::new(0),
            done: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            most,
            remover,
            tracking,
        })
    }

    /// How many are to be done, have been done, and were dropped.
    pub(super) fn counts(&self) -> (usize, u64, u64) {
        // Relaxed, all: counters.
        (
            self.pending.load(Ordering::Relaxed),
            self.done.load(Ordering::Relaxed),
            self.dropped.load(Ordering::Relaxed),
        )
    }

    /// Whether there is anything to repair.
    pub(super) fn is_pending(&self) -> bool {
        // Relaxed: who has to see a note comes after the write that left it, and so sees it or a later number.
        self.pending.load(Ordering::Relaxed) > 0
    }

    /// A write of these keys begins: they are not to be repaired meanwhile.
    pub(super) fn begin(&self, keys: &[&str]) -> Held {
        let mut held = Held::default();
        if !self.is_pending() {
            return held;
        }
        let mut state = self.state.lock();
        held.began = state.next;
        for key in keys {
            if let Some((key, _)) = state.keys.remove_entry(*key) {
                held.keys.push(key);
            }
        }
        if let Some(flush) = &mut state.flush {
            flush.spared.extend(keys.iter().map(|key| Box::from(*key)));
            if flush.spared.len() > self.most {
                state.flush = None;
                self.count_dropped(1);
            }
        }
        self.publish(&state);
        held
    }

    /// Writes of these keys have failed, or may have.
    pub(super) fn note<'k>(self: &Arc<Self>, keys: impl IntoIterator<Item = &'k str>) {
        self.change(|state| {
            for key in keys {
                if state.keys.len() < self.most || state.keys.contains_key(key) {
                    let number = state.number();
                    state.keys.insert(key.into(), number);
                } else {
                    self.count_dropped(1);
                }
            }
        });
    }

    /// A flush has failed, or may have.
    pub(super) fn note_flush(self: &Arc<Self>) {
        self.change(|state| {
            let number = state.number();
            let spared = HashSet::default();
            state.flush = Some(Flush { number, spared });
        });
    }

    /// A flush that began then has removed everything.
    pub(super) fn flushed(&self, held: &Held) {
        let mut state = self.state.lock();
        let before = state.keys.len() + usize::from(state.flush.is_some());
        state.keys.retain(|_, number| *number > held.began);
        state.flush = state.flush.take().filter(|it| it.number > held.began);
        let after = state.keys.len() + usize::from(state.flush.is_some());
        self.count_done((before - after) as u64);
        self.publish(&state);
    }

    /// Nothing is to be repaired any more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let left = state.keys.len() + usize::from(state.flush.is_some());
        self.count_dropped(left as u64);
        state.keys.clear();
        state.flush = None;
        self.publish(&state);
    }

    /// Repairs those of these keys that are to be, for somebody who is about to read them.
    ///
    /// # Errors
    /// If the far tier is still down.
    pub(super) async fn before_reading(&self, keys: &[&str]) -> Result<(), Error> {
        if !self.is_pending() {
            return Ok(());
        }
        let batch: Vec<(Box<str>, u64)> = {
            let state = self.state.lock();
            let noted = keys.iter().filter_map(|key| state.keys.get_key_value(*key));
            noted.map(|(key, number)| (key.clone(), *number)).collect()
        };
        if batch.is_empty() {
            return Ok(());
        }
        match Box::pin(self.repair(&batch)).await {
            Some(Tried::Down(error)) => Err(error),
            Some(Tried::All | Tried::Some) | None => Ok(()),
        }
    }

    fn change(self: &Arc<Self>, change: impl FnOnce(&mut State)) {
        if self.most == 0 {
            return;
        }
        let starts = {
            let mut state = self.state.lock();
            if state.is_closed {
                return;
            }
            change(&mut state);
            self.publish(&state);
            let process = process::id();
            let starts = !state.is_empty() && state.runner != Some(process);
            if starts {
                state.runner = Some(process);
            }
            starts
        };
        // Outside of the lock: a runtime that ends drops the task at once, and that takes the lock.
        if starts {
            let runner = Runner {
                repairs: Arc::clone(self),
                is_over: false,
            };
            self.remover.spawn(runner.run());
        }
    }

    /// Makes known how much there is to do.
    fn publish(&self, state: &State) {
        let pending = state.keys.len() + usize::from(state.flush.is_some());
        // Relaxed: see `is_pending`.
        self.pending.store(pending, Ordering::Relaxed);
    }

    fn count_done(&self, count: u64) {
        // Relaxed: a counter.
        self.done.fetch_add(count, Ordering::Relaxed);
    }

    fn count_dropped(&self, count: u64) {
        // Relaxed: a counter.
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    fn is_noted(&self, (key, number): &(Box<str>, u64)) -> bool {
        self.state.lock().keys.get(key) == Some(number)
    }

    /// Whether the flush of this number would still remove this key.
    fn is_flushed(&self, number: u64, key: &str) -> bool {
        let state = self.state.lock();
        let flush = state.flush.as_ref().filter(|it| it.number == number);
        flush.is_some_and(|it| !it.spared.contains(key))
    }

    /// Whether the task may end. Who notes something from now on begins another.
    fn retire(&self) -> bool {
        let mut state = self.state.lock();
        if state.is_empty() {
            state.runner = None;
        }
        state.is_empty()
    }

    /// All there is to do. `None` if that is for ever out of the question.
    async fn round(&self) -> Option<Tried> {
        let (noted, flush) = {
            let state = self.state.lock();
            let noted = state
                .keys
                .iter()
                .map(|(key, &number)| (key.clone(), number));
            let noted: Vec<(Box<str>, u64)> = noted.collect();
            (noted, state.flush.as_ref().map(|it| it.number))
        };
        let mut tried = Tried::All;
        for batch in noted.chunks(BATCH) {
            tried = tried.and(self.repair(batch).await?);
        }
        if let Some(number) = flush {
            tried = tried.and(self.repeat_flush(number).await?);
        }
        Some(tried)
    }

    async fn repair(&self, batch: &[(Box<str>, u64)]) -> Option<Tried> {
        let keys: Vec<&str> = batch.iter().map(|(key, _)| &**key).collect();
        let is_wanted = |nth: usize| self.is_noted(&batch[nth]);
        let removals = self.remover.remove(&keys, &is_wanted).await?;
        let mut tried = Tried::All;
        let mut ended = Vec::new();
        for ((key, number), removal) in batch.iter().zip(removals) {
            match removal {
                Ok(Removal::Removed) => {
                    // Before anybody takes it for repaired.
                    self.tracking.invalidate(key);
                    ended.push((key, number, true));
                }
                Ok(Removal::Left) => ended.push((key, number, false)),
                Ok(Removal::Changed | Removal::Unwanted) => tried = tried.and(Tried::Some),
                Err(error) if error.is_closed() => return None,
                Err(error) if passes(&error) => tried = tried.and(Tried::Down(error)),
                // It is there, and says no.
                Err(_) => ended.push((key, number, false)),
            }
        }
        let mut state = self.state.lock();
        for (key, number, is_done) in ended {
            if state.keys.get(key) == Some(number) {
                state.keys.remove(key);
                if is_done {
                    self.count_done(1);
                } else {
                    self.count_dropped(1);
                }
            }
        }
        self.publish(&state);
        Some(tried)
    }

    async fn repeat_flush(&self, number: u64) -> Option<Tried> {
        let is_wanted = |key: &str| self.is_flushed(number, key);
        let flushed = self.remover.remove_all(&is_wanted).await?;
        let is_done = match flushed {
            Ok(()) => true,
            Err(error) if error.is_closed() => return None,
            Err(error) if passes(&error) => return Some(Tried::Down(error)),
            Err(_) => false,
        };
        self.tracking.invalidate_all();
        let mut state = self.state.lock();
        if state.flush.as_ref().is_some_and(|it| it.number == number) {
            state.flush = None;
            if is_done {
                self.count_done(1);
            } else {
                self.count_dropped(1);
            }
        }
        self.publish(&state);
        Some(Tried::All)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.flush.is_none()
    }
}

/// What came of a try.
enum Tried {
    All,
    /// Others have written some of it meanwhile.
    Some,
    Down(Error),
}

impl Tried {
    /// The worse of the two.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Down(error), _) | (_, Self::Down(error)) => Self::Down(error),
            (Self::Some, _) | (_, Self::Some) => Self::Some,
            (Self::All, Self::All) => Self::All,
        }
    }
}

/// Whether it is worth another try.
fn passes(error: &Error) -> bool {
    error.is_connection() || error.is_timeout()
}

/// The task. However it ends, another may begin.
struct Runner {
    repairs: Arc<Repairs>,
    /// Whether it has said itself that it ends.
    is_over: bool,
}

impl Runner {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        while !self.is_over {
            sleep(pause).await;
            pause = match self.repairs.round().await {
                Some(Tried::All) => FIRST_PAUSE,
                Some(Tried::Some | Tried::Down(_)) => (pause * 2).min(LONGEST_PAUSE),
                // The backend is gone, or closed.
                None => {
                    self.repairs.close();
                    LONGEST_PAUSE
                }
            };
            self.is_over = self.repairs.retire();
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if !self.is_over {
            self.repairs.state.lock().runner = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::redis::RedisCacheBackend;

    fn repairs(most: usize) -> Arc<Repairs> {
        // Dropped at once, so that there is no task and nothing to be sent.
        let far = RedisCacheBackend::new("redis://localhost").unwrap();
        let tracking = Arc::new(Tracking::new(
            "p:",
            16,
            Duration::from_secs(1),
            crate::backend::coherence::Coherence::Tracking,
        ));
        Repairs::new(most, far.remover(), tracking)
    }

    fn number(repairs: &Repairs, key: &str) -> Option<u64> {
        repairs.state.lock().keys.get(key).copied()
    }

    #[test]
    fn a_write_that_begins_ends_the_repairs_of_its_keys() {
        let repairs = repairs(10);
        repairs.note(["a", "b"]);
        let noted = ["a", "b"].map(|key| (key.into(), number(&repairs, key).unwrap()));
        assert!(noted.iter().all(|it| repairs.is_noted(it)));
        let held = repairs.begin(&["a", "c"]);
        assert!(held.has("a") && !held.has("b") && !held.has("c"));
        assert_eq!(
            [0, 1].map(|nth| repairs.is_noted(&noted[nth])),
            [false, true]
        );
        // It fails: that is another note, which a repair that began before does not take for its own.
        repairs.note(["a"]);
        assert_eq!(repairs.counts(), (2, 0, 0));
        assert!(!repairs.is_noted(&noted[0]));
        // So it is if it fails twice.
        let before = number(&repairs, "b");
        repairs.note(["b"]);
        assert!(number(&repairs, "b") > before);
        assert_eq!(repairs.counts(), (2, 0, 0));
    }

    #[test]
    fn a_flush_spares_what_is_written_behind_it_as_far_as_that_is_remembered() {
        let repairs = repairs(2);
        repairs.note_flush();
        let first = repairs.state.lock().flush.as_ref().unwrap().number;
        assert!(repairs.is_flushed(first, "a"));
        repairs.begin(&["a"]);
        assert!(!repairs.is_flushed(first, "a") && repairs.is_flushed(first, "b"));
        // Another flush is for that as well.
        repairs.note_flush();
        let second = repairs.state.lock().flush.as_ref().unwrap().number;
        assert!(!repairs.is_flushed(first, "b") && repairs.is_flushed(second, "a"));
        repairs.begin(&["a", "b"]);
        assert_eq!(repairs.counts(), (1, 0, 0));
        repairs.begin(&["c"]);
        assert!(!repairs.is_flushed(second, "d"));
        assert_eq!(repairs.counts(), (0, 0, 1));
    }

    #[test]
    fn a_flush_that_works_leaves_what_failed_behind_it() {
        let repairs = repairs(10);
        repairs.note(["a"]);
        repairs.note_flush();
        let held = repairs.begin(&[]);
        repairs.note(["b"]);
        repairs.flushed(&held);
        assert_eq!((number(&repairs, "a"), repairs.counts()), (None, (1, 2, 0)));
        assert!(number(&repairs, "b").is_some());
    }

    #[test]
    fn without_a_thread_for_it_the_task_is_not_taken_for_running() {
        let repairs = repairs(10);
        repairs.note(["a"]);
        assert_eq!(repairs.state.lock().runner, None);
        repairs.close();
        repairs.note(["a"]);
        assert_eq!(repairs.counts(), (0, 0, 1));
    }
}
