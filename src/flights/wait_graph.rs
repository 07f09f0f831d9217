//! The wait-for graph: loads and updates that would wait for each other, and so for ever, are found before they do.
//!
//! A loader or an update's closure that waits for another load or update makes its own load or update wait for it, and every other
//! one that it runs inside. These are the edges of a graph, kept for as long as somebody waits. Before a closure waits, it is
//! checked that what it waits for does not itself wait, directly or through others, for something the closure runs inside. The
//! check and the new edge are one step under the lock. The graph is the process's, as a loader of one backend may use another.
//!
//! Who waits for a permit waits for somebody who holds one to give it back: so there are edges from the permits to the loads that hold
//! them ([`Held`]). Any of these would do, and the graph takes it that all are needed. So it may find a circle where there is none, and
//! a load goes ahead that could have waited; it never misses one.
//!
//! What runs inside what is known by thread, for the time of a poll. A closure that spawns a task and waits for it is not seen:
//! the bound on waiting is for that.

use crate::sync::Mutex;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// What a closure does to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    Load,
    Update,
    /// None of a key: all the permits of a backend to run a loader, which those wait for that hold none.
    Permit,
}

/// A load or an update: of which backend or cache (its address), and which (the hash of a backend's key, the number of a cache's load).
/// Or the permits of a backend.
pub(crate) type Node = (usize, u64, Work);

thread_local! {
    /// The closures that this thread is in, from the outermost to the innermost.
    static INSIDE: RefCell<Vec<Node>> = const { RefCell::new(Vec::new()) };
}

/// What each load or update waits for, once for each time that it does.
static WAITS: LazyLock<Mutex<BTreeMap<Node, Vec<Node>>>> = LazyLock::new(Mutex::default);

/// So many of a closure's nodes are on the thread's list, for as long as it lives.
pub(crate) struct Inside(usize);

impl Inside {
    pub(crate) fn enter(nodes: &[Node]) -> Self {
        // While a thread ends its list may be gone. Then only the bound on waiting ends a circle.
        let _ = INSIDE.try_with(|inside| inside.borrow_mut().extend_from_slice(nodes));
        Self(nodes.len())
    }

    /// How many closures that work on this key the thread is in.
    pub(crate) fn depth(is_it: impl Fn(&Node) -> bool) -> usize {
        let count = |inside: &RefCell<Vec<Node>>| {
            let inside = inside.borrow();
            inside.iter().filter(|node| is_it(node)).count()
        };
        INSIDE.try_with(count).unwrap_or(0)
    }

    pub(crate) fn is_none() -> bool {
        let is_none = INSIDE.try_with(|inside| inside.borrow().is_empty());
        is_none.unwrap_or(true)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = INSIDE.try_with(|inside| {
            let mut inside = inside.borrow_mut();
            let outer = inside.len().saturating_sub(self.0);
            inside.truncate(outer);
        });
    }
}

/// The edges from all of this thread's closures to what they wait for, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Wait {
    from: Vec<Node>,
    to: Node,
}

impl Wait {
    /// `None` if the wait would never end.
    pub(crate) fn enter(to: Node) -> Option<Self> {
        let from = INSIDE.try_with(|inside| inside.borrow().clone());
        let from = from.unwrap_or_default();
        if !from.is_empty() {
            let mut waits = WAITS.lock();
            if leads_to(&waits, to, &from) {
                return None;
            }
            for node in &from {
                add(&mut waits, *node, to);
            }
        }
        Some(Self { from, to })
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.from.is_empty() {
            return;
        }
        let mut waits = WAITS.lock();
        for node in &self.from {
            remove(&mut waits, *node, self.to);
        }
    }
}

/// The edges from permits to the loads that one of them has been given to, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Held {
    permits: Node,
    by: Vec<Node>,
}

