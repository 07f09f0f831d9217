//! A link to one server: one multiplexed connection that is replaced when it breaks, and a breaker before it.
//!
//! ```text
//!            first command                 connected
//!   Idle ───────────────────▶ Dialing ─────────────────▶ Up
//!    ▲                         │    ▲                     │
//!    │ its runtime has ended   │    │ command, once the   │ nothing heard for
//!    └─────────────────────────┤    │ pause is over       │ a whole budget
//!                       failed ▼    │                     ▼
//!                             Down ◀┴─────────────────────┘
//! ```
//!
//! **Nobody waits past a deadline.** Every wait here, for a connection or for an answer, ends at the caller's.
//!
//! **One dials, in a task of its own**, so that a caller who gives up does not take the attempt along. From `Idle`, and when a
//! connection has broken, all callers wait for the attempt: a server that was only restarted costs them nothing but time. After
//! a failure the breaker is open: callers fail at once with the reason, until a pause with jitter (25 to 250 ms) is over; then
//! one caller starts the next attempt and waits for it, and all others go on failing at once. So a server that is back is in
//! use a quarter of a second later, and one that is not costs nobody time.
//!
//! **How a break is noticed.** The task that drives a connection owns a [`Life`]; when the server closes the connection, or the
//! runtime of that task ends, it is dropped and marks the [`Line`] as dead. A server that is paused closes nothing: when a
//! command has waited its budget and in all that time no other command was answered either, the line is given up.
//!
//! **What is sent twice.** Only commands that read, and only after a break. Whether a write that was lost with its connection
//! has taken place is not known, and that is what its caller is told.

use super::address::Secrets;
use super::dial::Dial;
use super::failure::{Failure, broken};
use crate::error::Error;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, Pipeline, RedisResult, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Whether a command may be sent again when its connection broke before the answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replay {
    Safe,
    Unsafe,
}

/// The way to one server.
pub(super) struct Link {
    dial: Dial,
    place: String,
    /// How long an attempt to connect may take.
    patience: Duration,
    secrets: Secrets,
    state: Mutex<State>,
    /// Connections made so far.
    made: AtomicU64,
    /// Changes, under the lock, whenever an attempt ends.
    changed: watch::Sender<()>,
}

