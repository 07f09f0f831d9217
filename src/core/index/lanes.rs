//! Comparing the tags of a bucket's lanes, all at once.

use super::LANES;
use crate::sync::AtomicU32;
#[cfg(not(all(target_arch = "x86_64", not(any(miri, nori_loom, nori_portable)))))]
use crate::sync::Ordering;

/// A bit for each lane whose tag is `tag`; the tags are the bytes of `head` and the low half of `tail`.
#[cfg(all(target_arch = "x86_64", not(any(miri, nori_portable))))]
#[inline(always)]
pub(super) fn equal(head: u64, tail: u64, tag: u8) -> u32 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};
    // SAFETY: SSE2 is part of x86-64; the intrinsics work on values alone.
    let equal = unsafe {
        let tags = _mm_set_epi64x(tail as i64, head as i64);
        _mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8(tag as i8)))
    };
    equal as u32 & ((1 << LANES) - 1)
}

/// As above, eight bytes at a time.
#[cfg(not(all(target_arch = "x86_64", not(any(miri, nori_portable)))))]
#[inline(always)]
pub(super) fn equal(head: u64, tail: u64, tag: u8) -> u32 {
    let bits = zero_bytes(head ^ spread(tag)) | zero_bytes(tail ^ spread(tag)) << 8;
    bits & ((1 << LANES) - 1)
}

/// A bit for each lane whose id is `id`. For the one writer.
#[cfg(all(target_arch = "x86_64", not(any(miri, nori_loom, nori_portable))))]
#[inline(always)]
pub(super) fn equal_ids(ids: &[AtomicU32; LANES], id: u32) -> u32 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi32, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16,
        _mm_packs_epi32, _mm_set1_epi32, _mm_setzero_si128,
    };
    let four = |at: usize| -> __m128i {
        // SAFETY: SSE2 is part of x86-64. Four ids lie there; others only read them, as the one writer is who calls this.
        unsafe {
            let ids = _mm_loadu_si128(ids[at..][..4].as_ptr().cast());
            _mm_cmpeq_epi32(ids, _mm_set1_epi32(id as i32))
        }
    };
    // SAFETY: as above.
    let equal = unsafe {
        let low = _mm_packs_epi32(four(0), four(4));
        let high = _mm_packs_epi32(four(8), _mm_setzero_si128());
        _mm_movemask_epi8(_mm_packs_epi16(low, high))
    };
    equal as u32
}

/// As above, one after the other.
#[cfg(not(all(target_arch = "x86_64", not(any(miri, nori_loom, nori_portable)))))]
#[inline(always)]
pub(super) fn equal_ids(ids: &[AtomicU32; LANES], id: u32) -> u32 {
    // Relaxed: only the one writer, us, changes them.
    let is_it = |lane: usize| ids[lane].load(Ordering::Relaxed) == id;
    (0..LANES).fold(0, |bits, lane| bits | u32::from(is_it(lane)) << lane)
}

#[cfg(any(test, not(all(target_arch = "x86_64", not(any(miri, nori_portable))))))]
fn spread(tag: u8) -> u64 {
    u64::from(tag) * 0x0101_0101_0101_0101
}

/// A bit for each zero byte: exact, unlike the shorter test by Mycroft that takes a one behind a zero for another.
#[cfg(any(test, not(all(target_arch = "x86_64", not(any(miri, nori_portable))))))]
fn zero_bytes(word: u64) -> u32 {
    const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let zero = !(((word & LOW_BITS) + LOW_BITS) | word | LOW_BITS);
    // Gathers the bytes' high bits in the highest byte.
    ((zero >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
}

#[cfg(all(test, not(nori_loom)))]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_where_they_are() {
        let ids: [u32; LANES] = std::array::from_fn(|lane| [7, u32::MAX, 7 << 16, 0][lane % 4]);
        for id in [7, u32::MAX, 7 << 16, 0, 8] {
            let expected = (0..LANES).filter(|&lane| ids[lane] == id);
            let expected = expected.fold(0, |bits, lane| bits | 1 << lane);
            assert_eq!(equal_ids(&ids.map(AtomicU32::new), id), expected);
        }
    }

    #[test]
    fn both_ways_agree() {
        let mut word = 1_u64;
        for _ in 0..10_000 {
            word = word.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17) + 1;
            // Tags of a few kinds, so that many are equal, and zero and one stand side by side.
            let (head, tail) = (
                word & 0x0301_0001_0301_0001,
                word >> 7 & 0x0101_0301_0001_0101,
            );
            for tag in 0..4_u8 {
                let bytes: Vec<u8> = [head.to_le_bytes(), tail.to_le_bytes()].concat();
                let expected = (0..LANES).filter(|&lane| bytes[lane] == tag);
                let expected = expected.fold(0, |bits, lane| bits | 1 << lane);
                let portable = zero_bytes(head ^ spread(tag)) | zero_bytes(tail ^ spread(tag)) << 8;
                assert_eq!(equal(head, tail, tag), expected);
                assert_eq!(portable & 0xfff, expected);
            }
        }
    }
}
