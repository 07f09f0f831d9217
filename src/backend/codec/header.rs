//! The header of what is not plain JSON.
//!
//! Its first byte begins neither JSON nor any other UTF-8, nor MessagePack, so it is not mistaken for what the Python original
//! writes, and what the original writes is not mistaken for it.

/// The first bytes. `C1` is a byte that UTF-8 never has.
const MAGIC: [u8; 2] = [0xC1, b'N'];
const COMPRESSED: u8 = 1 << 0;
const SEALED: u8 = 1 << 1;

/// How many bytes a header has.
pub(super) const LEN: usize = 8;

/// What it says of the value behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The [`Format`](super::format::Format)'s id.
    pub(super) format: u8,
    pub(super) is_compressed: bool,
    pub(super) is_sealed: bool,
    /// The schema's; 0 if it has none.
    pub(super) version: u32,
}

/// What bytes begin with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start<'b> {
    /// No header: JSON, or anything else.
    Plain,
    /// A header, and what is behind it.
    Header(Header, &'b [u8]),
    /// A header that is cut off, or says what this version does not know.
    Unknown,
}

impl Header {
    pub(super) fn to_bytes(self) -> [u8; LEN] {
        let flags = [(self.is_compressed, COMPRESSED), (self.is_sealed, SEALED)];
        let set = flags.iter().filter(|(is_set, _)| *is_set);
        let flags = set.fold(0, |flags, (_, flag)| flags | flag);
        let [v0, v1, v2, v3] = self.version.to_be_bytes();
        [MAGIC[0], MAGIC[1], self.format, flags, v0, v1, v2, v3]
    }

    pub(super) fn read(bytes: &[u8]) -> Start<'_> {
        if bytes.first() != Some(&MAGIC[0]) {
            return Start::Plain;
        }
        let Some((&[_, magic, format, flags, v0, v1, v2, v3], rest)) =
            bytes.split_first_chunk::<LEN>()
        else {
            return Start::Unknown;
        };
        if magic != MAGIC[1] || flags & !(COMPRESSED | SEALED) != 0 {
            return Start::Unknown;
        }
        let header = Self {
            format,
            is_compressed: flags & COMPRESSED != 0,
            is_sealed: flags & SEALED != 0,
            version: u32::from_be_bytes([v0, v1, v2, v3]),
        };
        Start::Header(header, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_as_it_was_written() {
        for format in [0, 1, 0xff] {
            for version in [0, 1, 0x0102_0304, u32::MAX] {
                for flags in 0..4 {
                    let header = Header {
                        format,
                        is_compressed: flags & 1 != 0,
                        is_sealed: flags & 2 != 0,
                        version,
                    };
                    let bytes = [&header.to_bytes()[..], b"rest"].concat();
                    assert_eq!(Header::read(&bytes), Start::Header(header, b"rest"));
                }
            }
        }
    }

    #[test]
    fn what_is_not_known_is_no_header() {
        let header = Header {
            format: 1,
            is_compressed: true,
            is_sealed: false,
            version: 7,
        };
        let bytes = header.to_bytes();
        for len in 1..LEN {
            assert_eq!(Header::read(&bytes[..len]), Start::Unknown, "{len} bytes");
        }
        for flag in 2..8 {
            let mut bytes = bytes;
            bytes[3] |= 1 << flag;
            assert_eq!(Header::read(&bytes), Start::Unknown, "flag {flag}");
        }
        let mut other = bytes;
        other[1] ^= 1;
        assert_eq!(Header::read(&other), Start::Unknown);
        assert_eq!(Header::read(b""), Start::Plain);
        assert!(std::str::from_utf8(&bytes).is_err());
        assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_err());
    }
}