enum State {
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
    pub(super) fn new(dial: Dial, patience: Duration, secrets: Secrets) -> Arc<Self> {
        Arc::new(Self {
            place: secrets.scrub(dial.place()),
            dial,
            patience,
            secrets,
            state: Mutex::new(State::Idle),
            made: AtomicU64::new(0),
            changed: watch::Sender::new(()),
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
        matches!(&*self.state.lock(), State::Up(line) if !line.is_dead())
    }

    /// Sends a command and waits for the answer.
    pub(super) async fn one(
        self: &Arc<Self>,
        command: &Cmd,
        deadline: Instant,
        replay: Replay,
    ) -> Result<Value, Failure> {
        let mut again = replay == Replay::Safe;
        loop {
            let line = self.line(deadline).await.map_err(Failure::Unsent)?;
            let (heard, since) = (line.heard(), Instant::now());
            let mut connection = line.connection.clone();
            let answer = timeout_at(deadline, connection.send_packed_command(command)).await;
            let answer = answer.unwrap_or_else(|_| self.silence(&line, heard, since));
            match self.settle(&line, answer) {
                Ok(Value::ServerError(reply)) => return Err(self.refused(&line, reply)),
                Err(Failure::Unknown(error)) if again && !error.is_timeout() => again = false,
                settled => return settled,
            }
        }
    }

    /// Sends commands in one go and waits for all answers, among them those that are refusals.
    pub(super) async fn many(
        self: &Arc<Self>,
        commands: &Pipeline,
        deadline: Instant,
        replay: Replay,
    ) -> Result<Vec<Value>, Failure> {
        let mut again = replay == Replay::Safe;
        loop {
            let line = self.line(deadline).await.map_err(Failure::Unsent)?;
            let (heard, since) = (line.heard(), Instant::now());
            let mut connection = line.connection.clone();
            let answers = connection.send_packed_commands(commands, 0, commands.len());
            let answers = timeout_at(deadline, answers).await;
            let answers = answers.unwrap_or_else(|_| self.silence(&line, heard, since));
            match self.settle(&line, answers) {
                Err(Failure::Unknown(error)) if again && !error.is_timeout() => again = false,
                settled => return settled,
            }
        }
    }

    /// Lets go of the connection, for good.
    pub(super) fn close(&self) {
        *self.state.lock() = State::Closed;
        self.changed.send_replace(());
    }

    /// A connection that is not known to be broken.
    async fn line(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Line>, Error> {
        loop {
            let mut changed = {
                let mut state = self.state.lock();
                match &*state {
                    State::Up(line) if !line.is_dead() => return Ok(Arc::clone(line)),
                    State::Dialing {
                        barred: Some(error),
                    } => return Err(error.clone()),
                    State::Down { until, error, .. } if Instant::now() < *until => {
                        return Err(error.clone());
                    }
                    State::Closed => return Err(Error::closed()),
                    State::Dialing { barred: None } => {}
                    State::Idle | State::Up(_) | State::Down { .. } => self.start(&mut state),
                }
                // Under the lock: the attempt cannot have ended unseen.
                self.changed.subscribe()
            };
            if timeout_at(deadline, changed.changed()).await.is_err() {
                let text = format!("{}: no connection in time", self.place);
                return Err(Error::timeout(text));
            }
        }
    }

    fn start(self: &Arc<Self>, state: &mut State) {
        let (failures, barred) = match state {
            State::Down {
                failures, error, ..
            } => (*failures, Some(error.clone())),
            _ => (0, None),
        };
        *state = State::Dialing { barred };
        let attempt = Attempt {
            link: Arc::clone(self),
            ended: false,
        };
        tokio::spawn(attempt.run(failures));
    }

    /// Nothing came back before the deadline.
    #[cold]
    fn silence<T>(&self, line: &Arc<Line>, heard: u64, since: Instant) -> RedisResult<T> {
        // Others were answered: the server is there, and only this is slow. Or there was too little time to tell.
        if line.heard() == heard && since.elapsed() >= self.patience / 2 {
            let text = format!("{} does not answer", self.place);
            self.give_up(line, Some(Error::connection(text)));
        }
        Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())
    }

    fn settle<T>(&self, line: &Arc<Line>, answer: RedisResult<T>) -> Result<T, Failure> {
        match answer {
            Ok(value) => {
                // Relaxed: a counter.
                line.heard.fetch_add(1, Ordering::Relaxed);
                Ok(value)
            }
            Err(error) => Err(self.failed(line, &error)),
        }
    }

    #[cold]
    fn failed(&self, line: &Arc<Line>, error: &redis::RedisError) -> Failure {
        if error.is_timeout() {
            let text = format!("{}: no answer in time", self.place);
            return Failure::Unknown(Error::timeout(text));
        }
        if matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse) {
            self.give_up(line, None);
        }
        Failure::Unknown(broken(&self.place, error, &self.secrets))
    }

    #[cold]
    fn refused(&self, line: &Arc<Line>, reply: redis::ServerError) -> Failure {
        // Demoted, as after a failover: ask anew who is the master.
        if reply.code() == "READONLY" && matches!(self.dial, Dial::Master { .. }) {
            self.give_up(line, None);
        }
        Failure::Refused(reply)
    }

    /// Lets go of a connection, unless that was done. With an error, the breaker opens.
    fn give_up(&self, line: &Arc<Line>, error: Option<Error>) {
        let mut state = self.state.lock();
        if !matches!(&*state, State::Up(current) if Arc::ptr_eq(current, line)) {
            return;
        }
        let next = match error {
            Some(error) => State::Down {
                until: Instant::now(),
                failures: 0,
                error,
            },
            None => State::Idle,
        };
        let old = std::mem::replace(&mut *state, next);
        drop(state);
        drop(old);
    }
}

/// An attempt to connect. When its runtime ends before it does, the next command makes another.
struct Attempt {
    link: Arc<Link>,
    ended: bool,
}

impl Attempt {
    async fn run(mut self, failures: u32) {
        let link = Arc::clone(&self.link);
        let dead = Arc::new(AtomicBool::new(false));
        let life = Life(Arc::clone(&dead));
        let connect = link.dial.connect(life, link.patience, &link.secrets);
        let next = match timeout(link.patience, connect).await {
            Ok(Ok(connection)) => {
                // Release: pairs with the Acquire in `made`.
                link.made.fetch_add(1, Ordering::Release);
                State::Up(Arc::new(Line {
                    connection,
                    dead,
                    heard: AtomicU64::new(0),
                }))
            }
            Ok(Err(error)) => down(failures, error),
            Err(_) => {
                let text = format!("{}: no connection in {:?}", link.place, link.patience);
                down(failures, Error::connection(text))
            }
        };
        self.end(next);
    }

    fn end(&mut self, next: State) {
        self.ended = true;
        let mut state = self.link.state.lock();
        if matches!(&*state, State::Dialing { .. }) {
            *state = next;
        }
        // Under the lock: see `Link::line`.
        self.link.changed.send_replace(());
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.ended {
            self.end(State::Idle);
        }
    }
}

fn down(failures: u32, error: Error) -> State {
    let pause = FIRST_PAUSE * 2_u32.pow(failures.min(10));
    State::Down {
        until: Instant::now() + jittered(pause.min(LONGEST_PAUSE)),
        failures: failures + 1,
        error,
    }
}

/// Between half of it and all of it, so that a fleet does not come back in step.
fn jittered(pause: Duration) -> Duration {
    // Each new state of this kind has other keys.
    let random = ahash::RandomState::new().hash_one(0_u8);
    pause / 2 + pause.mul_f64(random as f64 / u64::MAX as f64 / 2.0)
}
