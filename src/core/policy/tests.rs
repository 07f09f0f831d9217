//! The policy against a naive twin of it, which keeps its segments in vectors, finds out anew each time what an LRU would hold, and
//! remembers ghosts in queues.

use super::*;
use crate::core::list::MARKS;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::{HashMap, VecDeque};

const WAYS: usize = 15;
const WHOLE: i64 = 1 << 16;
const LEAST: i64 = WHOLE / 50;
const KEYS_OF_SAMPLE: usize = 32;

/// A use of an entry.
#[derive(Debug, Clone, Copy)]
struct Use {
    era: u64,
    /// Whether it was a read since the entry was linked.
    read: bool,
}

#[derive(Debug, Clone, Copy)]
struct Sampled {
    id: u32,
    evicted: bool,
    era: u64,
}

struct Twin {
    era: u64,
    stride: u32,
    to_come: u32,
    /// The era of the oldest mark.
    oldest: u64,
    /// From the front, with the eras of the marks that they are behind.
    window: Vec<(u32, u64)>,
    main: Vec<u32>,
    uses: HashMap<u32, Use>,
    /// The latest at the back; a ghost that was taken leaves its place.
    ghosts: Vec<VecDeque<Option<(u16, u64)>>>,
    share: i64,
    bits: u16,
    sample: Vec<Sampled>,
    hand: usize,
    sampled_era: u64,
    boundary: u64,
    full: bool,
    evicted: Option<(Fragment, u64)>,
    left: Option<Left>,
    looks: u32,
}

impl Twin {
    fn new(expected: usize) -> Self {
        let sets = (2 * expected).div_ceil(WAYS);
        let stride = (expected / 32).max(1) as u32;
        let one_in = (expected / KEYS_OF_SAMPLE).max(1).ilog2();
        Self {
            era: 1,
            stride,
            to_come: stride,
            oldest: 1,
            window: Vec::new(),
            main: Vec::new(),
            uses: HashMap::new(),
            ghosts: vec![VecDeque::new(); sets],
            share: LEAST,
            bits: (1 << one_in) - 1,
            sample: Vec::new(),
            hand: 0,
            sampled_era: 0,
            boundary: 0,
            full: false,
            evicted: None,
            left: None,
            looks: 0,
        }
    }

    fn tag(fragment: Fragment) -> u16 {
        (fragment.get() as u16).max(1)
    }

    fn is_sampled(&self, tag: u16) -> bool {
        tag & self.bits == self.bits
    }

    fn ghosts_of(&mut self, fragment: Fragment) -> &mut VecDeque<Option<(u16, u64)>> {
        let sets = self.ghosts.len() as u64;
        &mut self.ghosts[((u64::from(fragment.get()) * sets) >> 26) as usize]
    }

    fn len(&self) -> usize {
        self.window.len() + self.main.len()
    }

    fn most_main(&self, entries: usize) -> usize {
        let window = (entries as i64 * self.share / WHOLE) as usize;
        entries
            - window
                .max(1)
                .min(entries.saturating_sub(1).max(1))
                .min(entries)
    }

    fn read(&mut self, id: u32) {
        let now = self.era;
        let last = self.uses.get_mut(&id).expect("it is there");
        if last.era != now {
            *last = Use {
                era: now,
                read: true,
            };
        }
    }

    fn place(&mut self, id: u32, era: u64) {
        let mark = era.clamp(self.oldest, self.era);
        let at = self.window.iter().take_while(|it| it.1 > mark).count();
        self.window.insert(at, (id, mark));
        self.uses.insert(id, Use { era, read: false });
    }

    fn may_look(&mut self) -> bool {
        self.looks = self.looks.saturating_sub(1);
        self.looks > 0
    }

    fn main_tail(&mut self) -> Option<u32> {
        for _ in 0..CHANCES {
            let &id = self.main.last()?;
            if !self.uses[&id].read || !self.may_look() {
                return Some(id);
            }
            self.main.pop();
            self.main.insert(0, id);
            self.uses.get_mut(&id).expect("it is there").read = false;
        }
        self.main.last().copied()
    }

