//! Where a value is stored.

/// Under which key, and in which envelope, if in any: else that is empty.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) key: &'a str,
    pub(super) envelope: &'a [u8],
}

impl<'a> Place<'a> {
    pub(super) fn bare(key: &'a str) -> Self {
        Self { key, envelope: &[] }
    }

    /// What is authenticated with an encrypted value that is stored here. The length of the prefix is part of it, so that no two
    /// keys have the same bytes. So is, where there is an envelope, that there is one, and the length of the key.
    pub(super) fn associated(self, prefix: &str) -> Vec<u8> {
        const IN_ENVELOPE: u64 = 1 << 63;
        let Self { key, envelope } = self;
        let len = prefix.len() as u64;
        if envelope.is_empty() {
            return [&len.to_be_bytes(), prefix.as_bytes(), key.as_bytes()].concat();
        }
        let (marked, key_len) = (len | IN_ENVELOPE, key.len() as u64);
        [
            &marked.to_be_bytes(),
            &key_len.to_be_bytes(),
            prefix.as_bytes(),
            key.as_bytes(),
            envelope,
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_places_are_authenticated_alike() {
        let parts = [
            "",
            "a",
            "b",
            ":",
            "ab",
            "a:",
            "\0\0\0\0\0\0\0\u{1}",
            "\u{1}",
        ];
        let mut seen = HashSet::new();
        for prefix in parts {
            for key in parts {
                for envelope in parts {
                    let envelope = envelope.as_bytes();
                    let associated = Place { key, envelope }.associated(prefix);
                    assert!(seen.insert(associated), "{prefix:?} {key:?} {envelope:?}");
                }
            }
        }
    }
}
