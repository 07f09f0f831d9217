//! Vacant slots that have been used before.

use crate::core::slab::{SEGMENTS, Slots};

/// A stack for each segment of the slab, chained through the slots' nodes. Slots of earlier segments are used first, so that
/// after a burst the later ones empty, and can be given back.
#[derive(Debug)]
pub(super) struct Vacancies {
    /// In all stacks.
    len: u32,
    stacks: [Stack; SEGMENTS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Stack {
    top: u32,
    len: u32,
}

impl Default for Vacancies {
    fn default() -> Self {
        Self {
            len: 0,
            stacks: [Stack::default(); SEGMENTS],
        }
    }
}

impl Vacancies {
    pub(super) fn push<K, V>(&mut self, id: u32, slots: Slots<'_, K, V>) {
        let stack = &mut self.stacks[slots.segment(id)];
        slots.node(id).chain(stack.top);
        stack.top = id;
        stack.len += 1;
        self.len += 1;
    }

    /// A slot of the first segment that has one.
    #[inline(always)]
    pub(super) fn pop<K, V>(&mut self, slots: Slots<'_, K, V>) -> Option<u32> {
        self.pop_before(SEGMENTS, slots)
    }

    /// The same, if that is one before `segment`.
    #[inline(always)]
    pub(super) fn pop_before<K, V>(
        &mut self,
        segment: usize,
        slots: Slots<'_, K, V>,
    ) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        let stack = self.stacks[..segment].iter_mut().find(|it| it.len > 0)?;
        let id = stack.top;
        stack.top = slots.node(id).next();
        stack.len -= 1;
        self.len -= 1;
        Some(id)
    }

    /// How many slots of this segment there are, and how many of all others.
    pub(super) fn count(&self, segment: usize) -> (u32, u32) {
        let here = self.stacks[segment].len;
        (here, self.len - here)
    }

    /// Forgets those of a segment that is given back.
    pub(super) fn forget(&mut self, segment: usize) {
        self.len -= std::mem::take(&mut self.stacks[segment]).len;
    }
}