    fn demote(&mut self, entries: usize) {
        for _ in 0..DEMOTIONS {
            if self.main.len() <= self.most_main(entries) {
                return;
            }
            let Some(id) = self.main_tail() else { return };
            self.main.pop();
            self.place(id, self.uses[&id].era);
        }
    }

    fn admits(&mut self, previous: u64, entries: usize) -> bool {
        self.main.len() < self.most_main(entries)
            || self
                .main_tail()
                .is_some_and(|id| previous > self.uses[&id].era)
    }

    fn victim(&mut self) -> Option<u32> {
        self.looks = LOOKS;
        self.flush();
        self.full = true;
        let entries = self.len();
        self.demote(entries);
        while let Some(&(id, mark)) = self.window.last() {
            self.oldest = mark;
            let Use { era, read } = self.uses[&id];
            if !read || !self.may_look() {
                return Some(id);
            }
            let admitted = self.admits(mark, entries);
            // Not always the last one any more: what is demoted may be placed behind it.
            self.window.retain(|it| it.0 != id);
            if admitted {
                self.main.insert(0, id);
                self.uses.insert(id, Use { era, read: false });
                self.demote(entries);
            } else {
                self.place(id, era);
            }
        }
        self.oldest = self.era;
        self.main_tail()
    }

    fn remember(&mut self, id: u32, fragment: Fragment) {
        self.evicted = Some((fragment, self.uses[&id].era));
    }

    fn flush(&mut self) {
        let Some((fragment, era)) = self.evicted.take() else {
            return;
        };
        let ghosts = self.ghosts_of(fragment);
        ghosts.push_back(Some((Self::tag(fragment), era)));
        let dropped = (ghosts.len() > WAYS).then(|| ghosts.pop_front()).flatten();
        let dropped = dropped.flatten().is_some_and(|it| self.is_sampled(it.0));
        if dropped || self.is_sampled(Self::tag(fragment)) {
            self.sampled_era = self.era;
            self.settle();
        }
    }

    fn leave(&mut self, id: u32, fragment: Fragment) {
        if !self.full {
            self.left = Some(Left {
                fragment,
                main: self.main.contains(&id),
                era: self.uses[&id].era,
            });
        }
        if let Some(place) = self.sample.iter().position(|it| it.id == id) {
            self.sampled_era = self.era;
            self.settle();
            let gain = self.look(place);
            self.sample.swap_remove(place);
            self.settle();
            self.shift(-i64::from(gain));
        }
        self.window.retain(|it| it.0 != id);
        self.main.retain(|it| *it != id);
        self.uses.remove(&id);
    }

    fn shift(&mut self, hits: i64) {
        let step = WHOLE / self.sample.len().clamp(1, 100) as i64;
        if hits != 0 {
            self.share = (self.share + hits * step).clamp(LEAST, WHOLE - LEAST);
        }
    }

    fn link(&mut self, id: u32, fragment: Fragment) {
        self.looks = LOOKS;
        self.flush();
        if self.to_come == 0 {
            self.to_come = self.stride;
            self.era += 1;
            if self.era - self.oldest >= u64::from(MARKS) {
                self.oldest += 1;
                let oldest = self.oldest;
                self.window
                    .iter_mut()
                    .for_each(|it| it.1 = it.1.max(oldest));
            }
        }
        self.to_come -= 1;
        let entries = self.len();
        let full = std::mem::take(&mut self.full);
        let left = self.left.take();
        let left = left.filter(|it| it.fragment == fragment);
        let mut ghost = None;
        if left.is_none() {
            let tag = Self::tag(fragment);
            let found = self.ghosts_of(fragment).iter_mut();
            // The first of the places that it may have, which is not always the oldest.
            let found = found.filter(|it| it.is_some_and(|it| it.0 == tag));
            ghost = found.into_iter().next().and_then(Option::take);
        }
        if self.is_sampled(Self::tag(fragment)) {
            self.sample(id, ghost.map(|it| it.1));
        }
        let last = left.map(|it| it.era).or(ghost.map(|it| it.1));
        let main = if left.is_some_and(|it| it.main) {
            true
        } else if let Some(last) = last {
            last < self.era && self.admits(last, entries)
        } else {
            !full && self.main.len() < self.most_main(entries)
        };
        if main {
            self.main.insert(0, id);
            let now = self.era;
            self.uses.insert(
                id,
                Use {
                    era: now,
                    read: false,
                },
            );
            self.demote(entries + 1);
        } else {
            self.place(id, self.era);
        }
    }

