//! Hints to the processor that memory will be read soon; they have no other effect.

/// `at` itself will be read.
#[cfg(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, nori_loom, nori_portable))
))]
#[inline(always)]
pub(crate) fn read<T>(at: *const T) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch of any address, mapped or not, neither faults nor changes anything the program can see.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

/// What `at` holds will be dropped: whatever its words point to, if they are pointers, will be read.
///
/// # Safety
/// `at` can be read (initialised or not).
#[cfg(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, nori_loom, nori_portable))
))]
#[inline(always)]
pub(crate) unsafe fn drop<T>(at: *const T) {
    if !std::mem::needs_drop::<T>() || !align_of::<T>().is_multiple_of(align_of::<u64>()) {
        return;
    }
    macro_rules! words {
        ($($word:literal)*) => {$(
            if $word < size_of::<T>() / size_of::<u64>() {
                // SAFETY: the load is inside `T`; in assembly, as the word may be padding, or no pointer. The prefetch is as above.
                unsafe {
                    std::arch::asm!(
                        "mov {word}, qword ptr [{at} + 8 * {index}]",
                        "prefetcht0 byte ptr [{word} - 8]",
                        at = in(reg) at,
                        index = const $word,
                        word = out(reg) _,
                        options(nostack, readonly, preserves_flags),
                    );
                }
            }
        )*};
    }
    // A pointer further back is rarely one that a drop follows.
    words!(0 1 2 3 4 5 6 7);
}

#[cfg(not(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, nori_loom, nori_portable))
)))]
mod none {
    /// No hint.
    #[inline(always)]
    pub(crate) fn read<T>(_at: *const T) {}

    /// No hint.
    ///
    /// # Safety
    /// None is needed.
    #[inline(always)]
    pub(crate) unsafe fn drop<T>(_at: *const T) {}
}

#[cfg(not(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, nori_loom, nori_portable))
)))]
pub(crate) use none::{drop, read};
