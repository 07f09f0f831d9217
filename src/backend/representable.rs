//! Whether a value can be represented: a serializer that writes nothing, and fails where the value cannot. It counts, too: about as many
//! bytes as the value has in JSON.
//!
//! `serde_json` writes NaN as `null`, integer keys as strings and bytes as arrays. None of these read back as what they were, so
//! such a value is an error before anything is stored. Binary formats have them all, but only so many levels, which is what
//! readers take: see `codec/limits.rs`.

use crate::error::Error;
use serde_core::ser::{self, Serialize, Serializer};
use std::cell::Cell;
use std::fmt;

/// `serde_json` reads no more levels than this.
pub(super) const MAX_DEPTH: u8 = 127;

/// About how long the value is as JSON.
///
/// # Errors
/// [`Error::is_encoding`] if the value cannot be represented in JSON.
pub(super) fn check<T: Serialize + ?Sized>(value: &T) -> Result<u64, Error> {
    let size = Cell::new(0);
    let check = Check {
        depth: 0,
        to: Target::Json,
        size: &size,
    };
    value.serialize(check).map_err(Error::encoding)?;
    Ok(size.get())
}

/// # Errors
/// [`Error::is_encoding`] if the value has more levels than binary formats are read with.
#[cfg(any(feature = "postcard", feature = "msgpack"))]
pub(super) fn check_depth<T: Serialize + ?Sized>(value: &T) -> Result<(), Error> {
    let size = Cell::new(0);
    let check = Check {
        depth: 0,
        to: Target::Binary,
        size: &size,
    };
    value.serialize(check).map_err(Error::encoding)
}

/// Why a value cannot be represented.
#[derive(Debug)]
enum Unrepresentable {
    Float(f64),
    Bytes,
    Key,
    Depth,
    Custom(String),
}

impl fmt::Display for Unrepresentable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float(float) => write!(f, "JSON has no {float}"),
            Self::Bytes => write!(
                f,
                "JSON has no raw bytes; encode them as text, or use another codec"
            ),
            Self::Key => write!(f, "the keys of a JSON object are strings"),
            Self::Depth => write!(f, "more than {MAX_DEPTH} levels"),
            Self::Custom(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Unrepresentable {}

impl ser::Error for Unrepresentable {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }
}

/// What the value is to be written as.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    Json,
    #[cfg_attr(not(any(feature = "postcard", feature = "msgpack")), allow(dead_code))]
    Binary,
}

/// Accepts what its target can have as a value.
#[derive(Debug, Clone, Copy)]
struct Check<'c> {
    depth: u8,
    to: Target,
    size: &'c Cell<u64>,
}

/// What a number, a comma beside it, takes: some have more digits, and most have fewer.
const NUMBER: usize = 8;
/// What is formatted is not formatted only to be counted.
const FORMATTED: usize = 32;

fn add(size: &Cell<u64>, bytes: usize) {
    size.set(size.get().saturating_add(bytes as u64));
}

impl Check<'_> {
    #[inline]
    fn count(self, bytes: usize) -> Result<(), Unrepresentable> {
        add(self.size, bytes);
        Ok(())
    }

    #[inline]
    fn deeper(self) -> Result<Self, Unrepresentable> {
        self.count(2)?;
        match self.depth {
            MAX_DEPTH => Err(Unrepresentable::Depth),
            depth => Ok(Self {
                depth: depth + 1,
                ..self
            }),
        }
    }

    #[inline]
    fn part<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unrepresentable> {
        self.count(1)?;
        value.serialize(self)
    }
}

macro_rules! accept_numbers {
    ($($method:ident: $type:ty),*) => {$(
        #[inline]
        fn $method(self, _: $type) -> Result<(), Unrepresentable> {
            self.count(NUMBER)
        }
    )*};
}

macro_rules! accept_parts {
    ($($trait:ident::$method:ident),*) => {$(
        impl ser::$trait for Check<'_> {
            type Ok = ();
            type Error = Unrepresentable;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unrepresentable> {
                self.part(value)
            }

            #[inline]
            fn end(self) -> Result<(), Unrepresentable> {
                Ok(())
            }
        }
    )*};
}

macro_rules! accept_fields {
    ($($trait:ident),*) => {$(
        impl ser::$trait for Check<'_> {
            type Ok = ();
            type Error = Unrepresentable;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Unrepresentable> {
                self.count(name.len() + 3)?;
                self.part(value)
            }

            #[inline]
            fn end(self) -> Result<(), Unrepresentable> {
                Ok(())
            }
        }
    )*};
}

accept_parts!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);
accept_fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Check<'_> {
    type Ok = ();
    type Error = Unrepresentable;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unrepresentable> {
        match self.to {
            Target::Json => key.serialize(CheckKey(self.size)),
            Target::Binary => self.part(key),
        }
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unrepresentable> {
        self.part(value)
    }

    #[inline]
    fn end(self) -> Result<(), Unrepresentable> {
        Ok(())
    }
}

