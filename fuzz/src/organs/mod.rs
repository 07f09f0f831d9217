//! One module for each organ: its operations, its model, and the comparison.

pub mod cache;
pub mod cache_control;
pub mod codec;
pub mod index;
mod ledger;
pub mod list;
pub mod store;
pub mod stored;
pub mod wheel;

use arbitrary::{Arbitrary, Result, Unstructured};

/// As many operations as the input has bytes for.
#[derive(Debug)]
pub struct Ops<T>(Vec<T>);

impl<'a, T: Arbitrary<'a>> Arbitrary<'a> for Ops<T> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut ops = Vec::new();
        while !u.is_empty() {
            ops.push(u.arbitrary()?);
        }
        Ok(Self(ops))
    }
}

/// The element that an arbitrary number points at.
fn pick<T: Copy>(from: &[T], at: usize) -> Option<T> {
    let at = at.checked_rem(from.len())?;
    Some(from[at])
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort_unstable();
    items
}
