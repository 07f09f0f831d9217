//! The way to one server: one multiplexed connection that is replaced when it breaks, behind a [`Breaker`].
//!
//! **Nobody waits past a deadline.** Every wait here, for a connection or for an answer, ends at the caller's.
//!
//! **One dials, in a task on the [driver](super::driver)**, so that a caller who gives up does not take the attempt along.
//!
//! **How a break is noticed.** The task that drives a connection owns an [`Ear`]. When the server closes the connection, the
//! task ends and marks the [`Connection`] as dead. What is put into its channel behind the last look that it takes there nobody would
//! ever answer: so whoever has put something there looks whether it is dead. A server that is paused closes nothing: when a command has waited its budget
//! and in all that time no other command was answered either, the connection is given up. A server may also answer that it is
//! not, or no longer, the one to be asked: see [`Link::is_of_no_use`].
//!
//! **What is sent twice.** After a break, what may be: see [`Replay`]. Whether a write that was lost with its connection has taken
//! place is not known, and that is what its caller is told.
//!
//! **Locks.** Under the lock of the breaker nothing is spawned, woken, or dropped that does more than give memory back: a task that
//! is turned away, or a waker, may come back here.

use super::breaker::{self, Breaker, BreakerSettings, Leftover, Loss, Step};
use super::dial::Dial;
use super::driver::Driver;
use super::failure::{Failure, broken};
use super::request::{Replay, Request};
use super::watch::{Ear, Watch, Watched};
use crate::backend::alarm;
use crate::backend::coherence::validity::Coverage;
use crate::backend::redis::address::Secrets;
use crate::backend::redis::event::{self, ConnectSpan, Endpoint};
use crate::backend::stats::{BreakerState, LinkState};
use crate::error::Error;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, fence};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, RedisResult, ServerError, Value};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::timeout;

/// The way to one server.
pub(super) struct Link {
    dial: Dial,
    endpoint: Option<Endpoint>,
    name: String,
    /// How long an attempt to connect may take, and the usual budget of a command.
    budget: Duration,
    secrets: Secrets,
    driver: Arc<Driver>,
    /// If the server is to tell of writes.
    watch: Option<Watch>,
    breaker: Mutex<Breaker<Arc<Connection>>>,
    /// Connections made so far.
    made: AtomicU64,
    /// How often the breaker has opened, and whether it is open.
    opened: AtomicU64,
    is_open: AtomicBool,
    /// The number of attempts that have ended; all there can be, once the link is closed. Changes after the breaker has.
    ended: watch::Sender<u64>,
}

struct Connection {
    multiplexed: MultiplexedConnection,
    /// By which writers tell of writes, if they do. It ends with the other, and the other with it.
    told_by: Option<MultiplexedConnection>,
    dead: Arc<AtomicBool>,
    /// Answers so far.
    answers: AtomicU64,
    /// Of what was read by it, if the server tells of writes. Lost before the next connection is made.
    coverage: Option<Arc<Coverage>>,
}

impl Connection {
    fn is_usable(&self) -> bool {
        // Acquire: pairs with the Release in `Ear::drop`. For the rest only a hint; what is sent on a dead connection fails.
        !self.dead.load(Ordering::Acquire)
    }

    /// The answer to what is being sent, or that there will be none.
    async fn answer<T>(
        &self,
        mut sending: Pin<&mut (impl Future<Output = RedisResult<T>> + Send)>,
    ) -> RedisResult<T> {
        poll_fn(|context| {
            if let Poll::Ready(answer) = sending.as_mut().poll(context) {
                return Poll::Ready(answer);
            }
            // SeqCst: pairs with the fence in `Ear::drop`. The task marks the connection, and then empties its channel for the last
            // time; we have put something there, and look at the mark: the later of the two sees what the other one did before.
            fence(Ordering::SeqCst);
            if self.is_usable() {
                return Poll::Pending;
            }
            // It may have been answered just before the end.
            let answer = sending.as_mut().poll(context);
            if answer.is_pending() {
                let ended = io::Error::from(io::ErrorKind::ConnectionAborted);
                return Poll::Ready(Err(ended.into()));
            }
            answer
        })
        .await
    }

