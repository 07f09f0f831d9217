//! When a server is dialled, who waits for that, and who is told at once that it is down: a state machine without a clock, a
//! connection or a thread of its own. [`Link`](super::link::Link) holds one under a lock, tells it what happened, and does what it
//! says.
//!
//! ```text
//!            first caller                  connected
//!   Idle ───────────────────▶ Dialing ─────────────────▶ Up
//!    ▲                         │    ▲                     │  │
//!    │                  failed │    │ caller, once the    │  │ silent for
//!    │                         ▼    │ pause is over       │  │ a whole budget
//!    │                        Down ◀┴─────────────────────┼──┘
//!    └─────────────────────────────────────────────────────┘
//!                             broken
//! ```
//!
//! From `Idle`, and when a connection has broken, all callers wait for the one attempt to connect: a server that was only
//! restarted costs them nothing but time. After as many failures in a row as the threshold, one unless configured, the breaker is
//! open: callers fail at once, with the reason, until a pause with jitter is over. Then one caller starts the next attempt and waits for
//! it, while all others go on failing at once. So a server that is back is dialled one pause later at most, and one that is not costs
//! nobody else time. Below the threshold it is `Idle` after a failure, too: those who waited for the attempt are told of it, and
//! whoever comes next dials.
//!
//! What a step takes out of the machine is returned in its [`Leftover`], to be dropped outside of the lock.

use crate::backend::stats::BreakerState;
use crate::error::Error;
use std::time::{Duration, Instant};

/// The first pause is this part of the longest.
const FIRST_PAUSE: u32 = 10;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub(in crate::backend::redis) struct BreakerSettings {
    /// After so many failures in a row it is open; at least one.
    pub(in crate::backend::redis) threshold: u32,
    /// However many attempts fail one after the other, no pause is longer.
    pub(in crate::backend::redis) longest_pause: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            threshold: 1,
            longest_pause: Duration::from_millis(250),
        }
    }
}

/// `C` is a connection, of which clones are the same one.
pub(super) struct Breaker<C> {
    settings: BreakerSettings,
    /// Attempts to connect so far.
    attempts: u64,
    /// Those of them that failed, and connections that fell silent.
    failed: u64,
    phase: Phase<C>,
}

enum Phase<C> {
    Idle {
        /// Attempts that failed so far, one after the other.
        failures: u32,
        /// The number of the last of them, and why it failed.
        last: Option<(u64, Error)>,
    },
    Dialing {
        /// Attempts that failed right before this one.
        failures: u32,
        /// What other callers are told meanwhile, unless they may wait.
        barred: Option<Error>,
    },
    Up(C),
    Down {
        until: Instant,
        failures: u32,
        error: Error,
    },
    Closed,
}

/// What a caller that needs a connection does.
pub(super) enum Step<C> {
    Use(C),
    /// Starts the attempt of this number, and waits for its end.
    Dial(u64, Leftover<C>),
    /// Waits for the end of the attempt of this number.
    Wait(u64),
    Fail(Error),
}

/// What was in the machine before. It may hold the last pointer to a connection.
#[must_use = "to be dropped where no lock is held"]
pub(super) struct Leftover<C>(Phase<C>);

/// Why a connection is given up.
pub(super) enum Loss {
    /// It broke, or the server says that it is of no use: the next caller dials, and others wait.
    Broken,
    /// The server is silent. The next caller dials, and others fail at once.
    Silent(Error),
}

