//! [`Value`]: what callers hand to stores, and get back.
//!
//! A value is in one of five forms. *Typed*: the caller's own `T` behind a shared pointer, with the means to write it; a store in
//! memory keeps that, so that a hit for the same `T` is a clone and nothing is ever serialised. *Encoded*: bytes, as a store
//! elsewhere keeps them. *Integer*: what counters are, and every integer type that fits. *Found*: any of these, with the [`Codec`]
//! that is to read it; without one, encoded bytes are JSON. One that is shown to many also remembers what it was decoded as. *Kept*:
//! a value with what loads keep beside it, for stores that do not encode; encoded, it has an envelope ([`kept`](super::kept)).
//!
//! A value reads the same in each form: as `T` if it is one, else through JSON. What JSON cannot represent is an error when the
//! value is made, whether or not anyone will ever encode it: otherwise a program that runs on memory would fail on Redis.

use super::codec::{Codec, Format, json};
use super::kept::{Meta, Start, Times};
use super::refreshing::Refreshing;
use super::representable;
use super::tag::Tag;
use super::tag_changes::Checked;
use super::undecodable::DecodeError;
use crate::error::Error;
use crate::sync::OnceLock;
use serde_core::{Serialize, de::DeserializeOwned};
use std::any::{Any, TypeId, type_name};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// What can be both stored and read back: any serde type that owns its data and can be cloned. `Arc<T>` is one too.
pub trait Cacheable: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Cacheable for T {}

/// A value on its way to or from a [`CacheBackend`](super::CacheBackend). Clones share it.
///
/// ```
/// use nori_cache::Value;
///
/// let typed = Value::new(vec![1.5, 2.0])?;
/// assert_eq!(typed.to::<Vec<f64>>()?, [1.5, 2.0]);        // a clone of the vector
/// assert_eq!(&*typed.encode()?, b"[1.5,2.0]");
///
/// let stored = Value::encoded(*b"[1.5, 2]");              // as another program wrote it
/// assert_eq!(stored.to::<Vec<f64>>()?, [1.5, 2.0]);
/// assert!(Value::new(f64::NAN).unwrap_err().is_encoding());
/// # Ok::<(), nori_cache::Error>(())
/// ```
#[derive(Clone)]
pub struct Value(Form);

#[derive(Clone)]
enum Form {
    /// With about how many bytes it takes.
    Typed(Arc<dyn Typed>, u32),
    Encoded(Arc<Vec<u8>>),
    Integer(i64),
    Found(Arc<Found>),
    Kept(Arc<Kept>),
}

/// On what it depends whether a value may be shown.
pub(super) enum Condition<'v> {
    Always,
    /// While its tags hold, which was last looked at then. Whoever has found that they do knows that it is fresh, too.
    Tags(&'v Checked),
    /// Its times are to be looked at.
    Other,
}

/// A value, and what is kept beside it.
struct Kept {
    value: Value,
    meta: Meta,
    /// When its tags were last found to hold.
    checked: Checked,
    refreshing: Refreshing,
}

/// A value that a codec is to read. It is not one of these itself. What a hit looks at comes first, side by side.
#[repr(C)]
struct Found {
    /// Those of its envelope, if it has one.
    times: Option<Times>,
    /// When the tags were last found to hold.
    checked: Checked,
    /// What it was first decoded as by those who share it, where it is shown to many.
    decoded: Option<OnceLock<Arc<dyn Any + Send + Sync>>>,
    refreshing: Refreshing,
    value: Value,
    codec: Codec,
    key: Box<str>,
    /// Those of its envelope.
    tags: Box<[Tag]>,
}

