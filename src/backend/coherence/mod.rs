//! Copies of what a store elsewhere has: [how one learns](Coherence) that the original was written, and when a copy may be shown
//! (`validity`).

#[cfg(feature = "redis")]
pub(crate) mod validity;

/// How a near tier learns of writes by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Coherence {
    /// The servers remember what this process has read, and say when that is written. The default.
    ///
    /// They remember a million keys for all clients together (`tracking-table-max-keys`), and forget some when there are more, of
    /// which copies are then out of date.
    #[default]
    Tracking,
    /// The servers say which keys with the backend's prefix are written, whether this process has read them or not. They remember
    /// nothing; for many processes that read the same, and few writes.
    Broadcast,
    /// Those who write say so themselves, on a channel that all processes subscribe to. For servers, or users on them, that may not
    /// track.
    ///
    /// The bound is weaker: of what is written by others than two tiers with this setting and the same prefix (a
    /// [`RedisCacheBackend`](crate::RedisCacheBackend) alone, another program, the server that evicts) nobody says anything, and it is seen when the
    /// near tier's own time to live is over. [`docs::tiers`](crate::docs::tiers) says what each write costs.
    Backplane,
    /// Not at all: a copy is used until the near tier's own time to live is over, whatever was written meanwhile. For servers, or
    /// users on them, that may not track. This process still reads its own writes at once.
    NearTtl,
}
