//! Checks that the parts of an index agree.

use super::annex::Annex;
use super::{Fragment, Index, filed_in};
use crate::sync::Ordering;

impl Index {
    /// Checks chains and overflow counts of a range against the fragments of its entries.
    ///
    /// # Panics
    /// If the structure is broken.
    pub(crate) fn validate(&self, range: usize, fragment_of: impl Fn(u32) -> Fragment) {
        let start = range * self.rest.range;
        let mut overflows = self.overflows(range, &fragment_of);
        if let Some(annex) = self.annex(range) {
            let ids: Vec<u32> = annex.index.ids(0).collect();
            assert_eq!(ids.len(), annex.len());
            for &id in &ids {
                overflows[self.home_in(range, fragment_of(id)) - start] += 1;
            }
            let in_annex = |id| Annex::fragment(fragment_of(id));
            let expected = annex.index.overflows(0, &in_annex);
            annex.index.validate_counts(0, &expected);
        }
        self.validate_counts(range, &overflows);
    }

    /// How often entries of a range passed each of its buckets.
    fn overflows(&self, range: usize, fragment_of: &dyn Fn(u32) -> Fragment) -> Vec<u64> {
        let start = range * self.rest.range;
        let mut overflows = vec![0_u64; self.rest.range];
        for (b, bucket) in self.buckets_of(range).iter().enumerate() {
            for (_, id) in filed_in(std::slice::from_ref(bucket)) {
                let home = self.home_in(range, fragment_of(id));
                for passed in self.chain(range, home).take_while(|&it| it != start + b) {
                    overflows[passed - start] += 1;
                }
            }
        }
        overflows
    }

    fn validate_counts(&self, range: usize, overflows: &[u64]) {
        for (bucket, &expected) in self.buckets_of(range).iter().zip(overflows) {
            assert_eq!(bucket.tail.load(Ordering::Relaxed) >> 32, expected);
        }
    }
}