impl Found {
    /// The value, if it was decoded as a `T` before.
    #[inline]
    fn decoded<T: 'static>(&self) -> Option<&T> {
        self.decoded.as_ref()?.get()?.downcast_ref()
    }

    /// As [`read`](Self::read), for all who share this.
    fn read_shared<T>(&self) -> Result<Arc<T>, Error>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let Some(decoded) = &self.decoded else {
            return self.read().map(Arc::new);
        };
        if let Some(before) = decoded.get()
            && let Ok(value) = Arc::clone(before).downcast()
        {
            return Ok(value);
        }
        let value = Arc::new(self.read::<T>()?);
        // If another type was first, it stays.
        let _ = decoded.set(Arc::clone(&value) as _);
        Ok(value)
    }

    fn read<T: DeserializeOwned + 'static>(&self) -> Result<T, Error> {
        let foreign = || Error::decoding(DecodeError::foreign());
        match &self.value.0 {
            Form::Encoded(bytes) => self.codec.decode(&self.key, bytes),
            Form::Integer(integer) if !self.codec.encrypts() => {
                from_integer(*integer).ok_or_else(foreign)
            }
            _ => Err(foreign()),
        }
    }
}

/// A user's value that knows how to write itself.
pub(super) trait Typed: Any + Send + Sync {
    /// Behind what is in `out`.
    fn encode(&self, format: Format, out: Vec<u8>) -> Result<Vec<u8>, Error>;
    fn type_name(&self) -> &'static str;
}

impl<T: Serialize + Send + Sync + 'static> Typed for T {
    fn encode(&self, format: Format, out: Vec<u8>) -> Result<Vec<u8>, Error> {
        format.encode(self, out)
    }

    fn type_name(&self) -> &'static str {
        type_name::<T>()
    }
}

