//! The attribute in places where everything has another name.

#![allow(dead_code, unused_imports, unused_macros)]

extern crate nori_cache as renamed;

use nori_cache::cached;

mod facade {
    pub mod cache {
        pub use nori_cache::*;
    }
}

mod shadowed {
    use ::nori_cache::cached;

    mod std {}
    mod core {}
    mod nori_cache {}

    struct String;
    struct Box;
    struct Result;
    struct Some;
    struct None;
    struct Ok;
    struct Err;
    enum Option {}
    struct Duration;
    struct Ttl;
    struct Cache;
    struct LazyLock;
    type Error = u8;

    trait Clone {
        fn clone(&self) -> u8 {
            0
        }
        fn to_owned(&self) -> u8 {
            0
        }
        fn into(&self) -> u8 {
            0
        }
        fn get(&self) -> u8 {
            0
        }
        fn as_deref(&self) -> u8 {
            0
        }
        fn call(&self) -> u8 {
            0
        }
        fn end(&self) -> u8 {
            0
        }
    }
    impl<T: ?Sized> Clone for T {}

    macro_rules! concat {
        ($($any:tt)*) => {
            compile_error!("not the standard library's")
        };
    }
    macro_rules! module_path {
        () => {
            compile_error!("not the standard library's")
        };
    }
    macro_rules! assert {
        ($($any:tt)*) => {
            compile_error!("not the standard library's")
        };
    }
    use {assert, concat, module_path};

    #[cached(key = "hygiene:{key}:{ttl}:{backend}:{called}", ttl = "5m")]
    pub async fn asynchronous(
        key: u8,
        ttl: &str,
        backend: i64,
        called: char,
    ) -> ::core::result::Result<u8, Error> {
        ::core::result::Result::Ok(key)
    }

    #[cached]
    pub async fn by_path(key: u8) -> u8 {
        key
    }

    #[cached(max_keys = 10, ttl = "5m")]
    pub fn plain(key: u8, cache: &str) -> ::core::result::Result<u8, Error> {
        ::core::result::Result::Ok(key + cache.len() as u8)
    }

    #[cached]
    pub fn value(key: &str) -> usize {
        key.len()
    }
}

#[tokio::test]
async fn names_that_mean_something_else_do_no_harm() {
    assert_eq!(shadowed::asynchronous(1, "t", -2, 'c').await, Ok(1));
    let key = shadowed::asynchronous_cache_key(1, "t", -2, 'c');
    assert_eq!(key, "hygiene:1:t:-2:c");
    assert!(
        shadowed::asynchronous_cache_remove(1, "t", -2, 'c')
            .await
            .unwrap()
    );
    assert_eq!(shadowed::by_path(1).await, 1);
    assert_eq!(
        shadowed::by_path_cache_key(1),
        "cached::hygiene::shadowed::by_path(1)"
    );
    assert_eq!(shadowed::plain(1, "c"), Ok(2));
    assert!(shadowed::plain_cache_remove(1, "c"));
    assert_eq!(shadowed::value("abc"), 3);
}

#[cached(crate = renamed, key = "renamed:{n}")]
async fn by_another_name(n: u8) -> u8 {
    n
}

#[renamed::cached(crate = crate::hygiene::facade::cache, max_keys = 5)]
fn by_a_path(n: u8) -> u8 {
    n
}

#[tokio::test]
async fn the_crate_may_have_another_name() {
    assert_eq!(by_another_name(1).await, 1);
    assert!(by_another_name_cache_remove(1).await.unwrap());
    assert_eq!(by_a_path(1), 1);
    assert_eq!(by_a_path_cache().len(), 1);
}

/// What is written passes the strictest lints.
#[deny(warnings, missing_docs, unused, clippy::pedantic, clippy::nursery)]
#[deny(unused_qualifications, unused_lifetimes, single_use_lifetimes)]
pub mod strict {
    use nori_cache::cached;

    /// A function.
    ///
    /// # Errors
    /// Never.
    #[cached(key = "strict:{a}:{b}", ttl = "5m", skip(c))]
    pub async fn asynchronous(a: &str, mut b: u8, c: &mut u8) -> Result<u8, std::fmt::Error> {
        std::future::ready(()).await;
        *c += 1;
        b += 1;
        Ok(b)
    }

    /// A function.
    ///
    /// # Errors
    /// Never.
    #[cached(max_keys = 2, ttl = "5m")]
    #[must_use]
    pub fn plain(a: &str, b: u8) -> Option<usize> {
        a.len().checked_add(usize::from(b))
    }
}

#[tokio::test]
async fn strict_lints_are_content() {
    let mut calls = 0;
    for _ in 0..2 {
        assert_eq!(strict::asynchronous("a", 1, &mut calls).await, Ok(2));
        assert_eq!(strict::plain("a", 1), Some(2));
    }
    assert_eq!(calls, 1);
}

/// Macros of users may write functions, with names of their own.
macro_rules! written {
    ($name:ident, $key:literal, $argument:ident) => {
        #[cached(key = $key, ttl = "1m")]
        async fn $name($argument: u8) -> u8 {
            $argument
        }
    };
}

written!(by_macro, "by_macro:{n}", n);

#[tokio::test]
async fn macros_may_write_functions() {
    assert_eq!(by_macro(1).await, 1);
    assert_eq!(by_macro_cache_key(1), "by_macro:1");
}
