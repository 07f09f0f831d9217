//! [`Refreshing`]: a mark beside a value that somebody loads what is to take its place, so that whoever comes upon it need not ask.
//!
//! It is a hint. Whoever believes it answers with what the store has and what is fresh; whoever does not asks whether somebody loads the key,
//! and joins. So nothing hangs on when a thread sees it, nor on two who load for two stores, or under two keys, that have the same value.

use super::Value;
use crate::sync::{AtomicBool, Ordering};

#[derive(Debug, Default)]
pub(super) struct Refreshing(AtomicBool);

impl Refreshing {
    #[inline]
    pub(super) fn is_under_way(&self) -> bool {
        // Relaxed: a hint, see above.
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, is_under_way: bool) {
        // Relaxed: as above.
        self.0.store(is_under_way, Ordering::Relaxed);
    }
}

/// As long as this lives, the value is marked.
pub(super) struct Refresher(Value);

impl Refresher {
    /// Marks a value; `None` if it has no place for that.
    pub(super) fn begin(value: &Value) -> Option<Self> {
        value.refreshing()?.set(true);
        Some(Self(value.clone()))
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        if let Some(mark) = self.0.refreshing() {
            mark.set(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::kept::{Meta, Times};
    use crate::time::Ttl;

    #[test]
    fn a_value_is_marked_as_long_as_its_refresher_lives() {
        let plain = Value::new("plain").unwrap();
        assert!(Refresher::begin(&plain).is_none());
        let kept = plain.kept(Meta::new(Times::new(0, Ttl::Never, false)));
        let other = kept.clone();
        let is_marked = || other.refreshing().unwrap().is_under_way();
        assert!(!is_marked());
        let refresher = Refresher::begin(&kept);
        assert!(is_marked());
        drop(refresher);
        assert!(!is_marked());
    }
}
