//! Two tiers: copies of what a store elsewhere has, and the invalidations that it sends.

use super::{Kind, Witness, check, race, racer};
use crate::backend::coherence::validity::{Coverage, Generations, Pass, Ticket};
use crate::sync::{AtomicU64, Mutex, Ordering};
use std::collections::VecDeque;
use std::sync::Arc;

/// Of the one key, and of another that shares no stripe with it.
const KEY: u64 = 0;
const OTHER: u64 = 1;

/// What the store sends by the one connection, in this order.
enum Message {
    /// The answer to the question of the one reader.
    Answer(u64),
    Written(u64),
    Flushed,
}

/// The store: a version of the key, and whether it has promised to tell of the next write.
#[derive(Default)]
struct Far {
    version: u64,
    tracks: bool,
    wire: VecDeque<Message>,
}

struct World {
    far: Mutex<Far>,
    /// Who reads the connection, one at a time. The answer to the reader, once it has come.
    driver: Mutex<Option<u64>>,
    generations: Generations,
    coverage: Arc<Coverage>,
    near: Mutex<Option<(u64, Pass)>>,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            far: Mutex::default(),
            driver: Mutex::default(),
            generations: Generations::new(2),
            coverage: Arc::new(Coverage::endless()),
            near: Mutex::default(),
        })
    }

    /// What the task does that reads the connection: everything in its order.
    fn drive(&self) -> Option<u64> {
        let mut answered = self.driver.lock();
        loop {
            let message = self.far.lock().wire.pop_front();
            match message {
                Some(Message::Answer(version)) => *answered = Some(version),
                Some(Message::Written(hash)) => self.generations.invalidate(hash),
                Some(Message::Flushed) => self.generations.invalidate_all(),
                None => return *answered,
            }
        }
    }

    /// A miss: asks the store and keeps a copy.
    fn fill(&self) {
        let ticket = self.generations.ticket(KEY);
        {
            let mut far = self.far.lock();
            far.tracks = true;
            let answer = Message::Answer(far.version);
            far.wire.push_back(answer);
        }
        let version = self.drive().expect("the answer was on the wire");
        let coverage = Arc::clone(&self.coverage);
        *self.near.lock() = Some((version, Pass { ticket, coverage }));
    }

    /// A write by somebody else, who announces it so, if it was asked to.
    fn write(&self, message: Message) -> u64 {
        let mut far = self.far.lock();
        far.version += 1;
        if std::mem::take(&mut far.tracks) {
            far.wire.push_back(message);
        }
        far.version
    }

    /// What a caller is shown from the near tier.
    fn shown(&self) -> Option<u64> {
        let near = self.near.lock();
        let (version, pass) = near.as_ref()?;
        pass.is_valid(&self.generations, 0).then_some(*version)
    }
}

/// A miss beside a write of another process, which is announced as the message says. Once the announcement has been dealt with,
/// nobody is shown what was there before.
fn fill_beside(message: fn() -> Message) {
    let shown = Witness::default();
    let saw = shown.clone();
    check(Kind::Symmetric, 3, move || {
        let world = World::new();
        let reader = racer(&world, World::fill);
        let writer = racer(&world, move |world: &World| {
            let written = world.write(message());
            world.drive();
            assert!(
                world.shown().is_none_or(|version| version >= written),
                "an old copy is shown"
            );
        });
        race([reader, writer]);
        world.drive();
        if let Some(version) = world.shown() {
            assert_eq!(version, 1, "an old copy is shown in the end");
            saw.saw();
        }
    });
    shown.assert();
}

/// Caught: an invalidation that is forgotten between question and answer, and a look that does not ask for the key's generation.
#[test]
fn a_fill_beside_a_write() {
    fill_beside(|| Message::Written(KEY));
}

/// Caught: a look that does not ask for the generation of everything.
#[test]
fn a_fill_beside_a_flush() {
    fill_beside(|| Message::Flushed);
}

/// This process writes while another caller of it fills: what the writer reads next is what it wrote, though nothing has been
/// announced. A write of another key leaves the copy alone.
#[test]
fn own_writes_are_seen_at_once() {
    let kept = Witness::default();
    let saw = kept.clone();
    check(Kind::Symmetric, 3, move || {
        let world = World::new();
        let reader = racer(&world, World::fill);
        let writer = racer(&world, |world: &World| {
            // The store answers before it announces.
            let written = {
                let mut far = world.far.lock();
                far.version += 1;
                far.version
            };
            world.generations.invalidate(KEY);
            assert!(
                world.shown().is_none_or(|version| version >= written),
                "an own write is not seen"
            );
        });
        race([reader, writer]);
        world.generations.invalidate(OTHER);
        match world.shown() {
            Some(version) => {
                assert_eq!(version, 1);
                saw.saw();
            }
            None => assert!(world.near.lock().is_some()),
        }
    });
    kept.assert();
}

/// A copy whose time is over unless the connection is alive, an invalidation, and the proof of life behind it: whoever relies on
/// the proof sees the invalidation. Caught: a proof without Release, a look without Acquire, and one that asks for the generation
/// first.
#[test]
fn a_proof_comes_with_what_it_proves() {
    check(Kind::Symmetric, 3, || {
        let generations = Generations::new(2);
        let coverage = Arc::new(Coverage::new(1, 1));
        let ticket = generations.ticket(KEY);
        let copy = Pass {
            ticket,
            coverage: Arc::clone(&coverage),
        };
        assert!(copy.is_valid(&generations, 2));
        let world = Arc::new((generations, coverage, copy));
        type Shared = (Generations, Arc<Coverage>, Pass);
        let driver = racer(&world, |(generations, coverage, _): &Shared| {
            generations.invalidate(KEY);
            coverage.prove(2);
        });
        let reader = racer(&world, |(generations, _, copy): &Shared| {
            assert!(!copy.is_valid(generations, 3), "an old copy is shown");
        });
        race([driver, reader]);
    });
}

/// An answer that proves life is dealt with while somebody else sees the connection end: it stays lost. Caught: a proof that
/// takes the place of the loss.
#[test]
fn what_is_lost_stays_lost() {
    check(Kind::Symmetric, 3, || {
        let generations = Generations::new(1);
        let ticket: Ticket = generations.ticket(KEY);
        let coverage = Arc::new(Coverage::new(1, 10));
        let world = Arc::new((coverage, AtomicU64::new(0)));
        type Shared = (Arc<Coverage>, AtomicU64);
        let driver = racer(&world, |(coverage, _): &Shared| coverage.prove(2));
        let end = racer(&world, |(coverage, ended): &Shared| {
            coverage.lose();
            // Release: pairs with the Acquire below.
            ended.store(1, Ordering::Release);
        });
        let reader = {
            let copy = Pass {
                ticket,
                coverage: Arc::clone(&world.0),
            };
            racer(&world, move |(_, ended): &Shared| {
                // Acquire: pairs with the Release above.
                if ended.load(Ordering::Acquire) == 1 {
                    assert!(
                        !copy.is_valid(&generations, 2),
                        "it is shown after the loss"
                    );
                }
            })
        };
        race([driver, end, reader]);
    });
}
