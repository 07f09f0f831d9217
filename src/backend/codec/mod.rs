//! [`Codec`]: how values become bytes, and bytes values.
//!
//! A codec has a *format*, and may have a schema version, compression and encryption. What comes out as plain JSON is stored as
//! that: bytes that the Python original reads, and that it may have written. Anything else is stored behind a header:
//!
//! | bytes | are |
//! |---|---|
//! | 0, 1 | `C1 4E`. No UTF-8 begins so, hence no JSON and nothing that the original writes |
//! | 2 | the format: 0 integer (decimal text), 1 JSON, 2 bytes, 3 postcard, 4 MessagePack |
//! | 3 | flags: 1 compressed (one zstd frame that says its size), 2 encrypted; others are not known |
//! | 4–7 | the schema version, 0 for none |
//! | then, if encrypted | the key's id (4 bytes), the nonce (12) … and the tag (16) at the end |
//! | then | the value in its format; compressed first, encrypted last |
//!
//! Numbers have their most significant byte first. A codec reads what it could have written, and nothing else: another format,
//! version or flag is a [`DecodeError`]. There are two exceptions. A 64-bit integer is stored bare by every codec that does not
//! encrypt, because that is what counters are, and all of those read it, as one of the integer types. And a codec with compression
//! also reads what is not compressed.
//!
//! What loads keep beside a value is in an envelope around all this ([`kept`](super::kept)). It is authenticated with a value that is
//! encrypted.
//!
//! Typed calls encode with the codec of their backend or view (`typed/write.rs`). The store decodes nothing: it gives back the
//! bytes, with the codec that is to read them, and passes everything that it is handed through [`Codec::to_stored`]. So what goes
//! around the typed calls, responses for one, is compressed and encrypted too, and never stored in the clear by mistake.
//!
//! | file | what is in it |
//! |---|---|
//! | `header` | the header, both ways |
//! | `format` | which formats there are |
//! | `json`, `bytes`, `postcard`, `msgpack` | the formats |
//! | `place` | where a value is stored, which encrypted ones belong to |
//! | `limits` | what readers of binary formats put up with |
//! | `zstd`, `encryption` | what may be around them |

mod bytes;
mod encryption;
mod format;
mod header;
pub(super) mod json;
#[cfg(any(feature = "postcard", feature = "msgpack"))]
mod limits;
mod msgpack;
mod place;
mod postcard;
mod zstd;

#[cfg(feature = "encryption")]
pub use encryption::Keys;
#[cfg(not(feature = "encryption"))]
use encryption::Keys;
pub(super) use format::Format;

use super::kept::{self, Meta};
use super::undecodable::{DecodeError, Reason};
use super::value::{Value, from_integer};
use crate::error::Error;
use header::{Header, Start};
use place::Place;
use serde_core::{Serialize, de::DeserializeOwned};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use zstd::Zstd;

/// How values are stored: JSON, unless something else is asked for.
///
/// For a backend (`codec` of its builder, [in memory](crate::MemoryCacheBackendBuilder::codec) and on Redis), or
/// [for some calls](crate::CacheBackendExt::with_codec).
///
/// | | reads | allows | feature |
/// |---|---|---|---|
/// | [`json()`](Self::json) | the Python original, anybody; structs that gain and lose fields | what JSON has | |
/// | `msgpack()` | structs that gain and lose fields | all that serde has | `msgpack` |
/// | `postcard()` | the very type that was stored | all that serde has | `postcard` |
/// | [`bytes()`](Self::bytes) | bytes and texts | bytes and texts | |
///
/// What one codec wrote, another does not read: it is a miss, as is everything that [cannot be
/// decoded](crate::CacheBackendExt#what-cannot-be-decoded). So a backend may change its codec at the price of a cold cache. Only
/// integers are stored the same by all that do not encrypt, as bare numbers, which is what counters are.
///
/// Clones share everything.
///
/// ```
/// use nori_cache::{CacheBackendExt, Codec, MemoryCacheBackend, Ttl};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// let backend = MemoryCacheBackend::new(100);
/// let users = backend.with_codec(&Codec::json().version(2)); // the second form of what is stored
/// users.set("user:42", ("Ana", 30), Ttl::Never).await?;
/// assert!(users.get::<(String, u8)>("user:42").await?.is_some());
///
/// let next = backend.with_codec(&Codec::json().version(3));
/// assert!(next.get::<(String, u8)>("user:42").await?.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Codec {
    /// `None` for plain JSON.
    settings: Option<Arc<Settings>>,
    /// What encrypted values belong to beside their key.
    prefix: Option<Arc<str>>,
}

#[derive(Clone)]
struct Settings {
    format: Format,
    version: u32,
    limit: usize,
    zstd: Option<Zstd>,
    keys: Option<Keys>,
}