impl Serializer for Check<'_> {
    type Ok = ();
    type Error = Unrepresentable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    accept_numbers!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_char: char, serialize_unit_struct: &'static str
    );

    #[inline]
    fn serialize_str(self, text: &str) -> Result<(), Unrepresentable> {
        self.count(text.len() + 2)
    }

    #[inline]
    fn serialize_f32(self, float: f32) -> Result<(), Unrepresentable> {
        self.serialize_f64(float.into())
    }

    #[inline]
    fn serialize_f64(self, float: f64) -> Result<(), Unrepresentable> {
        if float.is_finite() || self.to == Target::Binary {
            self.count(NUMBER)
        } else {
            Err(Unrepresentable::Float(float))
        }
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Unrepresentable> {
        match self.to {
            Target::Json => Err(Unrepresentable::Bytes),
            Target::Binary => self.count(bytes.len()),
        }
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Unrepresentable> {
        self.count(4)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unrepresentable> {
        match self.to {
            Target::Json => self.part(value),
            // A level in the bytes, where JSON has nothing.
            Target::Binary => self.deeper()?.part(value),
        }
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), Unrepresentable> {
        self.count(4)
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
    ) -> Result<(), Unrepresentable> {
        self.count(name.len() + 2)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unrepresentable> {
        self.part(value)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unrepresentable> {
        self.count(name.len() + 3)?;
        self.deeper()?.part(value)
    }

    #[inline]
    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unrepresentable> {
        self.deeper()
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Self, Unrepresentable> {
        self.deeper()
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unrepresentable> {
        self.deeper()
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Self, Unrepresentable> {
        self.count(name.len() + 3)?;
        self.deeper()?.deeper()
    }

    #[inline]
    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unrepresentable> {
        self.deeper()
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unrepresentable> {
        self.deeper()
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Self, Unrepresentable> {
        self.count(name.len() + 3)?;
        self.deeper()?.deeper()
    }

    /// Formats nothing.
    #[inline]
    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<(), Unrepresentable> {
        self.count(FORMATTED)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.to == Target::Json
    }
}

/// Accepts what JSON can have as a key: strings, and what it writes as one.
#[derive(Debug, Clone, Copy)]
struct CheckKey<'c>(&'c Cell<u64>);

impl CheckKey<'_> {
    fn count(self, bytes: usize) -> Result<(), Unrepresentable> {
        add(self.0, bytes);
        Ok(())
    }
}

macro_rules! reject {
    ($($method:ident: $type:ty),*) => {$(
        fn $method(self, _: $type) -> Result<(), Unrepresentable> {
            Err(Unrepresentable::Key)
        }
    )*};
}

impl Serializer for CheckKey<'_> {
    type Ok = ();
    type Error = Unrepresentable;
    type SerializeSeq = ser::Impossible<(), Unrepresentable>;
    type SerializeTuple = ser::Impossible<(), Unrepresentable>;
    type SerializeTupleStruct = ser::Impossible<(), Unrepresentable>;
    type SerializeTupleVariant = ser::Impossible<(), Unrepresentable>;
    type SerializeMap = ser::Impossible<(), Unrepresentable>;
    type SerializeStruct = ser::Impossible<(), Unrepresentable>;
    type SerializeStructVariant = ser::Impossible<(), Unrepresentable>;

    accept_numbers!(serialize_char: char);

    #[inline]
    fn serialize_str(self, text: &str) -> Result<(), Unrepresentable> {
        self.count(text.len() + 3)
    }

    reject!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_f32: f32, serialize_f64: f64, serialize_bytes: &[u8],
        serialize_unit_struct: &'static str
    );

    #[inline]
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
    ) -> Result<(), Unrepresentable> {
        self.count(name.len() + 3)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unrepresentable> {
        value.serialize(self)
    }

    #[inline]
    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<(), Unrepresentable> {
        self.count(FORMATTED)
    }

    fn serialize_none(self) -> Result<(), Unrepresentable> {
        Err(Unrepresentable::Key)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), Unrepresentable> {
        Err(Unrepresentable::Key)
    }

    fn serialize_unit(self) -> Result<(), Unrepresentable> {
        Err(Unrepresentable::Key)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unrepresentable> {
        Err(Unrepresentable::Key)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Unrepresentable> {
        Err(Unrepresentable::Key)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Unrepresentable> {
        Err(Unrepresentable::Key)
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Unrepresentable> {
        Err(Unrepresentable::Key)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unrepresentable> {
        Err(Unrepresentable::Key)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unrepresentable> {
        Err(Unrepresentable::Key)
    }

    fn serialize_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStruct, Unrepresentable> {
        Err(Unrepresentable::Key)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unrepresentable> {
        Err(Unrepresentable::Key)
    }
}