impl<C: Clone> Breaker<C> {
    pub(super) fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            attempts: 0,
            failed: 0,
            phase: Phase::idle(),
        }
    }

    /// What a caller does that comes now, or that has waited for the end of the attempt of this number.
    pub(super) fn step(
        &mut self,
        now: Instant,
        waited_for: Option<u64>,
        is_usable: impl Fn(&C) -> bool,
    ) -> Step<C> {
        let (failures, barred) = match &self.phase {
            Phase::Up(connection) if is_usable(connection) => return Step::Use(connection.clone()),
            Phase::Dialing { barred: None, .. } => return Step::Wait(self.attempts),
            Phase::Dialing {
                barred: Some(error),
                ..
            } => return Step::Fail(error.clone()),
            Phase::Down { until, error, .. } if now < *until => return Step::Fail(error.clone()),
            Phase::Closed => return Step::Fail(Error::closed()),
            Phase::Down {
                failures, error, ..
            } => (*failures, Some(error.clone())),
            Phase::Idle {
                last: Some((number, error)),
                ..
            } if waited_for == Some(*number) => return Step::Fail(error.clone()),
            Phase::Idle { failures, .. } => (*failures, None),
            Phase::Up(_) => (0, None),
        };
        self.attempts += 1;
        let before = self.replace(Phase::Dialing { failures, barred });
        Step::Dial(self.attempts, before)
    }

    /// The attempt that was started last has ended. `random` is from 0 to 1.
    pub(super) fn attempt_ended(
        &mut self,
        outcome: Result<C, Error>,
        now: Instant,
        random: f64,
    ) -> Leftover<C> {
        let Phase::Dialing { failures, .. } = self.phase else {
            // Closed meanwhile.
            return Leftover(outcome.map_or_else(|_| Phase::idle(), Phase::Up));
        };
        let error = match outcome {
            Ok(connection) => return self.replace(Phase::Up(connection)),
            Err(error) => error,
        };
        self.failed += 1;
        let failures = failures.saturating_add(1);
        self.replace(match failures.checked_sub(self.settings.threshold) {
            Some(beyond) => Phase::Down {
                until: now + pause_after(beyond, random, self.settings.longest_pause),
                failures,
                error,
            },
            None => Phase::Idle {
                failures,
                last: Some((self.attempts, error)),
            },
        })
    }

    /// Gives a connection up, unless that was done before. `is_it` tells the connection from one that has taken its place.
    pub(super) fn lost(
        &mut self,
        is_it: impl Fn(&C) -> bool,
        loss: Loss,
        now: Instant,
    ) -> Option<Leftover<C>> {
        match &self.phase {
            Phase::Up(connection) if is_it(connection) => Some(match loss {
                Loss::Broken => self.replace(Phase::idle()),
                Loss::Silent(error) => {
                    self.failed += 1;
                    self.replace(Phase::Down {
                        until: now,
                        // Whatever the threshold: it has cost somebody a whole budget. The next failure is beyond it.
                        failures: self.settings.threshold - 1,
                        error,
                    })
                }
            }),
            _ => None,
        }
    }

    /// Closes for good.
    pub(super) fn close(&mut self) -> Leftover<C> {
        self.replace(Phase::Closed)
    }

    /// The connection, if there is one.
    pub(super) fn up(&self, is_usable: impl Fn(&C) -> bool) -> Option<&C> {
        match &self.phase {
            Phase::Up(connection) if is_usable(connection) => Some(connection),
            _ => None,
        }
    }

    /// How a caller would be treated that comes now.
    pub(super) fn state(&self, now: Instant) -> BreakerState {
        match &self.phase {
            Phase::Idle { .. } | Phase::Up(_) | Phase::Dialing { barred: None, .. } => {
                BreakerState::Closed
            }
            Phase::Down { until, .. } if now < *until => BreakerState::Open,
            Phase::Down { .. } | Phase::Dialing { .. } => BreakerState::HalfOpen,
            Phase::Closed => BreakerState::Open,
        }
    }

    /// How many attempts to connect have failed so far, and connections fallen silent.
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    fn replace(&mut self, phase: Phase<C>) -> Leftover<C> {
        Leftover(std::mem::replace(&mut self.phase, phase))
    }
}

impl<C> Phase<C> {
    /// Nobody has tried, or what was there has broken.
    fn idle() -> Self {
        Self::Idle {
            failures: 0,
            last: None,
        }
    }
}

