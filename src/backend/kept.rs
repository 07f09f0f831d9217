//! What is kept beside a value that loads need more of than a time to live: since when it is stored and until when it is fresh, a
//! validator, tags, and whether it stands for there being no value.
//!
//! As bytes this is an *envelope* around the value:
//!
//! | bytes | are |
//! |---|---|
//! | 0, 1 | `C1 4B`. No UTF-8 begins so, nor the header of a [`Codec`](super::Codec), which has `C1 4E` |
//! | 2 | the version of this layout: 2 with tags, 1 without. (Tags of version 1 have no version of their own: see below) |
//! | 3 | flags: 1 no value, 2 a validator; others are not known |
//! | 4–11, 12–19 | when it was stored, and until when it is fresh: milliseconds since 1970, all ones for ever |
//! | then, with a validator | its length (2 bytes) and its text |
//! | then | how many tags (1 byte), and of each its length (2), its text, and, since version 2, its own [`Version`] (16; zeros for none) |
//! | then | the value, as the codec wrote it. Where there is none: the integer 0 |
//!
//! Numbers have their most significant byte first. What is cut off, or of another version, or has another flag, is not known: it
//! cannot be decoded. A codec that encrypts authenticates the envelope with the value that is in it, so neither can be changed nor
//! exchanged; the envelope itself is not encrypted. A tag without a version of its own is as good as removed.

use super::tag::{MOST_TAGS, Tag, Version};
use crate::time::Ttl;
use std::time::Duration;

const MAGIC: [u8; 2] = [0xC1, b'K'];
/// Without tags.
const FIRST: u8 = 1;
/// With tags, and a version for each.
const SECOND: u8 = 2;
const NEGATIVE: u8 = 1 << 0;
const VALIDATOR: u8 = 1 << 1;

/// How long a validator may be, in bytes.
pub(super) const LONGEST_VALIDATOR: usize = 1024;

/// When an entry was stored and how long it is fresh, in milliseconds of the day's time; and whether it stands for no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) stored_at: u64,
    /// The first millisecond at which it is not.
    pub(super) fresh_until: u64,
    pub(super) is_negative: bool,
    /// Whether there are tags beside it, whose versions are to be looked at.
    pub(super) is_tagged: bool,
}

impl Times {
    pub(super) fn new(now: u64, ttl: Ttl, is_negative: bool) -> Self {
        let fresh_until = match ttl {
            Ttl::Never => u64::MAX,
            // A fraction counts as a whole one, as it does in stores.
            Ttl::After(ttl) => now.saturating_add(millis_rounded_up(ttl)),
        };
        Self {
            stored_at: now,
            fresh_until,
            is_negative,
            is_tagged: false,
        }
    }

    #[inline]
    pub(super) fn is_fresh(self, now: u64) -> bool {
        now < self.fresh_until
    }

    /// Whether this share of its fresh life is over; never, if it lives for ever.
    #[inline]
    pub(super) fn is_past(self, share: f64, now: u64) -> bool {
        // As numbers with a sign, which take one instruction each. What has no end has a negative life then, as has what was stored
        // before a clock was set back: neither is ever due.
        let life = self.fresh_until.wrapping_sub(self.stored_at).cast_signed();
        let passed = now.wrapping_sub(self.stored_at).cast_signed();
        let due = life as f64 * share;
        due > 0.0 && passed as f64 >= due
    }

    /// Whether it is, though no longer fresh, within a window behind that.
    #[inline]
    pub(super) fn is_within(self, window: Option<Duration>, now: u64) -> bool {
        let until = |window| self.fresh_until.saturating_add(millis_rounded_up(window));
        window.is_some_and(|window| now < until(window))
    }

    /// What is left of its fresh life.
    pub(super) fn left(self, now: u64) -> Ttl {
        match self.fresh_until {
            u64::MAX => Ttl::Never,
            until => Ttl::After(Duration::from_millis(until.saturating_sub(now))),
        }
    }
}

/// A duration in whole milliseconds.
pub(super) fn millis_rounded_up(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// All that is kept beside a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) times: Times,
    pub(super) validator: Option<Box<str>>,
    pub(super) tags: Box<[Tag]>,
}

impl Meta {
    pub(super) fn new(times: Times) -> Self {
        Self {
            times,
            validator: None,
            tags: Box::default(),
        }
    }

