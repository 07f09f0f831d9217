//! Values as JSON, both ways.

use crate::backend::representable;
use crate::error::Error;
use serde_core::de::{DeserializeOwned, IgnoredAny};
use serde_core::{Serialize, de::IntoDeserializer};

/// A value as JSON, behind what is in `out`.
pub(super) fn encode_to<T>(value: &T, mut out: Vec<u8>) -> Result<Vec<u8>, Error>
where
    T: Serialize + ?Sized,
{
    // Of a value that was checked before, too: a cell inside it may hold something else by now.
    representable::check(value)?;
    out.reserve(128);
    serde_json::to_writer(&mut out, value).map_err(Error::encoding)?;
    Ok(out)
}

/// Reads JSON as a `T`, and nothing else.
pub(super) fn decode_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(Error::decoding)
}

/// Reads what is stored as a `T`. What is not JSON is taken for a string.
pub(in crate::backend) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let error = match serde_json::from_slice(bytes) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if serde_json::from_slice::<IgnoredAny>(bytes).is_ok() {
        return Err(Error::decoding(error));
    }
    let text = std::str::from_utf8(bytes).map_err(Error::decoding)?;
    decode_text(text).map_err(Error::decoding)
}

fn decode_text<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    T::deserialize(serde_json::Value::from(text).into_deserializer())
}

/// The integer that Redis would read: decimal, bare, no leading zeros.
pub(in crate::backend) fn integer(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits.as_bytes().first().is_some_and(u8::is_ascii_digit)
        && (!digits.starts_with('0') || text == "0");
    canonical.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
        encode_to(value, Vec::new())
    }

    #[test]
    fn integers_as_redis_reads_them() {
        for good in [0, 1, -1, 10, i64::MAX, i64::MIN] {
            assert_eq!(integer(good.to_string().as_bytes()), Some(good));
        }
        let bad = [
            "",
            "-",
            "-0",
            "00",
            "01",
            "-01",
            "+1",
            " 1",
            "1 ",
            "1.0",
            "1e3",
            "\"1\"",
            "9223372036854775808",
            "-9223372036854775809",
            "x",
            "null",
        ];
        for bad in bad {
            assert_eq!(integer(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_not_json_reads_as_a_string() {
        for text in [
            "plain", "12abc", "", "NaN", "{", "[1,", "nul", "\"open", "1 2",
        ] {
            assert_eq!(decode::<String>(text.as_bytes()).unwrap(), text);
            assert_eq!(
                decode::<Option<String>>(text.as_bytes())
                    .unwrap()
                    .as_deref(),
                Some(text)
            );
            assert_eq!(decode::<serde_json::Value>(text.as_bytes()).unwrap(), text);
            assert!(
                decode::<Vec<u8>>(text.as_bytes())
                    .unwrap_err()
                    .is_decoding()
            );
        }
        assert!(decode::<String>(b"\xff\xfe").unwrap_err().is_decoding());
        // JSON of another type stays an error.
        assert!(decode::<String>(b"12").unwrap_err().is_decoding());
    }
    #[test]
    fn what_is_as_deep_as_allowed_reads_back() {
        let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        let encoded = encode(&nested(127)).unwrap();
        assert_eq!(decode::<serde_json::Value>(&encoded).unwrap(), nested(127));
        assert!(encode(&nested(128)).unwrap_err().is_encoding());
        let tagged = |levels| (0..levels).fold(Tree::Leaf, |inner, _| Tree::Node(inner.into()));
        let encoded = encode(&tagged(127)).unwrap();
        assert_eq!(decode::<Tree>(&encoded).unwrap(), tagged(127));
        assert!(encode(&tagged(128)).unwrap_err().is_encoding());
    }

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    enum Tree {
        Leaf,
        Node(Box<Tree>),
    }
}
