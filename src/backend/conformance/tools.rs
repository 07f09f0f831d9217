//! What the rows are made of.

use super::{Harness, Task};
use crate::backend::CacheBackend;
use crate::error::Error;
use crate::sync::Mutex;
use std::fmt::{self, Debug};
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// What a row comes to.
pub(super) type Outcome = Result<(), Broken>;

/// Why a row does not hold.
#[derive(Debug)]
pub(super) struct Broken(String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Broken {
    #[track_caller]
    fn from(error: Error) -> Self {
        Self(format!("{}: failed: {error}", Location::caller()))
    }
}

#[track_caller]
pub(super) fn eq<T: PartialEq<U> + Debug, U: Debug>(got: T, want: U) -> Outcome {
    ensure(got == want, || format!("got {got:?}, not {want:?}"))
}

#[track_caller]
pub(super) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds {
        Ok(())
    } else {
        Err(Broken(format!("{}: {}", Location::caller(), otherwise())))
    }
}

/// The error that a call must end with.
#[track_caller]
pub(super) fn fails<T: Debug>(result: Result<T, Error>, is: fn(&Error) -> bool) -> Outcome {
    match result {
        Err(error) if is(&error) => Ok(()),
        other => ensure(false, || format!("the wrong error, or none: {other:?}")),
    }
}

/// One row's backend, and what the harness can do.
pub(super) struct Context<'h, H> {
    pub(super) backend: Arc<dyn CacheBackend>,
    pub(super) harness: &'h H,
}

impl<'h, H: Harness> Context<'h, H> {
    pub(super) async fn new(harness: &'h H) -> Self {
        Self {
            backend: harness.backend().await,
            harness,
        }
    }

    pub(super) async fn advance(&self, by: Duration) {
        self.harness.advance(by).await;
    }

    /// What is left of a time to live must be this, or what the tolerance takes from it.
    #[track_caller]
    pub(super) fn near(&self, left: Option<crate::time::Ttl>, want: Duration) -> Outcome {
        let least = want.saturating_sub(self.harness.tolerance());
        let holds = match left {
            Some(crate::time::Ttl::After(left)) => left <= want && left > least,
            _ => false,
        };
        ensure(holds, || format!("{left:?} is left, not about {want:?}"))
    }

    /// Runs tasks beside each other; their answers in order, `None` for those that panicked.
    pub(super) async fn join<R: Send + 'static>(
        &self,
        tasks: impl IntoIterator<Item = impl Future<Output = R> + Send + 'static>,
    ) -> Vec<Option<R>> {
        let started: Vec<_> = tasks.into_iter().map(|task| self.spawn(task)).collect();
        let mut answers = Vec::new();
        for task in started {
            answers.push(task.join().await);
        }
        answers
    }

    pub(super) fn spawn<R: Send + 'static>(
        &self,
        task: impl Future<Output = R> + Send + 'static,
    ) -> Spawned<R> {
        let spawned = Spawned {
            answer: Arc::new(Mutex::new(None)),
            ended: Gate::default(),
        };
        let answer = Arc::clone(&spawned.answer);
        // Opens when the task ends, panics or is dropped.
        let ended = OpenOnDrop(spawned.ended.clone());
        let task: Task = Box::pin(async move {
            let ended = ended;
            let value = task.await;
            *answer.lock() = Some(value);
            drop(ended);
        });
        self.harness.spawn(task);
        spawned
    }
}

/// A task that was started.
pub(super) struct Spawned<R> {
    answer: Arc<Mutex<Option<R>>>,
    ended: Gate,
}

impl<R> Spawned<R> {
    /// `None` if it panicked.
    pub(super) async fn join(self) -> Option<R> {
        self.ended.passed().await;
        self.answer.lock().take()
    }
}

struct OpenOnDrop(Gate);

impl Drop for OpenOnDrop {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// Closed until someone opens it.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    pub(super) fn open(&self) {
        let mut state = self.0.lock();
        state.0 = true;
        let waiting = std::mem::take(&mut state.1);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(super) async fn passed(&self) {
        poll_fn(|context| {
            let mut state = self.0.lock();
            if state.0 {
                return Poll::Ready(());
            }
            state.1.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.lock().0
    }
}

/// Runs `work` until the gate is open, and drops it then; its answer if it came first.
pub(super) async fn drop_at<R>(gate: &Gate, work: impl Future<Output = R>) -> Option<R> {
    let mut work = Box::pin(work);
    let mut gate = pin!(gate.passed());
    poll_fn(move |context| {
        if let Poll::Ready(answer) = work.as_mut().poll(context) {
            return Poll::Ready(Some(answer));
        }
        gate.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// Lets other tasks go first.
pub(super) async fn step_aside() {
    let mut waited = false;
    poll_fn(|context| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A future that is never ready.
pub(super) async fn forever<R>() -> R {
    std::future::pending().await
}

/// A panic that the hook does not print.
pub(super) fn panic_silently() -> ! {
    std::panic::resume_unwind(Box::new(()))
}