    fn sample(&mut self, id: u32, ghost: Option<u64>) {
        // As long as it is counted, a ghost is one of the keys.
        let missed = ghost.into_iter();
        self.sampled_era = self.era;
        self.settle_with(missed.clone());
        let mut gains = 0;
        for _ in 0..self.sample.len().min(4) {
            self.hand = if self.hand < self.sample.len() {
                self.hand
            } else {
                0
            };
            gains += i64::from(self.look(self.hand));
            self.hand += 1;
        }
        let regret = ghost.is_some_and(|era| era > self.boundary);
        self.settle();
        self.shift(i64::from(regret) - gains);
        self.sample.push(Sampled {
            id,
            evicted: false,
            era: self.era,
        });
        self.settle();
    }

    fn look(&mut self, place: usize) -> bool {
        let Sampled { id, evicted, era } = self.sample[place];
        let last = self.uses[&id].era.min(self.sampled_era);
        let known = last.max(era).max(self.sampled_era.saturating_sub(64));
        let used = last > era;
        self.sample[place] = Sampled {
            id,
            evicted: known <= self.boundary || evicted && !used,
            era: known,
        };
        used && evicted
    }

    fn settle(&mut self) {
        self.settle_with(std::iter::empty());
    }

    /// The earliest era after which as many keys at most were used last as the sample has entries.
    fn settle_with(&mut self, more: impl Iterator<Item = u64>) {
        let ghosts = self.ghosts.iter().flatten().flatten();
        let ghosts = ghosts.filter(|it| self.is_sampled(it.0)).map(|it| it.1);
        let entries = self.sample.iter().map(|it| it.era);
        let mut eras: Vec<u64> = ghosts.chain(entries).chain(more).collect();
        eras.sort_unstable_by(|one, other| other.cmp(one));
        let first_out = eras.get(self.sample.len()).copied().unwrap_or(0);
        self.boundary = first_out.max(self.sampled_era.saturating_sub(128));
    }
}

#[derive(Debug, Clone, Copy)]
enum Op {
    /// A read, or an insertion where there is nothing to read.
    Request(u16),
    Requests(u16, u16),
    Update(u16),
    Remove(u16),
    Give,
}

struct Subject {
    list: List,
    adaptive: Adaptive,
    balance: Arc<Balance>,
    members: Vec<Member>,
    free: Vec<u32>,
    ids: HashMap<u16, u32>,
    most: usize,
    twin: Twin,
}

impl Subject {
    fn new(expected: usize, most: usize) -> Self {
        let balance = Arc::new(Balance::new());
        Self {
            list: List::segmented(),
            adaptive: Adaptive::new(expected, Arc::clone(&balance)),
            balance,
            members: (0..=most).map(|_| Member::new()).collect(),
            free: (0..=most as u32).rev().collect(),
            ids: HashMap::new(),
            most,
            twin: Twin::new(expected),
        }
    }

    fn fragment(key: u16) -> Fragment {
        Fragment::new((u64::from(key) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 38)
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Request(key) => self.request(key),
            Op::Requests(key, more) => {
                (key..=key.saturating_add(more)).for_each(|it| self.request(it))
            }
            Op::Update(key) => {
                if self.remove(key) {
                    self.link(key);
                }
            }
            Op::Remove(key) => _ = self.remove(key),
            Op::Give => self.evict(),
        }
    }

    fn request(&mut self, key: u16) {
        if let Some(&id) = self.ids.get(&key) {
            self.members[id as usize].stamp.touch(self.list.era());
            self.twin.read(id);
            return;
        }
        if self.ids.len() == self.most {
            self.evict();
        }
        self.link(key);
    }

