//! The adaptive policy: which entry goes when a shard is full, decided by what would have been right lately.
//!
//! # Two segments
//!
//! A shard's entries are in a *window*, an LRU list, or in the *main* ring ([`List`], `segments`). New keys enter the window; victims
//! leave from its end. What has been used again gets into the main ring, if its previous use was later than the last use of the entry at the
//! tail there: then it was needed again sooner than that one has been (as in LIRS: Jiang and Zhang, SIGMETRICS 2002). That holds for what was
//! read in the window, and for a key that comes back after it was evicted, of which a [ghost](ghosts) tells the last use. What the main ring
//! has too much goes back to where its last use belongs in the window. So a scan passes through the window, and a loop that is larger
//! than the cache does not wash out the part of it that is in the main ring.
//!
//! # Two policies
//!
//! With a small window that is a policy that resists scans and loops; if all entries are in the window it is an LRU. How large the
//! window is decides a [balance], which all shards share: a [shadow] of a plain LRU counts the hits that one of them has and the
//! other has not (as adaptive caches with shadow tags do: Subramanian, Smaragdakis and Loh, *Adaptive Caches*, MICRO 2006).
//!
//! # What reads do
//!
//! Reads know nothing of it: they leave a stamp, as in any list with marks. All that is here is guarded by the shard's lock, but for
//! the balance, which is one atomic number.

mod balance;
mod ghosts;
mod shadow;
#[cfg(all(test, not(nori_loom)))]
mod tests;

pub(crate) use balance::Balance;

use super::index::Fragment;
use super::list::{List, Member, Members};
use ghosts::{Ghost, Ghosts, Place, Tag};
use shadow::Shadow;
use std::sync::Arc;

/// Which entry goes when a cache is full and a new key comes.
///
/// ```
/// use nori_cache::{Cache, Policy};
///
/// let cache: Cache<u64, String> = Cache::builder()
///     .max_keys(50_000)
///     .policy(Policy::Adaptive)
///     .build()?;
/// # Ok::<(), nori_cache::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Policy {
    /// The one that was used least recently; exactly so in a small cache, and nearly in a large one.
    #[default]
    Lru,
    /// Keeps what is used again and again when keys come that are used once, or in loops that are larger than the cache, and turns into an
    /// LRU where that has more hits. Takes about 11 bytes more for each of `max_keys`, and some more time for each insertion.
    Adaptive,
}

/// Entries that one write looks at to find a victim, or to put the segments right.
const LOOKS: u32 = 128;
/// Entries of the main ring that are passed over, read, to find one that is not.
const CHANCES: u32 = 16;
/// Entries that go from the main ring to the window at a time.
const DEMOTIONS: u32 = 4;

/// What is known of each slot's entry.
#[derive(Debug, Clone, Copy, Default)]
struct Note(u16);

impl Note {
    const MAIN: u16 = 1 << 15;

    fn is_main(self) -> bool {
        self.0 & Self::MAIN != 0
    }

    fn set_main(&mut self, main: bool) {
        self.0 = self.0 & !Self::MAIN | if main { Self::MAIN } else { 0 };
    }

    /// The place in the shadow's sample.
    fn place(self) -> Option<usize> {
        usize::from(self.0 & !Self::MAIN).checked_sub(1)
    }

    fn set_place(&mut self, place: usize) {
        debug_assert!(place <= shadow::MOST);
        self.0 = self.0 & Self::MAIN | (place as u16 + 1);
    }
}

/// An entry that has left.
#[derive(Debug, Clone, Copy)]
struct Left {
    fragment: Fragment,
    main: bool,
    /// Of the last use.
    era: u64,
}

/// The policy's state in one shard. Guarded by the shard's lock, with the list.
#[derive(Debug)]
pub(crate) struct Adaptive {
    /// By id.
    notes: Vec<Note>,
    /// Entries in the main ring.
    main: usize,
    /// Whether an entry has been evicted for the next one that comes.
    full: bool,
    /// The last one that was evicted, of which there is no ghost yet: its place is being fetched.
    evicted: Option<(Place, Ghost)>,
    /// The last one that left otherwise. If the next one that comes has the same key, it is what became of it.
    left: Option<Left>,
    /// How many entries make an era, and how many of them are still to come in this one.
    stride: u32,
    to_come: u32,
    ghosts: Ghosts,
    shadow: Shadow,
    balance: Arc<Balance>,
}

/// The list, and where its members are.
struct Ground<'l, M> {
    list: &'l mut List,
    members: M,
    /// How many more entries may be looked at.
    looks: u32,
}

