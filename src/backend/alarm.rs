//! Deadlines for those who wait, on any executor: one thread wakes those whose time has come.
//!
//! Who waits may be on no runtime of Tokio's, and so have no timers from it, and a timer of Tokio's ends with its runtime. So the process has one
//! thread for deadlines. It starts when somebody waits and ends when nobody has waited for a while. Each one who waits has an entry
//! with a waker, by deadline, and takes it out on leaving. The thread sleeps until the first of the deadlines.
//!
//! Wakers are others' code: none is cloned, dropped or woken under the lock.

use crate::flights::wake::wake_all;
use crate::sync::{Mutex, thread};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::process;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How long the thread stays when nobody waits.
const IDLE: Duration = Duration::from_secs(10);

static ALARMS: Mutex<Alarms> = Mutex::new(Alarms {
    waiting: BTreeMap::new(),
    next: 0,
    thread: None,
    sleeps_until: None,
});

struct Alarms {
    /// By deadline; the number tells apart those that have the same.
    waiting: BTreeMap<(Instant, u64), Waker>,
    next: u64,
    /// With the process that it runs in: the child of a fork has no such thread. It parks, and does not wait for a condition: a
    /// parked thread leaves nothing behind that the child could stumble over.
    thread: Option<(u32, thread::Thread)>,
    /// Until when the thread sleeps, or will when it has looked at all deadlines.
    sleeps_until: Option<Instant>,
}

/// Ready at its deadline, when it wakes the task that polls it.
struct Alarm {
    at: Instant,
    /// Tells it from others with the same deadline.
    number: Option<u64>,
}

impl Alarm {
    fn at(at: Instant) -> Self {
        Self { at, number: None }
    }

    /// Ready at once if the thread cannot be started: better too early than never.
    fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        if self.is_set_for(context.waker()) {
            return Poll::Pending;
        }
        let waker = context.waker().clone();
        match self.set(waker) {
            Ok(old) => {
                drop(old);
                Poll::Pending
            }
            Err(_) => Poll::Ready(()),
        }
    }

    fn is_set_for(&self, waker: &Waker) -> bool {
        let Some(number) = self.number else {
            return false;
        };
        let alarms = ALARMS.lock();
        let set = alarms.waiting.get(&(self.at, number));
        set.is_some_and(|set| set.will_wake(waker))
    }

    /// Returns the waker that was there before.
    fn set(&mut self, waker: Waker) -> std::io::Result<Option<Waker>> {
        let mut alarms = ALARMS.lock();
        let own = process::id();
        if alarms.thread.as_ref().is_none_or(|(of, _)| *of != own) {
            let builder = thread::Builder::new().name("nori-cache-alarm".to_owned());
            let thread = builder.spawn(run)?.thread().clone();
            alarms.thread = Some((own, thread));
            alarms.sleeps_until = None;
        }
        let number = *self.number.get_or_insert(alarms.next);
        alarms.next = alarms.next.max(number.wrapping_add(1));
        let old = alarms.waiting.insert((self.at, number), waker);
        if alarms.sleeps_until.is_some_and(|until| self.at < until)
            && let Some((_, thread)) = &alarms.thread
        {
            thread.unpark();
        }
        Ok(old)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let waker = ALARMS.lock().waiting.remove(&(self.at, number));
            drop(waker);
        }
    }
}

/// The thread.
fn run() {
    let mut idle_since = None;
    loop {
        let mut alarms = ALARMS.lock();
        let now = Instant::now();
        let due = alarms.due(now);
        if !due.is_empty() {
            drop(alarms);
            wake_all(due.into_values());
            continue;
        }
        let first = alarms.waiting.keys().next().map(|(at, _)| *at);
        idle_since = match first {
            Some(_) => None,
            None => idle_since.or(Some(now)),
        };
        let until = first
            .or(idle_since.map(|since| since + IDLE))
            .unwrap_or(now);
        if first.is_none() && now >= until {
            alarms.thread = None;
            return;
        }
        alarms.sleeps_until = Some(until);
        drop(alarms);
        thread::park_timeout(until.saturating_duration_since(now));
    }
}

impl Alarms {
    /// Takes out those whose time has come.
    fn due(&mut self, now: Instant) -> BTreeMap<(Instant, u64), Waker> {
        let later = self.waiting.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.waiting, later)
    }
}

/// Waits for `future`, but not past the deadline: then `None`.
pub(crate) async fn until<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut alarm = Alarm::at(deadline);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => alarm.poll(context).map(|()| None),
    })
    .await
}

/// The time that is this much later than now, or one that never comes if the clock does not go so far.
pub(crate) fn after(wait: Duration) -> Instant {
    const YEARS: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    let now = Instant::now();
    now.checked_add(wait).unwrap_or_else(|| now + YEARS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::task::Wake;

    /// Those who wait, apart from those of other tests.
    fn set_for(waker: &Waker) -> usize {
        let alarms = ALARMS.lock();
        let ours = alarms.waiting.values();
        ours.filter(|other| other.will_wake(waker)).count()
    }

    struct Tell(mpsc::Sender<()>);

    impl Wake for Tell {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }

    #[test]
    fn one_who_waits_is_woken_in_the_end_and_leaves_nothing() {
        let (tell, told) = mpsc::channel();
        let waker = Waker::from(Arc::new(Tell(tell)));
        let mut context = Context::from_waker(&waker);
        let mut late = pin!(until(after(Duration::MAX), pending::<()>()));
        assert!(late.as_mut().poll(&mut context).is_pending());
        // Before the one that the thread sleeps to. A machine that stands still may need it to be later.
        let mut soon = (4..).map(|power| after(Duration::from_millis(1 << power)));
        let mut soon = loop {
            let at = soon.next().unwrap();
            let mut soon = Box::pin(until(at, pending::<()>()));
            if soon.as_mut().poll(&mut context).is_pending() {
                break soon;
            }
        };
        told.recv().unwrap();
        assert_eq!(soon.as_mut().poll(&mut context), Poll::Ready(None));
        assert_eq!(set_for(&waker), 1);
        assert!(late.as_mut().poll(&mut context).is_pending());
        assert_eq!(set_for(&waker), 1, "polled again, it has one entry");
    }

    #[test]
    fn one_who_leaves_takes_the_waker_along() {
        let (tell, _told) = mpsc::channel();
        let waker = Waker::from(Arc::new(Tell(tell)));
        let mut context = Context::from_waker(&waker);
        for _ in 0..100 {
            let mut waits = Box::pin(until(after(Duration::from_secs(3600)), pending::<()>()));
            assert!(waits.as_mut().poll(&mut context).is_pending());
            assert_eq!(set_for(&waker), 1);
        }
        assert_eq!(set_for(&waker), 0);
    }

    #[test]
    fn another_waker_replaces_the_first() {
        let (tell, told) = mpsc::channel();
        let waker = Waker::from(Arc::new(Tell(tell)));
        // A machine that stands still may need it to be later.
        let mut soon = (4..).map(|power| Alarm::at(after(Duration::from_millis(1 << power))));
        let noop = Context::from_waker(Waker::noop());
        let mut alarm = soon.find_map(|mut alarm| alarm.poll(&noop).is_pending().then_some(alarm));
        let alarm = alarm.as_mut().unwrap();
        if alarm.poll(&Context::from_waker(&waker)).is_pending() {
            told.recv().unwrap();
        }
        assert!(alarm.poll(&Context::from_waker(&waker)).is_ready());
    }
}
