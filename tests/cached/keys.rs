//! Keys: readable, and no two lists of arguments have the same.

use nori_cache::cached;
use std::collections::HashSet;
use std::fmt;

struct Point {
    x: i32,
    y: i32,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.x, self.y)
    }
}

#[cached(key = "two:{a}:{b}")]
async fn two(a: &str, b: &str) -> u8 {
    0
}

#[cached]
async fn three(a: &str, b: &str, c: &str) -> usize {
    a.len() + b.len() + c.len()
}

#[test]
fn templates_say_what_keys_look_like() {
    #[cached(key = "all:{at}/{user.0} {user.1.x}→{{{type}}}")]
    async fn all(at: Point, user: &(char, Point), r#type: u8) -> u8 {
        0
    }
    #[cached(key = format!("by hand {a:?}-{}", b.unwrap_or(7)))]
    async fn by_hand(a: &str, b: Option<u8>) -> u8 {
        0
    }
    #[cached(key = "constant")]
    async fn constant() -> u8 {
        0
    }

    let key = all_cache_key(Point { x: 1, y: -2 }, &(' ', Point { x: 3, y: 4 }), 5);
    assert_eq!(key, "all:1:-2/%20 3→{5}");
    assert_eq!(two_cache_key("42", "en"), "two:42:en");
    assert_eq!(two_cache_key("a:b", "c:d%"), "two:a%3Ab:c:d%");
    assert_eq!(two_cache_key("50%", "→"), "two:50%25:→");
    assert_eq!(by_hand_cache_key("x", None), r#"by hand "x"-7"#);
    assert_eq!(constant_cache_key(), "constant");
}

#[test]
fn without_a_template_the_key_has_the_path_of_the_function() {
    mod inner {
        #[nori_cache::cached]
        pub async fn none() -> u8 {
            0
        }
    }
    fn one() -> String {
        #[cached]
        async fn same(n: u8) -> u8 {
            n
        }
        same_cache_key(1)
    }
    fn other() -> String {
        #[cached]
        async fn same(n: u8) -> u8 {
            n
        }
        same_cache_key(1)
    }

    assert!(inner::none_cache_key().ends_with("::inner::none()"));
    assert!(one().ends_with("::one::same(1)"), "{}", one());
    assert!(other().ends_with("::other::same(1)"), "{}", other());
    assert_eq!(three_cache_key("a", "b", "c"), "cached::keys::three(a,b,c)");
    assert_eq!(
        three_cache_key("a,", "%", ",)"),
        "cached::keys::three(a%2C,%25,,))"
    );
}

#[test]
fn no_two_lists_of_arguments_share_a_key() {
    let texts = [
        "", ":", "%", "%3A", ",", "a", "a:", ":a", "%253A", "a,b", "%2C", ")", "::",
    ];
    let (mut keys, mut lists) = (HashSet::new(), 0);
    for a in texts {
        for b in texts {
            assert!(keys.insert(two_cache_key(a, b)), "{a:?} {b:?}");
            lists += 1;
            for c in texts {
                assert!(keys.insert(three_cache_key(a, b, c)), "{a:?} {b:?} {c:?}");
                lists += 1;
            }
        }
    }
    assert_eq!(keys.len(), lists);
}