impl Adaptive {
    /// For a shard that is expected to hold so many keys.
    pub(crate) fn new(expected: usize, balance: Arc<Balance>) -> Self {
        Self {
            notes: Vec::new(),
            main: 0,
            full: false,
            evicted: None,
            left: None,
            stride: List::stride_of(expected),
            to_come: List::stride_of(expected),
            ghosts: Ghosts::new(expected),
            shadow: Shadow::new(expected),
            balance,
        }
    }

    /// Has eras be as long as suits so many keys. Ghosts and sample stay as they are.
    pub(crate) fn expect(&mut self, expected: usize) {
        self.stride = List::stride_of(expected);
        self.to_come = self.to_come.min(self.stride);
    }

    /// The entry to evict. It stays linked.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn victim(&mut self, list: &mut List, members: impl Members) -> Option<u32> {
        self.flush(list);
        self.full = true;
        if self.main <= self.most_main(list)
            && let Some((id, _)) = list.window_tail(members)
            && !members.member(id).stamp.is_read()
        {
            return Some(id);
        }
        self.victim_slow(list, members)
    }

    #[inline(never)]
    fn victim_slow(&mut self, list: &mut List, members: impl Members) -> Option<u32> {
        let mut ground = Ground::new(list, members);
        self.demote(&mut ground);
        while let Some((id, linked)) = ground.list.window_tail(members) {
            let (era, read) = ground.last_use(id);
            if !read || !ground.may_look() {
                return Some(id);
            }
            if self.admits(linked, &mut ground) {
                ground.list.promote(id, era, members);
                self.note(id).set_main(true);
                self.main += 1;
                self.demote(&mut ground);
            } else {
                ground.list.place(id, era, members);
            }
        }
        ground.main_tail()
    }

    /// Remembers the victim's key, sooner or later. `coming` is the key that the next entry will have, if that is known.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn remember(
        &mut self,
        fragment: Fragment,
        member: &Member,
        coming: Option<Fragment>,
    ) {
        if let Some(coming) = coming {
            self.ghosts.prefetch(coming);
        }
        let ghost = Ghost {
            tag: Tag::of(fragment),
            era: member.stamp.low(),
        };
        self.evicted = Some((self.ghosts.prefetch(fragment), ghost));
    }

    /// Gives the last victim its ghost.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn flush(&mut self, list: &List) {
        let Some((place, ghost)) = self.evicted.take() else {
            return;
        };
        let replaced = self.ghosts.put(place, ghost);
        let bits = self.shadow.bits();
        let replaced = replaced.filter(|it| it.tag.has(bits));
        let added = Some(ghost).filter(|it| it.tag.has(bits));
        if added.is_some() || replaced.is_some() {
            let [added, replaced] = [added, replaced].map(|it| it.map(|it| it.era));
            self.flush_sample(added, replaced, list.era());
        }
    }

    #[inline(never)]
    fn flush_sample(&mut self, added: Option<u16>, replaced: Option<u16>, now: u64) {
        self.shadow.advance(now);
        if let Some(era) = replaced {
            self.shadow.forget(era_of(era, now));
        }
        if let Some(era) = added {
            self.shadow.remember(era_of(era, now));
        }
    }

    /// Takes note that an entry leaves, which is still linked; its key has this fragment.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn leave(
        &mut self,
        id: u32,
        fragment: Fragment,
        list: &List,
        members: impl Members,
    ) {
        let mut note = Note::default();
        if let Some(noted) = self.notes.get_mut(id as usize)
            && noted.0 != 0
        {
            note = std::mem::take(noted);
            self.main -= usize::from(note.is_main());
            if let Some(place) = note.place() {
                self.leave_sample(place, list.era(), members);
            }
        }
        // Of an entry that was evicted there will be a ghost.
        if !self.full {
            self.left = Some(Left {
                fragment,
                main: note.is_main(),
                era: members.member(id).stamp.last_use(list.era()).0,
            });
        }
    }

    #[inline(never)]
    fn leave_sample(&mut self, place: usize, now: u64, members: impl Members) {
        self.shadow.advance(now);
        let (gain, moved) = self.shadow.take(place, members);
        if let Some(moved) = moved {
            self.notes[moved as usize].set_place(place);
        }
        self.shift(-i32::from(gain));
    }

    /// Links an entry, whose key has this fragment. Says whether another era has begun.
    pub(crate) fn link(
        &mut self,
        (id, member): (u32, &Member),
        fragment: Fragment,
        list: &mut List,
        members: impl Members,
    ) -> bool {
        self.flush(list);
        let begun = self.to_come == 0;
        if begun {
            self.to_come = self.stride;
            list.begin_era(members);
        }
        self.to_come -= 1;
        let now = list.era();
        let full = std::mem::take(&mut self.full);
        let left = self.left.take().filter(|it| it.fragment == fragment);
        let ghost = match left {
            Some(_) => None,
            None => self.ghosts.take(fragment).map(|era| era_of(era, now)),
        };
        if Tag::of(fragment).has(self.shadow.bits()) {
            self.sample(id, ghost, now, members);
        }
        let last = left.map(|it| it.era).or(ghost);
        let mut main = left.is_some_and(|it| it.main);
        let mut is_tight = main;
        if !main && (!full || last.is_some()) {
            let has_room = self.main < self.most_main(list);
            main = match last {
                // Two uses in one era are one.
                Some(last) => {
                    is_tight = !has_room;
                    last < now && (has_room || self.is_later(last, &mut Ground::new(list, members)))
                }
                None => has_room,
            };
        }
        list.link((id, member), main, members);
        if main {
            self.note(id).set_main(true);
            self.main += 1;
            // Where there was room, there is enough.
            if is_tight {
                self.demote(&mut Ground::new(list, members));
            }
        }
        begun
    }

    /// What is noted of an entry that is, or is about to be, in the list.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn note(&mut self, id: u32) -> &mut Note {
        let id = id as usize;
        if id >= self.notes.len() {
            self.more_notes(id + 1);
        }
        &mut self.notes[id]
    }

    #[cold]
    #[inline(never)]
    fn more_notes(&mut self, len: usize) {
        self.notes.resize(len, Note::default());
    }

    /// An entry of the sample comes, of a key that has a ghost with this era, or none.
    #[inline(never)]
    fn sample(&mut self, id: u32, ghost: Option<u64>, now: u64, members: impl Members) {
        self.shadow.advance(now);
        let gains = self.shadow.patrol(members);
        let regret = ghost.is_some_and(|era| self.shadow.missed(era));
        self.shift(i32::from(regret) - gains);
        if let Some(place) = self.shadow.add(id) {
            self.note(id).set_place(place);
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn shift(&self, hits: i32) {
        if hits != 0 {
            self.balance.shift(hits, self.shadow.len());
        }
    }

    /// How many entries the main ring may have.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn most_main(&self, list: &List) -> usize {
        self.balance.main_of(list.len())
    }

    /// Whether an entry that is used again gets into the main ring: if there is room, or its previous use was later than the last one of the
    /// entry that would have to go.
    fn admits(&mut self, previous: u64, ground: &mut Ground<'_, impl Members>) -> bool {
        self.main < self.most_main(ground.list) || self.is_later(previous, ground)
    }

    /// Whether a use was later than the last one of the entry that is the next to go from the main ring.
    #[inline(never)]
    fn is_later(&self, previous: u64, ground: &mut Ground<'_, impl Members>) -> bool {
        let tail = ground.main_tail();
        tail.is_some_and(|id| previous > ground.last_use(id).0)
    }

    /// Moves to the window what the main ring has too much, some entries at a time.
    #[inline(never)]
    fn demote(&mut self, ground: &mut Ground<'_, impl Members>) {
        for _ in 0..DEMOTIONS {
            if self.main <= self.most_main(ground.list) {
                return;
            }
            let Some(id) = ground.main_tail() else {
                return;
            };
            let (era, _) = ground.last_use(id);
            ground.list.place(id, era, ground.members);
            self.notes[id as usize].set_main(false);
            self.main -= 1;
        }
    }

    /// Checks what is noted of the entries.
    ///
    /// # Panics
    /// If it is wrong.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self, list: &List, members: impl Members) {
        assert_eq!(self.main, list.main_len(members));
        let note = |id: u32| self.notes.get(id as usize).copied().unwrap_or_default();
        let main = list.iter(members).filter(|&id| note(id).is_main()).count();
        assert_eq!(main, self.main);
        let placed = list.iter(members).filter_map(|id| note(id).place()).count();
        assert_eq!(placed, self.shadow.len());
        self.shadow.validate(|id| note(id).place());
    }
}

impl<'l, M: Members> Ground<'l, M> {
    fn new(list: &'l mut List, members: M) -> Self {
        Self {
            list,
            members,
            looks: LOOKS,
        }
    }

    fn may_look(&mut self) -> bool {
        self.looks = self.looks.saturating_sub(1);
        self.looks > 0
    }

    /// The era of an entry's last use, and whether that was a read since it was linked.
    fn last_use(&self, id: u32) -> (u64, bool) {
        self.members.member(id).stamp.last_use(self.list.era())
    }

    /// The entry of the main ring that is the next to go: those that were read get a second chance.
    fn main_tail(&mut self) -> Option<u32> {
        for _ in 0..CHANCES {
            let id = self.list.main_tail()?;
            let (era, read) = self.last_use(id);
            if !read || !self.may_look() {
                return Some(id);
            }
            self.list.promote(id, era, self.members);
        }
        self.list.main_tail()
    }
}

/// The latest era that ends in these bits.
fn era_of(low: u16, now: u64) -> u64 {
    now.saturating_sub((now as u16).wrapping_sub(low).into())
}