    pub(super) fn tagged(mut self, tags: Box<[Tag]>) -> Self {
        self.times.is_tagged = !tags.is_empty();
        self.tags = tags;
        self
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> u64 {
        let validator = self.validator.as_ref().map_or(0, |text| text.len());
        let tags = self.tags.iter().map(Tag::size);
        (size_of::<Self>() + validator + tags.sum::<usize>()) as u64
    }

    /// The envelope, up to the value. Lengths were checked when it was made.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let flags = [
            (self.times.is_negative, NEGATIVE),
            (self.validator.is_some(), VALIDATOR),
        ];
        let set = flags.iter().filter(|(is_set, _)| *is_set);
        let flags = set.fold(0, |flags, (_, flag)| flags | flag);
        let layout = if self.tags.is_empty() { FIRST } else { SECOND };
        let mut bytes = vec![MAGIC[0], MAGIC[1], layout, flags];
        bytes.extend_from_slice(&self.times.stored_at.to_be_bytes());
        bytes.extend_from_slice(&self.times.fresh_until.to_be_bytes());
        if let Some(validator) = &self.validator {
            write_text(validator, &mut bytes);
        }
        let tags = &self.tags[..self.tags.len().min(MOST_TAGS)];
        bytes.push(tags.len() as u8);
        for tag in tags {
            write_text(tag.name(), &mut bytes);
            let version = tag.version().map_or([0; 16], Version::to_bytes);
            bytes.extend_from_slice(&version);
        }
        bytes
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    debug_assert!(text.len() <= usize::from(u16::MAX));
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// What bytes begin with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start<'b> {
    /// No envelope.
    Plain,
    Envelope(Envelope<'b>),
    /// An envelope that is cut off, or that this version does not know.
    Unknown,
}

/// An envelope in the bytes of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Envelope<'b> {
    pub(super) times: Times,
    validator: Option<&'b str>,
    /// Each with its length, and checked.
    tags: &'b [u8],
    layout: u8,
    /// All of it: what is authenticated.
    pub(super) bytes: &'b [u8],
    pub(super) payload: &'b [u8],
}

impl<'b> Start<'b> {
    #[inline]
    pub(super) fn read(bytes: &'b [u8]) -> Self {
        if bytes.first() != Some(&MAGIC[0]) || bytes.get(1) != Some(&MAGIC[1]) {
            return Self::Plain;
        }
        match read_envelope(bytes) {
            Some(envelope) => Self::Envelope(envelope),
            None => Self::Unknown,
        }
    }
}

fn read_envelope(bytes: &[u8]) -> Option<Envelope<'_>> {
    let (&[_, _, layout @ (FIRST | SECOND), flags], rest) = bytes.split_first_chunk()? else {
        return None;
    };
    if flags & !(NEGATIVE | VALIDATOR) != 0 {
        return None;
    }
    let (&stored_at, rest) = rest.split_first_chunk()?;
    let (&fresh_until, mut rest) = rest.split_first_chunk()?;
    let mut validator = None;
    if flags & VALIDATOR != 0 {
        let (text, behind) = read_text(rest)?;
        validator = Some(text);
        rest = behind;
    }
    let (&tags, behind) = rest.split_first()?;
    let all_tags = behind;
    let mut rest = behind;
    for _ in 0..tags {
        rest = read_tag(layout, rest)?.2;
    }
    Some(Envelope {
        times: Times {
            stored_at: u64::from_be_bytes(stored_at),
            fresh_until: u64::from_be_bytes(fresh_until),
            is_negative: flags & NEGATIVE != 0,
            is_tagged: tags != 0,
        },
        layout,
        validator,
        tags: &all_tags[..all_tags.len() - rest.len()],
        bytes: &bytes[..bytes.len() - rest.len()],
        payload: rest,
    })
}

fn read_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (&len, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(len)))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

fn read_tag(layout: u8, bytes: &[u8]) -> Option<(&str, Option<Version>, &[u8])> {
    let (name, rest) = read_text(bytes)?;
    if layout == FIRST {
        return Some((name, None, rest));
    }
    let (&version, rest) = rest.split_first_chunk()?;
    Some((name, Version::from_bytes(version), rest))
}

impl Envelope<'_> {
    pub(super) fn to_meta(&self) -> Meta {
        Meta {
            times: self.times,
            validator: self.validator.map(Into::into),
            tags: self.to_tags().into(),
        }
    }

    pub(super) fn to_tags(&self) -> Vec<Tag> {
        let mut tags = Vec::new();
        let mut rest = self.tags;
        while let Some((name, version, behind)) = read_tag(self.layout, rest) {
            tags.push(Tag::new(name, version));
            rest = behind;
        }
        tags
    }
}

