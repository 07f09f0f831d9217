//! A hint to the processor that memory will be read soon; it has no other effect.

#[cfg(all(target_arch = "x86_64", not(any(miri, nori_loom))))]
#[inline(always)]
pub(crate) fn read<T>(at: *const T) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch of any address, mapped or not, neither faults nor changes anything the program can see.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

#[cfg(not(all(target_arch = "x86_64", not(any(miri, nori_loom)))))]
#[inline(always)]
pub(crate) fn read<T>(_at: *const T) {}
