//! A link to one server: one multiplexed connection that is replaced when it breaks, and a breaker before it.
//!
//! ```text
//!            first command                 connected
//!   Idle ───────────────────▶ Dialing ─────────────────▶ Up
//!    ▲                         │    ▲                     │  │
//!    │                  failed │    │ command, once the   │  │ nothing heard for
//!    │                         │    │ pause is over       │  │ a whole budget
//!    │                         ▼    │                     │  ▼
//!    │                        Down ◀┴─────────────────────┼──┘
//!    └─────────────────────────────────────────────────────┘
//!                      broken, or refused for good
//! ```
//!
//! **Nobody waits past a deadline.** Every wait here, for a connection or for an answer, ends at the caller's.
//!
//! **One dials, in a task on the [driver](super::driver)**, so that a caller who gives up does not take the attempt along. From
//! `Idle`, and when a connection has broken, all callers wait for the attempt: a server that was only restarted costs them nothing
//! but time. After a failure the breaker is open: callers fail at once with the reason, until a pause with jitter (25 to 250 ms)
//! is over; then one caller starts the next attempt and waits for it, and all others go on failing at once. So a server that is
//! back is in use a quarter of a second later, and one that is not costs nobody time.
//!
//! **How a break is noticed.** The task that drives a connection owns a [`Life`]; when the server closes the connection, it is
//! dropped and marks the [`Line`] as dead. A server that is paused closes nothing: when a command has waited its budget and in all
//! that time no other command was answered either, the line is given up. A server may also answer that it is not, or no longer,
//! the one to be asked: see [`Link::is_of_no_use`].
//!
//! **What is sent twice.** After a break, what may be: see [`Replay`]. Whether a write that was lost with its connection has taken
//! place is not known, and that is what its caller is told.
//!
//! **Locks.** Under the lock of the state nothing is spawned, woken, or dropped that does more than give memory back: a task that
//! is refused, or a waker, may come back here.

use super::address::Secrets;
use super::dial::Dial;
use super::driver::Driver;
use super::failure::{Failure, broken};
use crate::backend::alarm;
use crate::error::Error;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, Pipeline, RedisResult, ServerError, Value};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::timeout;

const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Whether a command may be sent again when its connection broke before the answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replay {
    /// It reads; or it is the UNLINK of a flush, for which it makes no difference whether a key that is written meanwhile is
    /// removed.
    Safe,
    /// It writes, and to do that twice may undo what another has written in between.
    Unsafe,
}

/// What is sent in one go.
trait Request: Sync {
    type Answer: Send;

    fn send(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> impl Future<Output = RedisResult<Self::Answer>> + Send;

    /// Whether one of the refusals in the answer is of this kind.
    fn any(answer: &Self::Answer, is: impl Fn(&ServerError) -> bool) -> bool;
}

impl Request for Cmd {
    type Answer = Value;

    fn send(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> impl Future<Output = RedisResult<Value>> + Send {
        connection.send_packed_command(self)
    }

    fn any(answer: &Value, is: impl Fn(&ServerError) -> bool) -> bool {
        matches!(answer, Value::ServerError(reply) if is(reply))
    }
}

impl Request for Pipeline {
    type Answer = Vec<Value>;

