//! Numbers: a hash that is the same in all processes, and one that nobody has had before.

use crate::response::clock::UnixMillis;

/// 64-bit FNV-1a of some texts.
pub(crate) fn fnv1a<'t>(texts: impl IntoIterator<Item = &'t [u8]>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in texts.into_iter().flat_map(|text| text.iter().chain(&[0])) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

/// A number that nobody has had before; not 0.
pub(crate) fn random(now: UnixMillis) -> u64 {
    ahash::RandomState::new().hash_one(now.get()).max(1)
}