    fn answers(&self) -> u64 {
        // Relaxed: a counter.
        self.answers.load(Ordering::Relaxed)
    }
}

/// For who watches a connection, and keeps neither it nor the link.
struct Used {
    link: Weak<Link>,
    connection: Weak<Connection>,
}

impl Watched for Used {
    fn in_use(&self) -> Option<MultiplexedConnection> {
        let connection = self.connection.upgrade()?;
        let told_by = connection.told_by.as_ref();
        Some(told_by.unwrap_or(&connection.multiplexed).clone())
    }

    fn leave(&self) {
        if let (Some(link), Some(connection)) = (self.link.upgrade(), self.connection.upgrade()) {
            link.give_up(&connection, Loss::Broken);
        }
    }
}

impl Link {
    pub(super) fn new(
        dial: Dial,
        budget: Duration,
        secrets: Secrets,
        driver: Arc<Driver>,
        breaker: BreakerSettings,
        watch: Option<Watch>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: secrets.scrub(dial.name()),
            endpoint: dial.endpoint(),
            dial,
            budget,
            secrets,
            driver,
            watch,
            breaker: Mutex::new(Breaker::new(breaker)),
            made: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            is_open: AtomicBool::new(false),
            ended: watch::Sender::new(0),
        })
    }

    /// How errors call the server.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where the server is, if that is known without asking.
    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref()
    }

    pub(super) fn dial(&self) -> &Dial {
        &self.dial
    }

    /// How many connections there have been. If there is one more, the server may be another, or have lost what it knew.
    pub(super) fn made(&self) -> u64 {
        // Acquire: pairs with the Release in `connect`; whoever has an answer by a connection sees that it was made.
        self.made.load(Ordering::Acquire)
    }

    pub(super) fn is_up(&self) -> bool {
        self.breaker.lock().up(|it| it.is_usable()).is_some()
    }

    /// As its callers meet it.
    pub(super) fn state(&self) -> LinkState {
        let now = Instant::now();
        let breaker = self.breaker.lock();
        let (state, failures) = (breaker.state(now), breaker.failed());
        let is_connected = breaker.up(|it| it.is_usable()).is_some();
        drop(breaker);
        LinkState {
            breaker: state,
            is_connected,
            failures,
            reconnects: self.made().saturating_sub(1),
            // Relaxed: a counter.
            opened: self.opened.load(Ordering::Relaxed),
            ..LinkState::new(&*self.name)
        }
    }

    /// Sends a command and waits for the answer.
    pub(super) async fn one(
        self: &Arc<Self>,
        command: &Cmd,
        deadline: Instant,
        replay: Replay,
    ) -> Result<Value, Failure> {
        let answer = self.covered(command, deadline, replay).await;
        answer.map(|(value, _)| value)
    }

    /// As [`one`](Self::one), with the coverage of the connection by which the answer came.
    pub(super) async fn covered<R: Request<Answer = Value>>(
        self: &Arc<Self>,
        request: &R,
        deadline: Instant,
        replay: Replay,
    ) -> Result<(Value, Option<Arc<Coverage>>), Failure> {
        match self.exchange(request, deadline, replay).await? {
            (Value::ServerError(reply), _) => Err(Failure::Rejected(reply)),
            (value, connection) => Ok((value, connection.coverage.clone())),
        }
    }

    /// Sends commands in one go and waits for all answers, among them those that are rejections.
    pub(super) async fn many<R: Request<Answer = Vec<Value>>>(
        self: &Arc<Self>,
        commands: &R,
        deadline: Instant,
        replay: Replay,
    ) -> Result<Vec<Value>, Failure> {
        let answers = self.exchange(commands, deadline, replay).await;
        answers.map(|(answers, _)| answers)
    }

    /// Sends, and says by which connection the answer came.
    async fn exchange<R: Request>(
        self: &Arc<Self>,
        request: &R,
        deadline: Instant,
        replay: Replay,
    ) -> Result<(R::Answer, Arc<Connection>), Failure> {
        let mut again = replay == Replay::Safe;
        loop {
            let connection = match self.ready() {
                Some(connection) => connection,
                // On the heap, as it is rare: it would make the future of each call as large.
                None => {
                    let connection = Box::pin(self.connection(deadline)).await;
                    connection.map_err(Failure::Unsent)?
                }
            };
            let (answers, since) = (connection.answers(), Instant::now());
            let mut multiplexed = connection.multiplexed.clone();
            let outcome = {
                // Pinned here, and not moved into the other futures: they would take their place there twice.
                let sending = pin!(request.send(&mut multiplexed));
                let answer = pin!(connection.answer(sending));
                alarm::until(deadline, answer).await
            };
            match outcome {
                Some(Ok(answer)) => {
                    // Relaxed: a counter.
                    connection.answers.fetch_add(1, Ordering::Relaxed);
                    if R::any(&answer, |reply| self.is_of_no_use(reply)) {
                        self.give_up(&connection, Loss::Broken);
                    }
                    return Ok((answer, connection));
                }
                Some(Err(error)) => {
                    let failure = self.broke(&connection, &error);
                    if !std::mem::take(&mut again) {
                        return Err(failure);
                    }
                }
                None => return Err(self.late(&connection, answers, since.elapsed())),
            }
        }
    }

    /// Connects, or says why not.
    async fn connect(self: &Arc<Self>) -> Result<Arc<Connection>, Error> {
        let span = ConnectSpan::new(self.endpoint(), self.made() > 0);
        let dead = Arc::new(AtomicBool::new(false));
        let coverage = self.watch.as_ref().map(Watch::coverage);
        let connecting = connect(self, Arc::clone(&dead), coverage.clone());
        let connecting = pin!(timeout(self.budget, connecting));
        let outcome = span.around(connecting).await.unwrap_or_else(|_| {
            let text = format!("{}: no connection in {:?}", self.name, self.budget);
            Err(Error::connection(text))
        });
        match outcome {
            Ok((multiplexed, told_by)) => {
                // Release: pairs with the Acquire in `made`.
                self.made.fetch_add(1, Ordering::Release);
                let connection = Arc::new(Connection {
                    multiplexed,
                    told_by,
                    dead,
                    answers: AtomicU64::new(0),
                    coverage: coverage.clone(),
                });
                if let (Some(watch), Some(coverage)) = (self.watch.clone(), coverage) {
                    let used = Used {
                        link: Arc::downgrade(self),
                        connection: Arc::downgrade(&connection),
                    };
                    // On the driver, where this runs.
                    tokio::spawn(watch.keep(used, coverage, self.budget));
                }
                Ok(connection)
            }
            Err(error) => {
                span.failed(&error);
                Err(error)
            }
        }
    }

    /// Lets go of the connection, for good.
    pub(super) fn close(&self) {
        let leftover = self.breaker.lock().close();
        drop(leftover);
        self.ended.send_replace(u64::MAX);
    }

    /// The connection, if there is one that is not known to be broken: nearly always.
    fn ready(&self) -> Option<Arc<Connection>> {
        self.breaker.lock().up(|it| it.is_usable()).cloned()
    }

    /// A connection that is not known to be broken.
    async fn connection(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Connection>, Error> {
        let mut waited_for = None;
        loop {
            let now = Instant::now();
            let step = self
                .breaker
                .lock()
                .step(now, waited_for, |it| it.is_usable());
            let number = match step {
                Step::Use(connection) => return Ok(connection),
                Step::Fail(error) => return Err(error),
                Step::Wait(number) => number,
                Step::Dial(number, leftover) => {
                    drop(leftover);
                    Attempt::new(self, number).start();
                    number
                }
            };
            let mut ended = self.ended.subscribe();
            let ended = ended.wait_for(|ended| *ended >= number);
            if alarm::until(deadline, ended).await.is_none() {
                let text = format!("{}: no connection in time", self.name);
                return Err(Error::timeout(text));
            }
            waited_for = Some(number);
        }
    }

    /// No answer came before the deadline.
    #[cold]
    fn late(&self, connection: &Arc<Connection>, answers: u64, waited: Duration) -> Failure {
        let others_were_answered = connection.answers() != answers;
        if breaker::is_silent(others_were_answered, waited, self.budget) {
            let text = format!("{} does not answer", self.name);
            self.give_up(connection, Loss::Silent(Error::connection(text)));
        }
        Failure::Unknown(Error::timeout(format!("{}: no answer in time", self.name)))
    }

    /// The connection, or what came by it, is no good.
    #[cold]
    fn broke(&self, connection: &Arc<Connection>, error: &redis::RedisError) -> Failure {
        if matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse) {
            self.give_up(connection, Loss::Broken);
        }
        Failure::Unknown(broken(&self.name, error, &self.secrets))
    }

    /// Whether a rejection says that this connection leads to a server that will not serve us any more, and another may: the next
    /// call finds out anew who is there. What a server that is the right one rejects (it is full, it loads, a script keeps it
    /// busy, it lacks permission) is its answer.
    fn is_of_no_use(&self, reply: &ServerError) -> bool {
        match reply.code() {
            // Demoted, as after a failover: the sentinels know who is the primary.
            "READONLY" | "MASTERDOWN" => matches!(self.dial, Dial::Primary { .. }),
            // It has forgotten who we are; a new handshake says it.
            "NOAUTH" => true,
            _ => false,
        }
    }

    fn give_up(&self, connection: &Arc<Connection>, loss: Loss) {
        if let (Some(watch), Some(coverage)) = (&self.watch, &connection.coverage) {
            watch.tracking.lose(coverage);
        }
        let is_it = |other: &Arc<Connection>| Arc::ptr_eq(other, connection);
        let silence = match &loss {
            Loss::Silent(error) => Some(error.clone()),
            Loss::Broken => None,
        };
        let mut breaker = self.breaker.lock();
        let leftover = breaker.lost(is_it, loss, Instant::now());
        let opens = leftover.is_some() && silence.is_some() && self.opens();
        drop(breaker);
        drop(leftover);
        if let Some(error) = silence.filter(|_| opens) {
            event::breaker_opened(&self.name, &error);
        }
    }

    /// The breaker is open. Whether it was not: one outage is counted once. Under the breaker's lock.
    fn opens(&self) -> bool {
        // Relaxed, both: a flag that the breaker's lock keeps in order, and a counter.
        let opens = !self.is_open.swap(true, Ordering::Relaxed);
        self.opened.fetch_add(u64::from(opens), Ordering::Relaxed);
        opens
    }

    /// There is a connection. Whether the breaker was open. Under its lock.
    fn closes(&self) -> bool {
        // Relaxed: as in `opens`.
        self.is_open.swap(false, Ordering::Relaxed)
    }
}