    fn send(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> impl Future<Output = RedisResult<Vec<Value>>> + Send {
        connection.send_packed_commands(self, 0, self.len())
    }

    fn any(answers: &Vec<Value>, is: impl Fn(&ServerError) -> bool) -> bool {
        answers.iter().any(|answer| Cmd::any(answer, &is))
    }
}

/// The way to one server.
pub(super) struct Link {
    dial: Dial,
    place: String,
    /// How long an attempt to connect may take.
    patience: Duration,
    secrets: Secrets,
    driver: Arc<Driver>,
    state: Mutex<State>,
    /// Connections made so far.
    made: AtomicU64,
    /// The number of attempts that have ended; all there can be, once the link is closed. Changes after the state has.
    ended: watch::Sender<u64>,
}

struct State {
    /// Attempts so far.
    attempts: u64,
    phase: Phase,
}

enum Phase {
    Idle,
    /// `barred`: what others are told meanwhile, unless they may wait.
    Dialing {
        barred: Option<Error>,
    },
    Up(Arc<Line>),
    Down {
        until: Instant,
        failures: u32,
        error: Error,
    },
    Closed,
}

/// One connection.
struct Line {
    connection: MultiplexedConnection,
    dead: Arc<AtomicBool>,
    /// Answers so far.
    heard: AtomicU64,
}

/// Held by the task that drives a connection: dropped when that ends.
struct Life(Arc<AtomicBool>);

impl Drop for Life {
    fn drop(&mut self) {
        // Relaxed: only ever a hint; what is sent on a dead line fails.
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Line {
    fn is_dead(&self) -> bool {
        // Relaxed: see `Life`.
        self.dead.load(Ordering::Relaxed)
    }

    fn heard(&self) -> u64 {
        // Relaxed: a counter.
        self.heard.load(Ordering::Relaxed)
    }
}

impl Link {
    pub(super) fn new(
        dial: Dial,
        patience: Duration,
        secrets: Secrets,
        driver: Arc<Driver>,
    ) -> Arc<Self> {
        Arc::new(Self {
            place: secrets.scrub(dial.place()),
            dial,
            patience,
            secrets,
            driver,
            state: Mutex::new(State {
                attempts: 0,
                phase: Phase::Idle,
            }),
            made: AtomicU64::new(0),
            ended: watch::Sender::new(0),
        })
    }

    /// How errors call the server.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn dial(&self) -> &Dial {
        &self.dial
    }

    /// How many connections there have been. If there is one more, the server may be another, or have lost what it knew.
    pub(super) fn made(&self) -> u64 {
        // Acquire: pairs with the Release in `Attempt::run`; whoever has an answer by a connection sees that it was made.
        self.made.load(Ordering::Acquire)
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(&self.state.lock().phase, Phase::Up(line) if !line.is_dead())
    }

    /// Sends a command and waits for the answer.
    pub(super) async fn one(
        self: &Arc<Self>,
        command: &Cmd,
        deadline: Instant,
        replay: Replay,
    ) -> Result<Value, Failure> {
        match self.exchange(command, deadline, replay).await? {
            Value::ServerError(reply) => Err(Failure::Refused(reply)),
            value => Ok(value),
        }
    }

    /// Sends commands in one go and waits for all answers, among them those that are refusals.
    pub(super) async fn many(
        self: &Arc<Self>,
        commands: &Pipeline,
        deadline: Instant,
        replay: Replay,
    ) -> Result<Vec<Value>, Failure> {
        self.exchange(commands, deadline, replay).await
    }

    async fn exchange<R: Request>(
        self: &Arc<Self>,
        request: &R,
        deadline: Instant,
        replay: Replay,
    ) -> Result<R::Answer, Failure> {
        let mut again = replay == Replay::Safe;
        loop {
            let line = self.line(deadline).await.map_err(Failure::Unsent)?;
            let (heard, since) = (line.heard(), Instant::now());
            let mut connection = line.connection.clone();
            match alarm::until(deadline, request.send(&mut connection)).await {
                Some(Ok(answer)) => {
                    // Relaxed: a counter.
                    line.heard.fetch_add(1, Ordering::Relaxed);
                    if R::any(&answer, |reply| self.is_of_no_use(reply)) {
                        self.give_up(&line, None);
                    }
                    return Ok(answer);
                }
                Some(Err(error)) => {
                    let failure = self.broke(&line, &error);
                    if !std::mem::take(&mut again) {
                        return Err(failure);
                    }
                }
                None => return Err(self.silence(&line, heard, since)),
            }
        }
    }

    /// Lets go of the connection, for good.
    pub(super) fn close(&self) {
        let old = std::mem::replace(&mut self.state.lock().phase, Phase::Closed);
        drop(old);
        self.ended.send_replace(u64::MAX);
    }

    /// A connection that is not known to be broken.
    async fn line(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Line>, Error> {
        loop {
            let (attempt, number) = {
                let mut state = self.state.lock();
                match &state.phase {
                    Phase::Up(line) if !line.is_dead() => return Ok(Arc::clone(line)),
                    Phase::Dialing {
                        barred: Some(error),
                    } => return Err(error.clone()),
                    Phase::Down { until, error, .. } if Instant::now() < *until => {
                        return Err(error.clone());
                    }
                    Phase::Closed => return Err(Error::closed()),
                    Phase::Dialing { barred: None } => (None, state.attempts),
                    Phase::Idle | Phase::Up(_) | Phase::Down { .. } => {
                        let (attempt, old) = self.begin(&mut state);
                        (Some((attempt, old)), state.attempts)
                    }
                }
            };
            if let Some((attempt, old)) = attempt {
                drop(old);
                attempt.start();
            }
            let mut ended = self.ended.subscribe();
            let ended = ended.wait_for(|ended| *ended >= number);
            if alarm::until(deadline, ended).await.is_none() {
                let text = format!("{}: no connection in time", self.place);
                return Err(Error::timeout(text));
            }
        }
    }

    /// An attempt, to be started outside of the lock; and what was there before, to be dropped there.
    fn begin(self: &Arc<Self>, state: &mut State) -> (Attempt, Phase) {
        let (failures, barred) = match &state.phase {
            Phase::Down {
                failures, error, ..
            } => (*failures, Some(error.clone())),
            _ => (0, None),
        };
        state.attempts += 1;
        let old = std::mem::replace(&mut state.phase, Phase::Dialing { barred });
        let attempt = Attempt {
            link: Arc::clone(self),
            number: state.attempts,
            failures,
            ended: false,
        };
        (attempt, old)
    }

    /// Nothing came back before the deadline.
    #[cold]
    fn silence(&self, line: &Arc<Line>, heard: u64, since: Instant) -> Failure {
        // Others were answered: the server is there, and only this is slow. Or there was too little time to tell.
        if line.heard() == heard && since.elapsed() >= self.patience / 2 {
            let text = format!("{} does not answer", self.place);
            self.give_up(line, Some(Error::connection(text)));
        }
        Failure::Unknown(Error::timeout(format!("{}: no answer in time", self.place)))
    }

    /// The connection, or what came by it, is no good.
    #[cold]
    fn broke(&self, line: &Arc<Line>, error: &redis::RedisError) -> Failure {
        if matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse) {
            self.give_up(line, None);
        }
        Failure::Unknown(broken(&self.place, error, &self.secrets))
    }

    /// Whether a refusal says that this connection leads to a server that will not serve us any more, and another may: the next
    /// call finds out anew who is there. What a server that is the right one refuses (it is full, it loads, a script keeps it
    /// busy, it lacks permission) is its answer.
    fn is_of_no_use(&self, reply: &ServerError) -> bool {
        match reply.code() {
            // Demoted, as after a failover: the sentinels know who is the master.
            "READONLY" | "MASTERDOWN" => matches!(self.dial, Dial::Master { .. }),
            // It has forgotten who we are; a new handshake says it.
            "NOAUTH" => true,
            _ => false,
        }
    }

    /// Lets go of a connection, unless that was done. With an error, the breaker opens.
    fn give_up(&self, line: &Arc<Line>, error: Option<Error>) {
        let next = match error {
            Some(error) => Phase::Down {
                until: Instant::now(),
                failures: 0,
                error,
            },
            None => Phase::Idle,
        };
        let mut state = self.state.lock();
        if !matches!(&state.phase, Phase::Up(current) if Arc::ptr_eq(current, line)) {
            return;
        }
        let old = std::mem::replace(&mut state.phase, next);
        drop(state);
        drop(old);
    }
}

/// An attempt to connect. When it is dropped before its end, as one that panics is, it has failed.
struct Attempt {
    link: Arc<Link>,
    number: u64,
    /// Those right before this one.
    failures: u32,
    ended: bool,
}

impl Attempt {
    /// Not under the lock: an attempt that cannot run is dropped here.
    fn start(mut self) {
        match self.link.driver.runtime() {
            Ok(runtime) => drop(runtime.spawn(self.run())),
            Err(error) => {
                let next = down(self.failures, error);
                self.end(next);
            }
        }
    }