/// Whether a command that got no answer in time shows that its connection is of no use. If other commands were answered
/// meanwhile, the server is there and only this one is slow; if it has not waited for half of the budget, it came too late to
/// tell.
pub(super) fn is_silent(others_were_answered: bool, waited: Duration, budget: Duration) -> bool {
    !others_were_answered && waited >= budget / 2
}

/// Doubles with each failure beyond the one that opened the breaker. Between half of it and all of it, so that a fleet does not come
/// back in step.
fn pause_after(beyond: u32, random: f64, longest: Duration) -> Duration {
    let doubled = (longest / FIRST_PAUSE).saturating_mul(2_u32.pow(beyond.min(10)));
    let pause = doubled.min(longest);
    pause / 2 + pause.mul_f64(random.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Event::*;

    type Breaker = super::Breaker<&'static str>;

    /// What happens to a breaker, at which millisecond, and what comes of it.
    enum Event {
        /// A caller comes; a connection called "dead" cannot be used.
        Call(Expected),
        /// One that has waited for the end of the attempt of this number.
        Again(u64, Expected),
        Connected(&'static str),
        Fails(&'static str),
        Broken(&'static str),
        Silent(&'static str),
        Close,
        /// What is seen from outside, and how many failures there were.
        Is(BreakerState, u64),
    }

    #[derive(Debug, PartialEq)]
    enum Expected {
        Uses(&'static str),
        Dials(u64),
        Waits(u64),
        /// The error contains this.
        IsTold(&'static str),
    }
    use Expected::*;

    /// Plays the events, each at its millisecond, with the longest pauses or the shortest.
    #[track_caller]
    fn play(name: &str, random: f64, events: &[(u64, Event)]) {
        play_with(BreakerSettings::default(), name, random, events);
    }

    #[track_caller]
    fn play_with(settings: BreakerSettings, name: &str, random: f64, events: &[(u64, Event)]) {
        let start = Instant::now();
        let mut breaker = Breaker::new(settings);
        for (nth, (millis, event)) in events.iter().enumerate() {
            let now = start + Duration::from_millis(*millis);
            match event {
                Call(expected) | Again(_, expected) => {
                    let waited_for = match event {
                        Again(number, _) => Some(*number),
                        _ => None,
                    };
                    let step = breaker.step(now, waited_for, |it| *it != "dead");
                    match (step, expected) {
                        (Step::Use(got), Uses(want)) => assert_eq!(got, *want),
                        (Step::Dial(got, _), Dials(want)) => assert_eq!(got, *want),
                        (Step::Wait(got), Waits(want)) => assert_eq!(got, *want),
                        (Step::Fail(error), IsTold(want)) => {
                            let text = error.to_string();
                            assert!(text.contains(want), "{name}, {nth}: {text}, not {want}");
                        }
                        (got, want) => {
                            let got = match got {
                                Step::Use(connection) => format!("uses {connection}"),
                                Step::Dial(number, _) => format!("dials {number}"),
                                Step::Wait(number) => format!("waits for {number}"),
                                Step::Fail(error) => format!("fails: {error}"),
                            };
                            panic!("{name}, {nth}: {got}, not {want:?}");
                        }
                    }
                }
                Connected(connection) => drop(breaker.attempt_ended(Ok(connection), now, random)),
                Fails(why) => {
                    let outcome = Err(Error::connection(*why));
                    drop(breaker.attempt_ended(outcome, now, random));
                }
                Broken(which) => drop(breaker.lost(|it| it == which, Loss::Broken, now)),
                Silent(which) => {
                    let loss = Loss::Silent(Error::connection("silent"));
                    drop(breaker.lost(|it| it == which, loss, now));
                }
                Close => drop(breaker.close()),
                Is(state, failed) => {
                    assert_eq!(breaker.state(now), *state, "{name}, {nth}");
                    assert_eq!(breaker.failed(), *failed, "{name}, {nth}");
                }
            }
        }
    }

    #[test]
    fn one_dials_and_all_others_wait_for_it() {
        play(
            "at first",
            1.0,
            &[
                (0, Call(Dials(1))),
                (0, Call(Waits(1))),
                (60_000, Call(Waits(1))),
                (60_000, Connected("a")),
                (60_000, Call(Uses("a"))),
            ],
        );
        play(
            "after a break",
            1.0,
            &[
                (0, Call(Dials(1))),
                (1, Connected("a")),
                (2, Broken("a")),
                (2, Call(Dials(2))),
                (2, Call(Waits(2))),
                (9, Connected("b")),
                (9, Call(Uses("b"))),
            ],
        );
        play(
            "after a break that nobody has reported",
            1.0,
            &[
                (0, Call(Dials(1))),
                (1, Connected("dead")),
                (2, Call(Dials(2))),
                (2, Call(Waits(2))),
                (9, Connected("b")),
                (9, Call(Uses("b"))),
            ],
        );
    }

    #[test]
    fn after_a_failure_callers_fail_until_the_pause_is_over_and_then_all_but_one() {
        play(
            "failed",
            1.0,
            &[
                (0, Is(BreakerState::Closed, 0)),
                (0, Call(Dials(1))),
                (0, Is(BreakerState::Closed, 0)),
                (1_000, Fails("first")),
                (1_000, Is(BreakerState::Open, 1)),
                (1_000, Call(IsTold("first"))),
                (1_024, Call(IsTold("first"))),
                (1_025, Is(BreakerState::HalfOpen, 1)),
                (1_025, Call(Dials(2))),
                (1_025, Is(BreakerState::HalfOpen, 1)),
                (1_025, Call(IsTold("first"))),
                (9_000, Call(IsTold("first"))),
                (9_000, Fails("second")),
                (9_049, Call(IsTold("second"))),
                (9_050, Call(Dials(3))),
                (9_060, Connected("a")),
                (9_060, Is(BreakerState::Closed, 2)),
                (9_060, Call(Uses("a"))),
            ],
        );
    }

    #[test]
    fn a_success_makes_the_next_pause_the_first_again() {
        play(
            "failed, connected, failed",
            1.0,
            &[
                (0, Call(Dials(1))),
                (0, Fails("one")),
                (25, Call(Dials(2))),
                (25, Fails("two")),
                (75, Call(Dials(3))),
                (75, Connected("a")),
                (80, Broken("a")),
                (80, Call(Dials(4))),
                (80, Fails("three")),
                (104, Call(IsTold("three"))),
                (105, Call(Dials(5))),
            ],
        );
    }

    #[test]
    fn below_the_threshold_who_waited_is_told_and_who_comes_next_dials() {
        let settings = BreakerSettings {
            threshold: 3,
            longest_pause: Duration::from_secs(10),
        };
        play_with(
            settings,
            "three",
            1.0,
            &[
                (0, Call(Dials(1))),
                (0, Call(Waits(1))),
                (1, Fails("one")),
                (1, Again(1, IsTold("one"))),
                (1, Again(1, IsTold("one"))),
                (1, Is(BreakerState::Closed, 1)),
                (1, Call(Dials(2))),
                (1, Call(Waits(2))),
                // Another has begun meanwhile, for all who wait.
                (1, Again(1, Waits(2))),
                (2, Fails("two")),
                (2, Again(2, IsTold("two"))),
                (2, Again(1, Dials(3))),
                (2, Is(BreakerState::Closed, 2)),
                (3, Fails("three")),
                (3, Is(BreakerState::Open, 3)),
                (3, Call(IsTold("three"))),
                (1_002, Call(IsTold("three"))),
                (1_003, Is(BreakerState::HalfOpen, 3)),
                (1_003, Call(Dials(4))),
                (1_003, Is(BreakerState::HalfOpen, 3)),
                (1_003, Call(IsTold("three"))),
                (2_000, Fails("four")),
                (3_999, Call(IsTold("four"))),
                (4_000, Call(Dials(5))),
                (4_000, Connected("a")),
                (4_000, Is(BreakerState::Closed, 4)),
                // It begins anew.
                (4_001, Broken("a")),
                (4_001, Call(Dials(6))),
                (4_001, Fails("five")),
                (4_001, Is(BreakerState::Closed, 5)),
                (4_001, Call(Dials(7))),
                (4_001, Connected("b")),
                // What is silent opens it at once.
                (5_000, Silent("b")),
                (5_000, Is(BreakerState::HalfOpen, 6)),
                (5_000, Call(Dials(8))),
                (5_000, Call(IsTold("silent"))),
                (5_000, Fails("six")),
                (5_999, Call(IsTold("six"))),
                (6_000, Call(Dials(9))),
                (6_000, Close),
                (6_000, Is(BreakerState::Open, 7)),
            ],
        );
    }

    #[test]
    fn a_silent_server_is_dialled_by_one_while_others_fail() {
        play(
            "silent",
            1.0,
            &[
                (0, Call(Dials(1))),
                (0, Connected("a")),
                (500, Silent("a")),
                (500, Is(BreakerState::HalfOpen, 1)),
                (500, Call(Dials(2))),
                (500, Call(IsTold("silent"))),
                (1_000, Fails("no answer")),
                (1_024, Call(IsTold("no answer"))),
                (1_025, Call(Dials(3))),
            ],
        );
    }

    #[test]
    fn what_happens_to_an_old_connection_does_not_concern_the_new_one() {
        for late in [Broken("a"), Silent("a")] {
            play(
                "late",
                1.0,
                &[
                    (0, Call(Dials(1))),
                    (0, Connected("a")),
                    (1, Broken("a")),
                    (1, Call(Dials(2))),
                    (2, Connected("b")),
                    (3, late),
                    (3, Call(Uses("b"))),
                ],
            );
        }
    }

    #[test]
    fn closed_is_for_good() {
        for late in [Connected("a"), Fails("late"), Broken("a"), Silent("a")] {
            play(
                "closed",
                1.0,
                &[
                    (0, Call(Dials(1))),
                    (1, Close),
                    (1, Call(IsTold("closed"))),
                    (1, Is(BreakerState::Open, 0)),
                    (2, late),
                    (60_000, Call(IsTold("closed"))),
                ],
            );
        }
    }

    #[test]
    fn pauses_double_up_to_a_quarter_of_a_second_and_have_jitter() {
        let longest = BreakerSettings::default().longest_pause;
        let millis = |beyond, random| pause_after(beyond, random, longest).as_secs_f64() * 1e3;
        let table = [(0, 25.0), (1, 50.0), (2, 100.0), (3, 200.0), (4, 250.0)];
        for (failures, longest) in table.into_iter().chain([(10, 250.0), (u32::MAX, 250.0)]) {
            assert_eq!(millis(failures, 1.0), longest);
            assert_eq!(millis(failures, 0.5), longest * 0.75);
            assert_eq!(millis(failures, 0.0), longest / 2.0);
        }
        play(
            "the shortest",
            0.0,
            &[
                (0, Call(Dials(1))),
                (0, Fails("down")),
                (12, Call(IsTold("down"))),
                (13, Call(Dials(2))),
            ],
        );
    }

    #[test]
    fn silence_is_what_lasts_for_half_of_the_budget_while_nobody_is_answered() {
        let budget = Duration::from_millis(500);
        for (others, waited, expected) in [
            (false, 500, true),
            (false, 250, true),
            (false, 249, false),
            (true, 500, false),
            (true, 249, false),
        ] {
            let silent = is_silent(others, Duration::from_millis(waited), budget);
            assert_eq!(silent, expected, "{others}, {waited}");
        }
    }
}