    fn link(&mut self, key: u16) {
        let id = self.free.pop().expect("one more than are linked");
        let (fragment, member) = (Self::fragment(key), &self.members[id as usize]);
        let before = self.list.era();
        let begun = self
            .adaptive
            .link((id, member), fragment, &mut self.list, &self.members);
        assert_eq!(self.list.era() - before, u64::from(begun));
        self.twin.link(id, fragment);
        self.ids.insert(key, id);
    }

    fn remove(&mut self, key: u16) -> bool {
        let Some(id) = self.ids.remove(&key) else {
            return false;
        };
        let fragment = Self::fragment(key);
        self.adaptive.leave(id, fragment, &self.list, &self.members);
        let member = &self.members[id as usize];
        self.list.unlink(member, &self.members);
        self.twin.leave(id, fragment);
        self.free.push(id);
        true
    }

    fn evict(&mut self) {
        let victim = self.adaptive.victim(&mut self.list, &self.members);
        assert_eq!(victim, self.twin.victim());
        let Some(id) = victim else {
            assert!(self.ids.is_empty(), "no victim among entries");
            return;
        };
        let found = self.ids.iter().find(|&(_, other)| *other == id);
        let (&key, _) = found.expect("the victim is an entry");
        let fragment = Self::fragment(key);
        let member = &self.members[id as usize];
        self.adaptive.remember(fragment, member, None);
        self.twin.remember(id, fragment);
        assert!(self.remove(key));
    }

    fn check(&self) {
        self.list.validate(&self.members);
        self.adaptive.validate(&self.list, &self.members);
        let window = self.twin.window.iter().map(|it| it.0);
        let expected: Vec<u32> = window.chain(self.twin.main.iter().copied()).collect();
        let found: Vec<u32> = self.list.iter(&self.members).collect();
        assert_eq!(found, expected, "the order");
        assert_eq!(self.list.len(), self.ids.len());
        assert_eq!(i64::from(self.balance.share()), self.twin.share);
    }
}

fn op(keys: u16) -> impl Strategy<Value = Op> {
    let key = move || 0..keys;
    prop_oneof![
        10 => key().prop_map(Op::Request),
        2 => (key(), 0..keys / 4).prop_map(|(key, more)| Op::Requests(key, more)),
        2 => key().prop_map(Op::Update),
        1 => key().prop_map(Op::Remove),
        1 => Just(Op::Give),
    ]
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(0x6e6f_7269),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn compare(expected: usize, most: usize, ops: Vec<Op>) {
    let mut subject = Subject::new(expected, most);
    for op in ops {
        subject.apply(op);
        subject.check();
    }
    while !subject.ids.is_empty() {
        subject.evict();
        subject.check();
    }
    subject.evict();
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn a_small_shard_is_its_twin(most in 1..40_usize, ops in prop::collection::vec(op(90), 1..150)) {
        compare(most, most, ops);
    }

    /// Whose sample is a part of the keys, and which holds more than was expected, or less.
    #[test]
    fn a_larger_shard_is_its_twin(
        expected in 64..400_usize,
        most in 100..300_usize,
        ops in prop::collection::vec(op(900), 1..30),
    ) {
        compare(expected, most, ops);
    }
}

/// All of a shard that holds its entries in a loop larger than itself, and of one that an LRU serves better.
#[test]
fn the_window_grows_only_where_it_has_more_hits() {
    let share_after = |requests: &mut dyn Iterator<Item = u16>| {
        let mut subject = Subject::new(200, 200);
        requests.for_each(|key| subject.request(key));
        subject.check();
        subject.balance.share()
    };
    let of_loop = share_after(&mut (0..20_000).map(|nth| nth % 600));
    assert_eq!(of_loop, LEAST as u32);
    let there_and_back = (0..20_000).map(|nth: u16| {
        let at = nth % 2_000;
        at.min(1_999 - at)
    });
    let of_zigzag = share_after(&mut there_and_back.into_iter());
    assert!(i64::from(of_zigzag) > WHOLE * 9 / 10, "{of_zigzag}");
}