impl Value {
    /// A value that keeps its type.
    ///
    /// # Errors
    /// [`Error::is_encoding`] for what JSON cannot represent: NaN, infinities, maps with keys that are not strings, raw bytes,
    /// more than 127 levels; and whatever the type's own `Serialize` fails with.
    pub fn new<T: Serialize + Send + Sync + 'static>(value: T) -> Result<Self, Error> {
        if let Some(integer) = to_integer(&value) {
            return Ok(Self::integer(integer));
        }
        let any: &dyn Any = &value;
        if let Some(text) = any.downcast_ref::<&'static str>() {
            // It will be asked for as a `String`.
            let text = String::from(*text);
            let size = text.len() as u64;
            return Ok(Self::trusted(Arc::new(text), size));
        }
        let size = match any.downcast_ref::<String>() {
            Some(text) => text.len() as u64,
            None => representable::check(&value)?,
        };
        Ok(Self::trusted(Arc::new(value), size))
    }

    /// A shared value of which it is known that it can be represented, and about how many bytes it takes.
    pub(crate) fn trusted<T: Serialize + Send + Sync + 'static>(value: Arc<T>, size: u64) -> Self {
        Self(Form::Typed(value, u32::try_from(size).unwrap_or(u32::MAX)))
    }

    /// About how many bytes it takes: those that it has if it is encoded, else about as many as it would have as JSON.
    pub(super) fn size(&self) -> u64 {
        match &self.0 {
            Form::Typed(_, size) => u64::from(*size),
            Form::Encoded(bytes) => bytes.len() as u64,
            Form::Integer(_) => size_of::<i64>() as u64,
            Form::Found(found) => found.value.size(),
            Form::Kept(kept) => kept.value.size() + kept.meta.size(),
        }
    }

    /// A value as a store keeps it: JSON, or any other UTF-8, which then reads as a string.
    pub fn encoded(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Form::Encoded(Arc::new(bytes.into())))
    }

    /// An integer: what counters are.
    pub fn integer(integer: i64) -> Self {
        Self(Form::Integer(integer))
    }

    /// The value as `T`: a clone if that is what it is, else by way of JSON.
    ///
    /// # Errors
    /// [`Error::is_decoding`] if it cannot be read as a `T`.
    #[inline]
    pub fn to<T: DeserializeOwned + Clone + 'static>(&self) -> Result<T, Error> {
        match self.quick() {
            Some(value) => Ok(value),
            None => self.to_slow(),
        }
    }

    #[cold]
    fn to_slow<T: DeserializeOwned + Clone + 'static>(&self) -> Result<T, Error> {
        match &self.0 {
            Form::Kept(kept) => kept.value.to(),
            _ => self.convert(),
        }
    }

    /// The value as `T`, if that takes no JSON.
    #[inline]
    pub(super) fn quick<T: Clone + 'static>(&self) -> Option<T> {
        match &self.0 {
            Form::Typed(value, _) => (&**value as &dyn Any).downcast_ref().cloned(),
            Form::Integer(integer) => from_integer(*integer),
            Form::Found(found) if found.times.is_none() => found.decoded().cloned(),
            Form::Encoded(_) | Form::Found(_) | Form::Kept(_) => None,
        }
    }

    /// The times of a value that has tags, and when these were last found to hold, where there is something to remember it.
    #[inline]
    pub(super) fn checked(&self) -> Option<(Times, &Checked)> {
        match &self.0 {
            Form::Kept(kept) => Some((kept.meta.times, &kept.checked)),
            Form::Found(found) => Some((found.times?, &found.checked)),
            Form::Typed(..) | Form::Encoded(_) | Form::Integer(_) => None,
        }
        .filter(|(times, _)| times.is_tagged)
    }

    /// The mark that somebody loads what is to take its place, where there is room for it.
    #[inline]
    pub(super) fn refreshing(&self) -> Option<&Refreshing> {
        match &self.0 {
            Form::Kept(kept) => Some(&kept.refreshing),
            Form::Found(found) => Some(&found.refreshing),
            Form::Typed(..) | Form::Encoded(_) | Form::Integer(_) => None,
        }
    }

    /// On what it depends whether it may be shown, as far as that can be said without parsing.
    #[inline]
    pub(super) fn condition(&self) -> Condition<'_> {
        let (times, checked) = match &self.0 {
            Form::Typed(..) | Form::Integer(_) => return Condition::Always,
            Form::Kept(kept) => (&kept.meta.times, &kept.checked),
            Form::Found(found) => match &found.times {
                Some(times) => (times, &found.checked),
                None => return Condition::Always,
            },
            // To be decoded anyway.
            Form::Encoded(_) => return Condition::Other,
        };
        if times.is_tagged && !times.is_negative {
            Condition::Tags(checked)
        } else {
            Condition::Other
        }
    }

    /// What is kept as a `T`, whatever is beside it, if that takes no JSON.
    #[inline]
    pub(super) fn quick_inside<T: Clone + 'static>(&self) -> Option<T> {
        match &self.0 {
            Form::Kept(kept) => kept.value.quick(),
            Form::Found(found) => found.decoded().cloned(),
            _ => None,
        }
    }

    /// The very value, shared, where it is in memory as a `T`, whatever is beside it.
    #[inline]
    pub(super) fn quick_shared<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let value: Arc<dyn Any + Send + Sync> = match &self.0 {
            Form::Typed(value, _) if (&**value as &dyn Any).is::<T>() => Arc::clone(value) as _,
            Form::Kept(kept) => return kept.value.quick_shared(),
            Form::Found(found) => {
                let decoded = found.decoded.as_ref()?.get()?;
                decoded.is::<T>().then(|| Arc::clone(decoded))?
            }
            _ => return None,
        };
        value.downcast().ok()
    }

    /// As [`to`](Self::to); one that is [remembering](Self::remembering) is decoded once for all who ask so.
    pub(super) fn to_once<T>(&self) -> Result<T, Error>
    where
        T: DeserializeOwned + Clone + Send + Sync + 'static,
    {
        match &self.0 {
            Form::Found(found) if found.decoded.is_some() => {
                found.read_shared().map(|value| T::clone(&value))
            }
            _ => self.to(),
        }
    }

    /// Its times, if it is kept, and they need not be parsed.
    #[inline]
    pub(super) fn times_at_hand(&self) -> Option<Times> {
        match &self.0 {
            Form::Kept(kept) => Some(kept.meta.times),
            Form::Found(found) => found.times,
            Form::Typed(..) | Form::Encoded(_) | Form::Integer(_) => None,
        }
    }

    /// Of one that has [times at hand](Self::times_at_hand), the value as `T`, unless it stands for none. `None` if only decoding makes
    /// it a `T`. Whether it is fresh, and its tags hold, is for the caller to see.
    #[inline(always)]
    pub(super) fn quick_kept<T: Clone + 'static>(&self) -> Option<Option<T>> {
        match &self.0 {
            Form::Kept(kept) if kept.meta.times.is_negative => Some(None),
            Form::Kept(kept) => kept.value.quick().map(Some),
            // Decoded as what stands for no value, and so authenticated, where it is encrypted.
            Form::Found(found) if found.times?.is_negative => found.decoded::<i64>().map(|_| None),
            Form::Found(found) => found.decoded().cloned().map(Some),
            Form::Typed(..) | Form::Encoded(_) | Form::Integer(_) => None,
        }
    }

    /// The value as a shared `T`: the very one that was stored if it is one, else by way of JSON.
    ///
    /// # Errors
    /// [`Error::is_decoding`] if it cannot be read as a `T`.
    pub fn to_shared<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<T>, Error> {
        if let Form::Typed(value, _) = &self.0 {
            let any: Arc<dyn Any + Send + Sync> = Arc::clone(value) as _;
            if let Ok(value) = any.downcast() {
                return Ok(value);
            }
        }
        match &self.0 {
            Form::Kept(kept) => kept.value.to_shared(),
            Form::Found(found) => found.read_shared(),
            _ => self.convert().map(Arc::new),
        }
    }

    /// The value in place, if it is stored as a `T`.
    #[inline]
    pub fn downcast_ref<T: 'static>(&self) -> Option<&T> {
        match &self.0 {
            Form::Typed(value, _) => (&**value as &dyn Any).downcast_ref(),
            Form::Integer(integer) => (integer as &dyn Any).downcast_ref(),
            Form::Found(found) if found.times.is_none() => found.decoded(),
            Form::Encoded(_) | Form::Found(_) | Form::Kept(_) => None,
        }
    }

    /// The value as JSON; an encoded one as it is.
    ///
    /// # Errors
    /// [`Error::is_encoding`] if the type's own `Serialize` fails.
    pub fn encode(&self) -> Result<Cow<'_, [u8]>, Error> {
        match &self.0 {
            Form::Typed(value, _) => value.encode(Format::Json, Vec::new()).map(Cow::Owned),
            Form::Encoded(bytes) => Ok(Cow::Borrowed(bytes)),
            Form::Integer(integer) => Ok(Cow::Owned(integer.to_string().into_bytes())),
            Form::Found(found) => found.value.encode(),
            Form::Kept(kept) => {
                let mut bytes = kept.meta.to_bytes();
                bytes.extend_from_slice(&kept.value.encode()?);
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// The sum of this integer and `by`.
    ///
    /// What counts as an integer is what Redis takes for one: the decimal text of a 64-bit number, bare, without leading
    /// zeros, spaces or a plus sign.
    ///
    /// # Errors
    /// [`Error::is_wrong_type`] if it is not an integer, [`Error::is_overflow`] if the sum does not fit into 64 bits.
    ///
    /// ```
    /// use nori_cache::Value;
    ///
    /// assert_eq!(Value::encoded(*b"41").plus(1)?, 42);
    /// assert!(Value::encoded(*b"4.0").plus(1).unwrap_err().is_wrong_type());
    /// assert!(Value::integer(i64::MAX).plus(1).unwrap_err().is_overflow());
    /// # Ok::<(), nori_cache::Error>(())
    /// ```
    pub fn plus(&self, by: i64) -> Result<i64, Error> {
        let integer = self
            .as_integer()?
            .ok_or_else(|| Error::wrong_type("the stored value is not an integer"))?;
        integer.checked_add(by).ok_or_else(|| {
            let given = format!("{integer} + {by} does not fit into 64 bits");
            Error::overflow(given)
        })
    }

    fn as_integer(&self) -> Result<Option<i64>, Error> {
        Ok(match &self.0 {
            Form::Integer(integer) => Some(*integer),
            Form::Encoded(bytes) => json::integer(bytes),
            Form::Typed(..) => json::integer(&self.encode()?),
            Form::Found(found) => found.value.as_integer()?,
            Form::Kept(_) => None,
        })
    }

    /// Whether this is the same value as another, for [`compare_and_set`](super::CacheBackend::compare_and_set): the same
    /// shared one, or equal bytes or integers. Two values that were made apart from each other of equal `T`s are not the same.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Form::Typed(a, _), Form::Typed(b, _)) => {
                std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
            }
            (Form::Encoded(a), Form::Encoded(b)) => a == b,
            (Form::Integer(a), Form::Integer(b)) => a == b,
            (Form::Kept(a), Form::Kept(b)) => {
                Arc::ptr_eq(a, b) || (a.meta == b.meta && a.value.is_same(&b.value))
            }
            (Form::Found(found), _) => found.value.is_same(other),
            (_, Form::Found(found)) => self.is_same(&found.value),
            _ => false,
        }
    }

    /// The integer, if it is stored as one.
    #[inline]
    pub(super) fn bare_integer(&self) -> Option<i64> {
        match &self.0 {
            Form::Integer(integer) => Some(*integer),
            Form::Found(found) => found.value.bare_integer(),
            _ => None,
        }
    }

    /// The value as it was handed over, if it was.
    pub(super) fn typed(&self) -> Option<&dyn Typed> {
        match &self.0 {
            Form::Typed(value, _) => Some(&**value),
            Form::Found(found) => found.value.typed(),
            _ => None,
        }
    }

    /// The value, with what is to be kept beside it.
    pub(super) fn kept(self, meta: Meta) -> Self {
        Self(Form::Kept(Arc::new(Kept {
            value: self,
            meta,
            checked: Checked::default(),
            refreshing: Refreshing::default(),
        })))
    }

    /// The value and what is kept beside it, if it is kept as it is.
    pub(super) fn parts(&self) -> Option<(&Self, &Meta)> {
        match &self.0 {
            Form::Kept(kept) => Some((&kept.value, &kept.meta)),
            Form::Found(found) => found.value.parts(),
            _ => None,
        }
    }

    /// Its times, if it is kept.
    #[inline]
    pub(super) fn times(&self) -> Option<Times> {
        match &self.0 {
            Form::Typed(..) | Form::Integer(_) => None,
            Form::Kept(kept) => Some(kept.meta.times),
            Form::Found(found) => found.times,
            Form::Encoded(bytes) => match Start::read(bytes) {
                Start::Envelope(envelope) => Some(envelope.times),
                Start::Plain | Start::Unknown => None,
            },
        }
    }

    /// Whether it has tags.
    #[inline]
    pub(super) fn is_tagged(&self) -> bool {
        self.times().is_some_and(|times| times.is_tagged)
    }

    /// Its tags, with the versions under which it was stored.
    pub(super) fn tags(&self) -> Cow<'_, [Tag]> {
        match &self.0 {
            Form::Typed(..) | Form::Integer(_) => Cow::Borrowed(&[]),
            Form::Kept(kept) => Cow::Borrowed(&kept.meta.tags),
            Form::Found(found) => Cow::Borrowed(&found.tags),
            Form::Encoded(bytes) => match Start::read(bytes) {
                Start::Envelope(envelope) => Cow::Owned(envelope.to_tags()),
                Start::Plain | Start::Unknown => Cow::Borrowed(&[]),
            },
        }
    }

    /// What is kept beside it, if it is kept.
    pub(super) fn meta(&self) -> Option<Meta> {
        match &self.0 {
            Form::Typed(..) | Form::Integer(_) => None,
            Form::Kept(kept) => Some(kept.meta.clone()),
            Form::Found(found) => found.value.meta(),
            Form::Encoded(bytes) => match Start::read(bytes) {
                Start::Envelope(envelope) => Some(envelope.to_meta()),
                Start::Plain | Start::Unknown => None,
            },
        }
    }

    /// The value, to be read by a codec.
    pub(super) fn read_by(self, codec: &Codec, key: &str) -> Self {
        let value = self.unread();
        Self(Form::Found(Arc::new(Found {
            times: value.times(),
            tags: value.tags().into(),
            checked: Checked::default(),
            refreshing: Refreshing::default(),
            value,
            codec: codec.clone(),
            key: key.into(),
            decoded: None,
        })))
    }

    /// The value, which remembers what it is decoded as: to be shown to many. Bytes and what is made of them are both kept.
    #[cfg(feature = "redis")]
    pub(super) fn remembering(self) -> Self {
        let (value, codec, key) = match self.0 {
            Form::Encoded(_) => (self, Codec::json(), Box::default()),
            Form::Found(found) => (found.value.clone(), found.codec.clone(), found.key.clone()),
            Form::Typed(..) | Form::Integer(_) | Form::Kept(_) => return self,
        };
        Self(Form::Found(Arc::new(Found {
            times: value.times(),
            tags: value.tags().into(),
            checked: Checked::default(),
            refreshing: Refreshing::default(),
            value,
            codec,
            key,
            decoded: Some(OnceLock::new()),
        })))
    }

    /// The value, whoever was to read it.
    #[inline]
    pub(super) fn unread(self) -> Self {
        match self.0 {
            Form::Found(found) => found.value.clone(),
            other => Self(other),
        }
    }

    #[cold]
    fn convert<T: DeserializeOwned + 'static>(&self) -> Result<T, Error> {
        match &self.0 {
            Form::Encoded(bytes) => Codec::json().decode("", bytes),
            Form::Typed(..) => json::decode(&self.encode()?),
            Form::Integer(integer) => json::decode(integer.to_string().as_bytes()),
            Form::Found(found) => found.read(),
            Form::Kept(kept) => kept.value.convert(),
        }
    }
}