/// An attempt to connect. When it is dropped before its end, as one that panics is, it has failed.
struct Attempt {
    link: Arc<Link>,
    number: u64,
    ended: bool,
}

impl Attempt {
    fn new(link: &Arc<Link>, number: u64) -> Self {
        Self {
            link: Arc::clone(link),
            number,
            ended: false,
        }
    }

    /// Not under the lock: an attempt that cannot run is dropped here.
    fn start(mut self) {
        match self.link.driver.runtime() {
            Ok(runtime) => drop(runtime.spawn(self.run())),
            Err(error) => self.end(Err(error)),
        }
    }

    async fn run(mut self) {
        let link = Arc::clone(&self.link);
        self.end(link.connect().await);
    }

    fn end(&mut self, outcome: Result<Arc<Connection>, Error>) {
        self.ended = true;
        let (now, random, link) = (Instant::now(), random(), &*self.link);
        let error = outcome.as_ref().err().cloned();
        let mut breaker = link.breaker.lock();
        // While somebody dials it is never open, unless the link was closed meanwhile.
        let is_over = breaker.state(now) == BreakerState::Open;
        let leftover: Leftover<_> = breaker.attempt_ended(outcome, now, random);
        let changes = match breaker.state(now) {
            _ if is_over => false,
            BreakerState::Closed => link.closes(),
            BreakerState::Open | BreakerState::HalfOpen => link.opens(),
        };
        drop(breaker);
        drop(leftover);
        match &error {
            Some(error) if changes => event::breaker_opened(&link.name, error),
            None if changes => event::breaker_closed(&link.name),
            _ => {}
        }
        let ended = |ended: &mut u64| *ended = self.number.max(*ended);
        self.link.ended.send_modify(ended);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.ended {
            let text = format!("{}: the attempt to connect was cut short", self.link.name);
            self.end(Err(Error::connection(text)));
        }
    }
}