impl Held {
    /// Before the loaders run: until then they wait for nothing.
    pub(crate) fn enter(permits: Node, by: Vec<Node>) -> Self {
        let mut waits = WAITS.lock();
        for node in &by {
            add(&mut waits, permits, *node);
        }
        drop(waits);
        Self { permits, by }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut waits = WAITS.lock();
        for node in &self.by {
            remove(&mut waits, self.permits, *node);
        }
    }
}

fn add(waits: &mut BTreeMap<Node, Vec<Node>>, from: Node, to: Node) {
    waits.entry(from).or_default().push(to);
}

fn remove(waits: &mut BTreeMap<Node, Vec<Node>>, from: Node, to: Node) {
    let Some(of_node) = waits.get_mut(&from) else {
        return;
    };
    if let Some(at) = of_node.iter().position(|other| *other == to) {
        of_node.swap_remove(at);
    }
    if of_node.is_empty() {
        waits.remove(&from);
    }
}

/// Whether `start` is one of `ends`, or waits for one of them, directly or through others.
fn leads_to(waits: &BTreeMap<Node, Vec<Node>>, start: Node, ends: &[Node]) -> bool {
    let mut visited = BTreeSet::new();
    let mut next = vec![start];
    while let Some(node) = next.pop() {
        if ends.contains(&node) {
            return true;
        }
        if visited.insert(node) {
            next.extend(waits.get(&node).into_iter().flatten());
        }
    }
    false
}

#[cfg(all(test, not(nori_loom)))]
mod tests {
    use super::*;

    fn node(n: u64) -> Node {
        // Of no backend: nobody else's.
        (0, n, Work::Load)
    }

    #[test]
    fn circles_of_any_length_are_found() {
        for length in 1..6 {
            let mut waits = Vec::new();
            let first = 100 * length;
            for n in first..first + length - 1 {
                let _inside = Inside::enter(&[node(n)]);
                waits.push(Wait::enter(node(n + 1)).unwrap());
            }
            let _inside = Inside::enter(&[node(first + length - 1)]);
            assert!(Wait::enter(node(first)).is_none());
            // Without one of them it is none.
            waits.pop();
            assert_eq!(Wait::enter(node(first)).is_some(), length > 1);
        }
    }

    #[test]
    fn what_a_closure_runs_inside_of_waits_with_it() {
        let (outer, inner, other) = (node(1_001), node(1_002), node(1_003));
        let wait = {
            let _outer = Inside::enter(&[outer]);
            let _inner = Inside::enter(&[inner]);
            Wait::enter(other).unwrap()
        };
        let _other = Inside::enter(&[other]);
        assert!(Wait::enter(outer).is_none());
        assert!(Wait::enter(inner).is_none());
        drop(wait);
        assert!(Wait::enter(outer).is_some());
    }

    /// One load holds the permit and waits for another, which waits for the permit: whichever comes second goes ahead.
    #[test]
    fn who_holds_a_permit_may_be_waited_for() {
        let permits = (0, 0, Work::Permit);
        let (holds, waits) = (node(3_001), node(3_002));
        let enter = |of: Node, to: Node| {
            let _inside = Inside::enter(&[of]);
            Wait::enter(to)
        };
        let held = Held::enter(permits, vec![holds]);
        let first = enter(waits, permits).unwrap();
        assert!(enter(holds, waits).is_none());
        drop(first);
        let first = enter(holds, waits).unwrap();
        assert!(enter(waits, permits).is_none());
        // Given back, it is nobody's.
        drop(held);
        assert!(enter(waits, permits).is_some());
        drop(first);
        let all = WAITS.lock();
        assert!(
            [permits, holds, waits]
                .iter()
                .all(|it| !all.contains_key(it))
        );
    }

    #[test]
    fn nothing_is_left_of_a_wait() {
        let (one, other) = (node(2_001), node(2_002));
        let _inside = Inside::enter(&[one]);
        let waits = [Wait::enter(other), Wait::enter(other)];
        assert_eq!(WAITS.lock()[&one], [other, other]);
        drop(waits);
        assert!(!WAITS.lock().contains_key(&one));
    }
}
