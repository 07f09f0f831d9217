//! Any value as JSON: what is accepted reads back the same, typed and by way of JSON; what is refused is what JSON cannot say.

use nori_cache::Value;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A bit of everything that serde has and JSON can say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Any {
    Unit,
    Bool(bool),
    Small(i8),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Single(f32),
    Char(char),
    Text(String),
    Maybe(Option<Box<Any>>),
    List(Vec<Any>),
    Pair(Box<Any>, u8),
    Map(BTreeMap<String, Any>),
    Named { left: Box<Any>, right: () },
}

impl Any {
    /// Whether JSON has a word for it.
    pub fn is_sayable(&self) -> bool {
        match self {
            Self::Float(float) => float.is_finite(),
            Self::Single(float) => float.is_finite(),
            Self::Maybe(inner) => inner.as_ref().is_none_or(|inner| inner.is_sayable()),
            Self::List(inner) => inner.iter().all(Self::is_sayable),
            Self::Map(inner) => inner.values().all(Self::is_sayable),
            Self::Pair(inner, _) | Self::Named { left: inner, .. } => inner.is_sayable(),
            _ => true,
        }
    }
}

pub fn any_value() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        Just(Any::Unit),
        any::<bool>().prop_map(Any::Bool),
        any::<i8>().prop_map(Any::Small),
        any::<i64>().prop_map(Any::Signed),
        any::<u64>().prop_map(Any::Unsigned),
        any::<f64>().prop_map(Any::Float),
        any::<f32>().prop_map(Any::Single),
        any::<char>().prop_map(Any::Char),
        any::<String>().prop_map(Any::Text),
        Just(Any::Maybe(None)),
        Just(Any::Float(f64::NAN)),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(|inner| Any::Maybe(Some(Box::new(inner)))),
            vec(inner.clone(), 0..5).prop_map(Any::List),
            (inner.clone(), any::<u8>()).prop_map(|(a, b)| Any::Pair(Box::new(a), b)),
            btree_map(any::<String>(), inner.clone(), 0..5).prop_map(Any::Map),
            inner.prop_map(|left| Any::Named {
                left: Box::new(left),
                right: ()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_accepted_reads_back_the_same(value in any_value()) {
        let made = Value::new(value.clone());
        prop_assert_eq!(made.is_ok(), value.is_sayable());
        if let Ok(made) = made {
            prop_assert_eq!(&made.to::<Any>().unwrap(), &value);
            let encoded = Value::encoded(made.encode().unwrap());
            prop_assert_eq!(&encoded.to::<Any>().unwrap(), &value);
        }
    }

    #[test]
    fn floats_keep_every_bit(float in any::<f64>().prop_filter("finite", |it| it.is_finite())) {
        let made = Value::new(float).unwrap();
        let back: f64 = Value::encoded(made.encode().unwrap()).to().unwrap();
        prop_assert_eq!(back.to_bits(), float.to_bits());
    }

    #[test]
    fn any_bytes_read_as_something_or_are_an_error(bytes in any::<Vec<u8>>()) {
        let value = Value::encoded(bytes.clone());
        let _ = value.to::<serde_json::Value>();
        let _ = value.to::<Any>();
        let _ = value.plus(1);
        if let Ok(text) = value.to::<String>() {
            // As it is, or what the JSON says.
            prop_assert!(std::str::from_utf8(&bytes).is_ok());
            prop_assert!(text.as_bytes() == bytes || bytes.starts_with(b"\"") || bytes[0].is_ascii_whitespace());
        }
    }

    #[test]
    fn sums_are_those_of_checked_add(a in any::<i64>(), b in any::<i64>()) {
        for value in [Value::integer(a), Value::encoded(a.to_string()), Value::new(a).unwrap()] {
            match a.checked_add(b) {
                Some(sum) => prop_assert_eq!(value.plus(b).unwrap(), sum),
                None => prop_assert!(value.plus(b).unwrap_err().is_overflow()),
            }
        }
    }

    #[test]
    fn integers_read_as_every_type_they_fit(n in any::<i64>()) {
        let value = Value::new(n).unwrap();
        prop_assert_eq!(value.to::<u8>().ok(), u8::try_from(n).ok());
        prop_assert_eq!(value.to::<i32>().ok(), i32::try_from(n).ok());
        prop_assert_eq!(value.to::<u64>().ok(), u64::try_from(n).ok());
        prop_assert_eq!(value.to::<i128>().ok(), Some(i128::from(n)));
        prop_assert_eq!(value.to::<Option<i64>>().ok(), Some(Some(n)));
    }
}
