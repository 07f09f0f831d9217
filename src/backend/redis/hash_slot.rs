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

    /// Four bytes with which a key behind them is in the slot of the key before them: the mark, and two that make up for it. None of them
    /// ends a tag.
    pub(super) fn neighbour(key: &[u8], mark: [u8; 2]) -> [u8; 4] {
        let [first, second] = mark;
        if tag(key).len() < key.len() {
            return [first, second, 0, 0];
        }
        let wanted = Self::of(key).0;
        let so_far = mark.iter().fold(crc16(key), |crc, &byte| step(crc, byte));
        // Two bytes reach each checksum, in one way, and four checksums lead to the slot.
        let sums = (0..=u16::MAX / Self::COUNT).map(|nth| wanted + nth * Self::COUNT);
        let pairs = sums.map(|sum| (step_back(step_back(sum)) ^ so_far).to_be_bytes());
        let mut pairs = pairs.filter(|pair| !pair.contains(&b'}'));
        // There is one: see the test.
        let [third, fourth] = pairs.next().unwrap_or_default();
        [first, second, third, fourth]
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
    bytes.iter().fold(0, |crc, &byte| step(crc, byte))
}

/// The checksum with one byte more.
fn step(crc: u16, byte: u8) -> u16 {
    (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)]
}

/// The checksum from which a zero byte leads to this one.
fn step_back(crc: u16) -> u16 {
    let [high, low] = crc.to_be_bytes();
    // Low bytes of the table are all different.
    let before = BY_LOW_BYTE[usize::from(low)];
    let [table_high, _] = TABLE[usize::from(before)].to_be_bytes();
    u16::from_be_bytes([before, high ^ table_high])
}

/// Where in the table a low byte is.
const BY_LOW_BYTE: [u8; 256] = {
    let mut places = [0; 256];
    let mut place = 0;
    while place < 256 {
        places[(TABLE[place] & 0xFF) as usize] = place as u8;
        place += 1;
    }
    places
};

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
    fn steps_go_back() {
        for crc in 0..=u16::MAX {
            assert_eq!(step_back(step(crc, 0)), crc);
        }
    }

    #[test]
    fn neighbours_are_in_the_same_slot() {
        let mark = [0xC1, b'L'];
        let is_beside = |key: &[u8]| {
            let suffix = HashSlot::neighbour(key, mark);
            let beside = [key, &suffix].concat();
            assert_eq!(HashSlot::of(&beside), HashSlot::of(key), "{key:?}");
            assert_eq!(suffix[..2], mark);
            assert!(!suffix.contains(&b'}'));
        };
        for key in [
            "", "k", "cache:k", "{", "}", "{}", "a{b", "a{b}c", "{}{x}", "}{", "a}b", "a{", "{{}}",
            "p{:k}", "ü",
        ] {
            is_beside(key.as_bytes());
        }
        // Two bytes reach every checksum.
        for bytes in 0..=u16::MAX {
            is_beside(&bytes.to_be_bytes());
        }
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