    async fn run(mut self) {
        let link = Arc::clone(&self.link);
        let dead = Arc::new(AtomicBool::new(false));
        let life = Life(Arc::clone(&dead));
        let connect = link.dial.connect(life, link.patience, &link.secrets);
        let next = match timeout(link.patience, connect).await {
            Ok(Ok(connection)) => {
                // Release: pairs with the Acquire in `made`.
                link.made.fetch_add(1, Ordering::Release);
                Phase::Up(Arc::new(Line {
                    connection,
                    dead,
                    heard: AtomicU64::new(0),
                }))
            }
            Ok(Err(error)) => down(self.failures, error),
            Err(_) => {
                let text = format!("{}: no connection in {:?}", link.place, link.patience);
                down(self.failures, Error::connection(text))
            }
        };
        self.end(next);
    }

    fn end(&mut self, next: Phase) {
        self.ended = true;
        let mut state = self.link.state.lock();
        let unused = match state.phase {
            Phase::Dialing { .. } => std::mem::replace(&mut state.phase, next),
            // Closed meanwhile.
            _ => next,
        };
        drop(state);
        drop(unused);
        let ended = |ended: &mut u64| *ended = self.number.max(*ended);
        self.link.ended.send_modify(ended);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.ended {
            let text = format!("{}: the attempt to connect was cut short", self.link.place);
            self.end(down(self.failures, Error::connection(text)));
        }
    }
}

fn down(failures: u32, error: Error) -> Phase {
    let pause = FIRST_PAUSE * 2_u32.pow(failures.min(10));
    Phase::Down {
        until: Instant::now() + jittered(pause.min(LONGEST_PAUSE)),
        failures: failures.saturating_add(1),
        error,
    }
}

/// Between half of it and all of it, so that a fleet does not come back in step.
fn jittered(pause: Duration) -> Duration {
    // Each new state of this kind has other keys.
    let random = ahash::RandomState::new().hash_one(0_u8);
    pause / 2 + pause.mul_f64(random as f64 / u64::MAX as f64 / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::IntoConnectionInfo;

    #[test]
    fn an_attempt_that_is_cut_short_has_failed() {
        let info = "redis://127.0.0.1:1".into_connection_info().unwrap();
        let (dial, patience) = (Dial::Address(info), Duration::from_secs(60));
        let link = Link::new(dial, patience, Secrets::default(), Driver::share());
        for number in 1..=3 {
            let (attempt, old) = link.begin(&mut link.state.lock());
            drop((attempt, old));
            assert_eq!(*link.ended.borrow(), number, "who waits is told");
            let state = link.state.lock();
            let Phase::Down {
                failures, error, ..
            } = &state.phase
            else {
                panic!("the breaker is open");
            };
            assert_eq!(u64::from(*failures), number);
            assert!(error.to_string().contains("cut short"), "{error}");
        }
    }
}
