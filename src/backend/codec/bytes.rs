//! The format of raw bytes: what serializes as bytes, as a text, or as a list of bytes, and nothing around it.

use crate::error::Error;
use serde_core::de::value::SeqDeserializer;
use serde_core::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde_core::forward_to_deserialize_any;
use serde_core::ser::{self, Impossible, Serialize, Serializer};
use std::fmt;

pub(super) fn encode<T>(value: &T, out: Vec<u8>) -> Result<Vec<u8>, Error>
where
    T: Serialize + ?Sized,
{
    let mut writer = Writer { out };
    value.serialize(&mut writer).map_err(Error::encoding)?;
    Ok(writer.out)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    T::deserialize(Reader { bytes }).map_err(Error::decoding)
}

/// Why bytes are not what they should be.
#[derive(Debug)]
struct NotBytes(String);

impl fmt::Display for NotBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotBytes {}

impl ser::Error for NotBytes {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl de::Error for NotBytes {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

fn not_bytes() -> NotBytes {
    NotBytes("Codec::bytes() is for bytes and texts only".to_owned())
}

struct Writer {
    out: Vec<u8>,
}

impl Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<(), NotBytes> {
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

macro_rules! refuse {
    ($($method:ident($($type:ty),*) -> $ok:ty;)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<$ok, NotBytes> {
            Err(not_bytes())
        }
    )*};
}

impl<'w> Serializer for &'w mut Writer {
    type Ok = ();
    type Error = NotBytes;
    type SerializeSeq = List<'w>;
    type SerializeTuple = List<'w>;
    type SerializeTupleStruct = Impossible<(), NotBytes>;
    type SerializeTupleVariant = Impossible<(), NotBytes>;
    type SerializeMap = Impossible<(), NotBytes>;
    type SerializeStruct = Impossible<(), NotBytes>;
    type SerializeStructVariant = Impossible<(), NotBytes>;

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), NotBytes> {
        self.write(bytes)
    }

    fn serialize_str(self, text: &str) -> Result<(), NotBytes> {
        self.write(text.as_bytes())
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<List<'w>, NotBytes> {
        self.out.reserve(len.unwrap_or(0).min(1 << 20));
        Ok(List { writer: self })
    }

    fn serialize_tuple(self, len: usize) -> Result<List<'w>, NotBytes> {
        self.serialize_seq(Some(len))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), NotBytes> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), NotBytes> {
        Err(not_bytes())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), NotBytes> {
        Err(not_bytes())
    }

    refuse! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// A list, each of whose elements must be a byte.
struct List<'w> {
    writer: &'w mut Writer,
}

impl List<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), NotBytes> {
        element.serialize(Byte {
            writer: self.writer,
        })
    }
}

impl ser::SerializeSeq for List<'_> {
    type Ok = ();
    type Error = NotBytes;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), NotBytes> {
        self.element(element)
    }

    fn end(self) -> Result<(), NotBytes> {
        Ok(())
    }
}

impl ser::SerializeTuple for List<'_> {
    type Ok = ();
    type Error = NotBytes;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), NotBytes> {
        self.element(element)
    }

    fn end(self) -> Result<(), NotBytes> {
        Ok(())
    }
}

/// Accepts a `u8`, and nothing else.
struct Byte<'w> {
    writer: &'w mut Writer,
}

impl Serializer for Byte<'_> {
    type Ok = ();
    type Error = NotBytes;
    type SerializeSeq = Impossible<(), NotBytes>;
    type SerializeTuple = Impossible<(), NotBytes>;
    type SerializeTupleStruct = Impossible<(), NotBytes>;
    type SerializeTupleVariant = Impossible<(), NotBytes>;
    type SerializeMap = Impossible<(), NotBytes>;
    type SerializeStruct = Impossible<(), NotBytes>;
    type SerializeStructVariant = Impossible<(), NotBytes>;

    #[inline]
    fn serialize_u8(self, byte: u8) -> Result<(), NotBytes> {
        self.writer.out.push(byte);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), NotBytes> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), NotBytes> {
        Err(not_bytes())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), NotBytes> {
        Err(not_bytes())
    }

    refuse! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_str(&str) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}

/// Gives the bytes to whatever asks.
struct Reader<'b> {
    bytes: &'b [u8],
}

impl Reader<'_> {
    fn list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotBytes> {
        let mut bytes = SeqDeserializer::new(self.bytes.iter().copied());
        let value = visitor.visit_seq(&mut bytes)?;
        bytes.end()?;
        Ok(value)
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = NotBytes;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotBytes> {
        visitor.visit_bytes(self.bytes)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotBytes> {
        visitor.visit_byte_buf(self.bytes.to_vec())
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotBytes> {
        let text = std::str::from_utf8(self.bytes).map_err(<NotBytes as de::Error>::custom)?;
        visitor.visit_str(text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotBytes> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotBytes> {
        self.list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, NotBytes> {
        self.list(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, NotBytes> {
        visitor.visit_newtype_struct(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes option unit unit_struct tuple_struct map struct enum
        identifier ignored_any
    }
}