const PLAIN: Settings = Settings {
    format: Format::Json,
    version: 0,
    limit: 64 << 20,
    zstd: None,
    keys: None,
};

impl Codec {
    /// Values as JSON: what the Python original reads and writes, and the default everywhere.
    ///
    /// With a [`version`](Self::version), with encryption, and where it was compressed, JSON has a header, and the original does
    /// not read it.
    pub const fn json() -> Self {
        Self {
            settings: None,
            prefix: None,
        }
    }

    /// Raw bytes: `bytes::Bytes` (with its feature `serde`), what `serde_bytes` has, `Vec<u8>`, byte arrays, and texts.
    ///
    /// They are stored as they are, behind a header of eight bytes. `Vec<u8>` and arrays are copied byte by byte, as serde hands them
    /// over, the others at once. Other types are an error ([`is_encoding`](crate::Error::is_encoding)). For backends that store other values too, this is a codec
    /// [per call](crate::CacheBackendExt::with_codec).
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, Codec, MemoryCacheBackend, Ttl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend = MemoryCacheBackend::new(100);
    /// let images = backend.with_codec(&Codec::bytes());
    /// images.set("logo", bytes::Bytes::from_static(b"\x89PNG"), Ttl::Never).await?;
    /// assert_eq!(images.get::<bytes::Bytes>("logo").await?.unwrap(), &b"\x89PNG"[..]);
    /// assert_eq!(images.get::<Vec<u8>>("logo").await?.unwrap(), b"\x89PNG");
    /// # Ok(())
    /// # }
    /// ```
    pub fn bytes() -> Self {
        Self::of(Format::Bytes)
    }

    fn of(format: Format) -> Self {
        Self::json().with(|settings| settings.format = format)
    }

    /// The version of what is stored: a number that is to change when the types do. By default, and with 0, values have none.
    ///
    /// What has another version, or none, is a miss. For one type among many, this is a codec
    /// [per call](crate::CacheBackendExt::with_codec). Bare integers (of the types `i8` to `i64`, `u8` to `u64`, `isize` and
    /// `usize`) are counters, which have no version unless they are encrypted.
    #[must_use]
    pub fn version(self, version: u32) -> Self {
        self.with(|settings| settings.version = version)
    }

    /// How many bytes a compressed value may become; 64 MiB by default. Larger values are not compressed when they are stored,
    /// and are a miss when they are read, before anything is allocated for them.
    ///
    /// In a binary format it is also how many elements that take no bytes a value may have.
    #[must_use]
    pub fn limit(self, bytes: usize) -> Self {
        self.with(|settings| settings.limit = bytes)
    }

    /// The prefix of the store's keys, for stores of your own: to an encrypted value the cache's key belongs, and this.
    #[must_use]
    pub fn for_prefix(self, prefix: &str) -> Self {
        let prefix = (!prefix.is_empty()).then(|| prefix.into());
        Self { prefix, ..self }
    }

    /// A codec as this one, for values of the same store as another one's.
    pub(super) fn in_place_of(&self, other: Option<&Self>) -> Self {
        let prefix = match other {
            Some(other) => &other.prefix,
            None => &self.prefix,
        };
        Self {
            settings: self.settings.clone(),
            prefix: prefix.clone(),
        }
    }