/// A connection that is ready for callers, and the one by which writers tell of writes, if they do.
async fn connect(
    link: &Link,
    dead: Arc<AtomicBool>,
    coverage: Option<Arc<Coverage>>,
) -> Result<(MultiplexedConnection, Option<MultiplexedConnection>), Error> {
    let watch = link.watch.as_ref().zip(coverage.as_ref());
    let ear = || Ear {
        dead: Arc::clone(&dead),
        watched: watch.map(|(watch, coverage)| (Arc::clone(&watch.tracking), Arc::clone(coverage))),
    };
    let connect = async || {
        let connecting = link.dial.connect(ear(), link.budget, &link.secrets);
        connecting.await
    };
    let mut multiplexed = connect().await?;
    let Some((watch, coverage)) = watch else {
        return Ok((multiplexed, None));
    };
    let beginning = watch.beginning(coverage, &link.name, &link.secrets);
    let Some(channel) = watch.tracking.channel() else {
        beginning.on(&mut multiplexed).await?;
        return Ok((multiplexed, None));
    };
    let mut told_by = connect().await?;
    beginning
        .beside(&mut multiplexed, &mut told_by, channel)
        .await?;
    Ok((multiplexed, Some(told_by)))
}

/// A number from 0 to 1.
fn random() -> f64 {
    // Each new state of this kind has other keys.
    ahash::RandomState::new().hash_one(0_u8) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::IntoConnectionInfo;

    #[test]
    fn an_attempt_that_is_cut_short_has_failed() {
        let info = "redis://127.0.0.1:1".into_connection_info().unwrap();
        let (dial, budget) = (Dial::Address(info), Duration::from_secs(60));
        let breaker = BreakerSettings::default();
        let link = Link::new(
            dial,
            budget,
            Secrets::default(),
            Driver::share(),
            breaker,
            None,
        );
        // Later than any pause is over.
        let mut now = Instant::now();
        for number in 1..=3 {
            now += Duration::from_secs(3600);
            let step = link.breaker.lock().step(now, None, |_| true);
            let Step::Dial(dialled, _) = step else {
                panic!("the breaker lets nobody dial");
            };
            assert_eq!(dialled, number);
            let before = Instant::now();
            drop(Attempt::new(&link, number));
            assert_eq!(*link.ended.borrow(), number, "those who wait are told");
            let step = link.breaker.lock().step(before, None, |_| true);
            let Step::Fail(error) = step else {
                panic!("the breaker is not open");
            };
            assert!(error.to_string().contains("cut short"), "{error}");
        }
    }
}
