//! Which of a cluster's 16,384 hash slots a key lives in (Redis Cluster specification, 'Key distribution model').

use std::fmt;

/// One of the parts that a cluster spreads its keys over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HashSlot(u16);

impl HashSlot {
    /// How many there are.
    pub(super) const COUNT: u16 = 16_384;

    pub(super) fn new(number: u16) -> Option<Self> {
        (number < Self::COUNT).then_some(Self(number))
    }

    /// That of a key: CRC-16/XMODEM of what stands between its first `{` and the next `}`, or of the whole key if nothing does.
    pub(super) fn of(key: &[u8]) -> Self {
        Self(crc16(tag(key)) % Self::COUNT)
    }

    pub(super) fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for HashSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&byte| byte == b'{') else {
        return key;
    };
    let inside = &key[open + 1..];
    match inside.iter().position(|&byte| byte == b'}') {
        None | Some(0) => key,
        Some(close) => &inside[..close],
    }
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)]
    })
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
    }

    #[test]
    fn slots_as_the_server_says() {
        // From CLUSTER KEYSLOT.
        let of = |key| HashSlot::of(key).number();
        assert_eq!(of(&b"somekey"[..]), 11_058);
        assert_eq!(of(b"foo{hash_tag}"), 2_515);
        assert_eq!(of(b"hash_tag"), 2_515);
        assert_eq!(of(b""), 0);
    }

    #[test]
    fn tags_as_the_specification_has_them() {
        assert_eq!(tag(b"{user1000}.following"), b"user1000");
        assert_eq!(tag(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(tag(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(tag(b"foo{bar}{zap}"), b"bar");
        assert_eq!(tag(b"foo{bar"), b"foo{bar");
    }
}