    /// The same around JSON without a version; `None` if that is what this is.
    #[cfg(feature = "tower")]
    pub(super) fn around_json(&self) -> Option<Self> {
        let settings = self.settings();
        let is_json = settings.format == Format::Json && settings.version == 0;
        (!is_json).then(|| {
            self.clone().with(|settings| {
                settings.format = Format::Json;
                settings.version = 0;
            })
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        let settings = self.settings.get_or_insert_with(|| Arc::new(PLAIN));
        change(Arc::make_mut(settings));
        self
    }

    fn settings(&self) -> &Settings {
        self.settings.as_deref().unwrap_or(&PLAIN)
    }

    /// Whether values are stored encrypted.
    pub fn encrypts(&self) -> bool {
        self.settings().keys.is_some()
    }

    /// Whether plain JSON is something that this codec writes.
    fn writes_plain_json(&self) -> bool {
        let settings = self.settings();
        settings.format == Format::Json && settings.version == 0 && settings.keys.is_none()
    }
}

/// For stores that keep bytes.
impl Codec {
    /// A value as it is to be stored under this key, with the codec of the store: an
    /// [encoded](Value::encoded) one, or a bare integer. One that is encoded already stays as it is.
    ///
    /// # Errors
    /// [`Error::is_encoding`] if the format cannot represent it; or if this codec encrypts, and the value is encoded and not
    /// encrypted.
    pub fn to_stored(&self, key: &str, value: &Value) -> Result<Value, Error> {
        if let Some((value, meta)) = value.parts() {
            return self.enveloped(meta, |envelope| self.stored_in(key, envelope, value));
        }
        self.stored_in(key, &[], value)
    }

    /// A value as it is to be stored in this envelope, if in any.
    fn stored_in(&self, key: &str, envelope: &[u8], value: &Value) -> Result<Value, Error> {
        let place = Place { key, envelope };
        if let Some(integer) = value.bare_integer() {
            return self.integer(place, integer);
        }
        match value.typed() {
            Some(typed) => self.written(place, self.settings().format, |format, out| {
                typed.encode(format, out)
            }),
            None if self.encrypts() && !is_sealed(&value.encode()?) => Err(Error::encoding(
                "the store's codec encrypts, and this is not encrypted",
            )),
            None => Ok(value.clone().unread()),
        }
    }

    /// A value that was found under this key in a store of this codec: it reads as a type if the codec wrote it.
    ///
    /// ```
    /// use nori_cache::{Codec, Value};
    ///
    /// let codec = Codec::json().version(2);
    /// let stored = codec.to_stored("key", &Value::new("text")?)?;
    /// let bytes = stored.encode()?.into_owned(); // for the store, and back
    /// let found = codec.found("key", Value::encoded(bytes));
    /// assert_eq!(found.to::<String>()?, "text");
    /// assert!(found.to::<u8>().unwrap_err().is_decoding());
    /// # Ok::<(), nori_cache::Error>(())
    /// ```
    pub fn found(&self, key: &str, value: Value) -> Value {
        let value = value.unread();
        let is_encoded = value.typed().is_none() && value.bare_integer().is_none();
        // Plain JSON needs nobody to read it. With compression or limits, bytes do.
        if self.settings.is_none() || (self.writes_plain_json() && !is_encoded) {
            return value;
        }
        value.read_by(self, key)
    }
}

impl Codec {
    /// A caller's value as it is to be stored. `integer`: the integer that it is, if it is of one of the integer types.
    pub(super) fn encode<T>(
        &self,
        key: &str,
        value: &T,
        integer: Option<i64>,
    ) -> Result<Value, Error>
    where
        T: Serialize + ?Sized,
    {
        self.encode_in(Place::bare(key), value, integer)
    }

    /// As [`encode`](Self::encode), with what is to be kept beside it.
    pub(super) fn encode_kept<T>(
        &self,
        key: &str,
        value: &T,
        integer: Option<i64>,
        meta: &Meta,
    ) -> Result<Value, Error>
    where
        T: Serialize + ?Sized,
    {
        self.enveloped(meta, |envelope| {
            self.encode_in(Place { key, envelope }, value, integer)
        })
    }

    fn encode_in<T>(
        &self,
        place: Place<'_>,
        value: &T,
        integer: Option<i64>,
    ) -> Result<Value, Error>
    where
        T: Serialize + ?Sized,
    {
        match integer {
            Some(integer) => self.integer(place, integer),
            None => self.written(place, self.settings().format, |format, out| {
                format.encode(value, out)
            }),
        }
    }

    /// What `stored` makes, in an envelope.
    fn enveloped(
        &self,
        meta: &Meta,
        stored: impl FnOnce(&[u8]) -> Result<Value, Error>,
    ) -> Result<Value, Error> {
        let envelope = meta.to_bytes();
        let stored = stored(&envelope)?;
        Ok(Value::encoded([&envelope[..], &stored.encode()?].concat()))
    }

    fn integer(&self, place: Place<'_>, integer: i64) -> Result<Value, Error> {
        if !self.encrypts() {
            return Ok(Value::integer(integer));
        }
        let bytes = self.wrapped(place, format::INTEGER, false, |mut out| {
            out.extend_from_slice(integer.to_string().as_bytes());
            Ok(out)
        });
        Ok(Value::encoded(bytes?))
    }

    fn written(
        &self,
        place: Place<'_>,
        format: Format,
        write: impl FnOnce(Format, Vec<u8>) -> Result<Vec<u8>, Error>,
    ) -> Result<Value, Error> {
        let is_bare = self.writes_plain_json();
        let bytes = self.wrapped(place, format.id(), is_bare, |out| write(format, out))?;
        Ok(Value::encoded(bytes))
    }

    /// What `write` writes behind what it gets, with a header and all that this codec puts around it. `is_bare`: no header is
    /// needed but for what is compressed.
    fn wrapped(
        &self,
        place: Place<'_>,
        format: u8,
        is_bare: bool,
        write: impl FnOnce(Vec<u8>) -> Result<Vec<u8>, Error>,
    ) -> Result<Vec<u8>, Error> {
        let settings = self.settings();
        let room_behind = match settings.keys {
            Some(_) => header::LEN + encryption::PREFIX,
            None => header::LEN,
        };
        let room = if is_bare { 0 } else { room_behind };
        let mut bytes = write(vec![0; room])?;
        let compressed = settings
            .zstd
            .and_then(|zstd| zstd.compress(&bytes[room..], settings.limit));
        let is_compressed = compressed.is_some();
        if let Some(compressed) = compressed {
            bytes.clear();
            bytes.resize(room_behind, 0);
            bytes.extend_from_slice(&compressed);
        } else if is_bare {
            return Ok(bytes);
        }
        let header = Header {
            format,
            is_compressed,
            is_sealed: settings.keys.is_some(),
            version: settings.version,
        };
        let header = header.to_bytes();
        bytes[..header::LEN].copy_from_slice(&header);
        match &settings.keys {
            Some(keys) => keys.seal(&header, &self.associated(place), bytes, header::LEN),
            None => Ok(bytes),
        }
    }

    /// Reads what was stored under a key. The error's cause is a [`DecodeError`], or the format's own where nothing is encrypted.
    pub(super) fn decode<T>(&self, key: &str, bytes: &[u8]) -> Result<T, Error>
    where
        T: DeserializeOwned + 'static,
    {
        let settings = self.settings();
        let (place, bytes) = match kept::Start::read(bytes) {
            kept::Start::Plain => (Place::bare(key), bytes),
            kept::Start::Envelope(found) => {
                let envelope = found.bytes;
                (Place { key, envelope }, found.payload)
            }
            kept::Start::Unknown => return Err(Error::decoding(DecodeError::foreign())),
        };
        let (header, rest) = match Header::read(bytes) {
            Start::Header(header, rest) => (header, rest),
            Start::Unknown => return Err(Error::decoding(DecodeError::foreign())),
            Start::Plain if self.writes_plain_json() => return json::decode(bytes),
            Start::Plain if self.encrypts() => return Err(Error::decoding(DecodeError::foreign())),
            Start::Plain => return integer(bytes),
        };
        let is_integer = header.format == format::INTEGER;
        let is_bare = self.writes_plain_json() && !header.is_compressed;
        let could_be_ours = header.is_sealed == settings.keys.is_some()
            && (!header.is_compressed || settings.zstd.is_some())
            && (header.format == settings.format.id() || (is_integer && header.is_sealed))
            && !is_bare;
        if !could_be_ours {
            return Err(Error::decoding(DecodeError::foreign()));
        }
        if header.version != settings.version {
            let (found, wanted) = (header.version, settings.version);
            let text = format!("it has schema version {found}, not {wanted}");
            return Err(Error::decoding(DecodeError::new(Reason::Version, text)));
        }
        let plain = self
            .unwrapped(place, header, rest)
            .map_err(Error::decoding)?;
        let read = if is_integer {
            integer(&plain)
        } else {
            // What takes a byte is bounded by the bytes.
            let elements = settings.limit.max(plain.len());
            settings.format.decode(&plain, elements)
        };
        // The formats quote what they cannot read, and that was encrypted for a reason.
        read.map_err(|error| match header.is_sealed {
            true => Error::decoding(DecodeError::new(
                Reason::Malformed,
                "what it holds is of another form",
            )),
            false => error,
        })
    }

    fn unwrapped<'b>(
        &self,
        place: Place<'_>,
        header: Header,
        rest: &'b [u8],
    ) -> Result<Cow<'b, [u8]>, DecodeError> {
        let settings = self.settings();
        let mut bytes = Cow::Borrowed(rest);
        if let Some(keys) = &settings.keys {
            bytes = Cow::Owned(keys.open(&header.to_bytes(), &self.associated(place), &bytes)?);
        }
        if let (true, Some(zstd)) = (header.is_compressed, settings.zstd) {
            bytes = Cow::Owned(zstd.decompress(&bytes, settings.limit)?);
        }
        Ok(bytes)
    }

    fn associated(&self, place: Place<'_>) -> Vec<u8> {
        place.associated(self.prefix.as_deref().unwrap_or_default())
    }
}

/// A bare integer, for one of the integer types.
fn integer<T: 'static>(bytes: &[u8]) -> Result<T, Error> {
    json::integer(bytes)
        .and_then(from_integer)
        .ok_or_else(|| Error::decoding(DecodeError::foreign()))
}

fn is_sealed(bytes: &[u8]) -> bool {
    matches!(Header::read(kept::payload(bytes)), Start::Header(header, _) if header.is_sealed)
}

impl fmt::Debug for Codec {
    /// Of keys it shows the ids.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.settings();
        f.debug_struct("Codec")
            .field("format", &settings.format.name())
            .field("version", &settings.version)
            .field("zstd", &settings.zstd)
            .field("keys", &settings.keys)
            .field("limit", &settings.limit)
            .finish()
    }
}