/// What stands behind the envelope, if there is one.
pub(super) fn payload(bytes: &[u8]) -> &[u8] {
    match Start::read(bytes) {
        Start::Envelope(envelope) => envelope.payload,
        Start::Plain | Start::Unknown => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metas() -> Vec<Meta> {
        let times = [
            Times::new(0, Ttl::Never, false),
            Times::new(7, Ttl::After(Duration::from_secs(300)), true),
            Times::new(u64::MAX, Ttl::After(Duration::MAX), false),
        ];
        let mut metas = Vec::new();
        for times in times {
            for validator in [None, Some(""), Some("W/\"ü\"")] {
                for tags in [vec![], vec!["users"], vec!["", "é", "users"]] {
                    let versions = [None, Some(Version::fresh()), Some(Version::fresh())];
                    let tags = tags.into_iter().zip(versions);
                    let meta = Meta {
                        validator: validator.map(Into::into),
                        ..Meta::new(times)
                    };
                    let tags = tags.map(|(name, version)| Tag::new(name, version));
                    metas.push(meta.tagged(tags.collect()));
                }
            }
        }
        metas
    }

    #[test]
    fn an_envelope_reads_as_it_was_written() {
        for meta in metas() {
            let head = meta.to_bytes();
            for payload in [&b""[..], b"null", b"\xC1K", b"\xC1N\x01"] {
                let bytes = [&head, payload].concat();
                let Start::Envelope(envelope) = Start::read(&bytes) else {
                    panic!("{meta:?}");
                };
                assert_eq!(envelope.to_meta(), meta);
                assert_eq!(envelope.times, meta.times);
                assert_eq!((envelope.bytes, envelope.payload), (&head[..], payload));
                assert_eq!(super::payload(&bytes), payload);
            }
            for len in 2..head.len() {
                assert_eq!(
                    Start::read(&head[..len]),
                    Start::Unknown,
                    "{len} of {meta:?}"
                );
            }
            assert!(std::str::from_utf8(&head).is_err());
            assert!(serde_json::from_slice::<serde_json::Value>(&head).is_err());
        }
    }

    #[test]
    fn what_is_not_known_is_no_envelope() {
        let bytes = Meta::new(Times::new(1, Ttl::Never, false)).to_bytes();
        for (at, wrong) in [(2, 0), (2, 3), (3, 4), (3, 0x80)] {
            let mut bytes = bytes.clone();
            bytes[at] = wrong;
            assert_eq!(Start::read(&bytes), Start::Unknown);
        }
        for plain in [&b""[..], b"\xC1", b"\xC1N", b"{}", b"K\xC1"] {
            assert_eq!(Start::read(plain), Start::Plain);
            assert_eq!(payload(plain), plain);
        }
        // A validator that is no text.
        let with = Meta {
            validator: Some("é".into()),
            ..Meta::new(Times::new(1, Ttl::Never, false))
        };
        let mut bytes = with.to_bytes();
        assert_eq!(&bytes[22..24], "é".as_bytes());
        bytes[23] = b'x';
        assert_eq!(Start::read(&bytes), Start::Unknown);
    }

    #[test]
    fn tags_of_the_first_layout_have_no_versions() {
        let mut bytes = Meta::new(Times::new(1, Ttl::Never, false)).to_bytes();
        assert_eq!(bytes.pop(), Some(0));
        bytes.extend_from_slice(b"\x02\x00\x01a\x00\x02bcvalue");
        let Start::Envelope(envelope) = Start::read(&bytes) else {
            panic!("{bytes:?}");
        };
        assert!(envelope.times.is_tagged);
        let tags = [Tag::new("a", None), Tag::new("bc", None)];
        assert_eq!(envelope.to_tags(), tags);
        assert_eq!(envelope.payload, b"value");
    }

    #[test]
    fn times_at_the_ends_of_their_range() {
        let second = Ttl::After(Duration::from_secs(1));
        let times = Times::new(1_000, second, false);
        assert!(times.is_fresh(1_999) && !times.is_fresh(2_000));
        assert!(times.is_past(0.8, 1_800) && !times.is_past(0.8, 1_799));
        let window = Some(Duration::from_millis(5));
        assert!(times.is_within(window, 2_004) && !times.is_within(window, 2_005));
        assert!(!times.is_within(None, 2_000));
        assert_eq!(times.left(1_400), Ttl::After(Duration::from_millis(600)));
        let ever = Times::new(1_000, Ttl::Never, false);
        assert!(ever.is_fresh(u64::MAX - 1));
        assert!(!ever.is_past(0.5, u64::MAX - 1));
        assert_eq!(ever.left(5), Ttl::Never);
        let short = Times::new(0, Ttl::After(Duration::from_nanos(1)), false);
        assert_eq!(short.fresh_until, 1);
        // A clock that was set back: it has expired, and is not to be refreshed.
        let back = Times {
            stored_at: 10,
            fresh_until: 5,
            is_negative: false,
            is_tagged: false,
        };
        assert!(!back.is_past(0.5, 4) && !back.is_past(0.5, 10));
    }
}