macro_rules! integer_types {
    ($($type:ty),*) => {
        /// The integer that a value of one of the integer types is, if it fits.
        pub(super) fn to_integer<T: 'static>(value: &T) -> Option<i64> {
            let any: &dyn Any = value;
            $(if let Some(&integer) = any.downcast_ref::<$type>() {
                return integer.try_into().ok();
            })*
            None
        }

        /// The integer as a `T`, if that is one of the integer types, and it fits.
        #[inline]
        pub(super) fn from_integer<T: 'static>(integer: i64) -> Option<T> {
            let mut converted: Option<T> = None;
            let any: &mut dyn Any = &mut converted;
            $(if let Some(converted) = any.downcast_mut::<Option<$type>>() {
                *converted = integer.try_into().ok();
            })*
            converted
        }

        /// Whether this is one of the integer types.
        pub(super) fn is_integer_type<T: ?Sized + 'static>() -> bool {
            [$(TypeId::of::<$type>()),*].contains(&TypeId::of::<T>())
        }
    };
}

integer_types!(i64, u64, i32, u32, i16, u16, i8, u8, isize, usize);

impl fmt::Debug for Value {
    /// Says which form it has, not what is in it: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Typed(value, _) => write!(f, "Value({})", (**value).type_name()),
            Form::Encoded(bytes) => write!(f, "Value({} bytes)", bytes.len()),
            Form::Integer(integer) => write!(f, "Value({integer})"),
            Form::Found(found) => write!(f, "{:?}", found.value),
            Form::Kept(kept) => write!(f, "{:?}", kept.value),
        }
    }
}
