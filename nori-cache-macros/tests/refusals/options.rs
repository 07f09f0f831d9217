//! Options that are wrong.

#![allow(unused)]

use nori_cache::{MemoryCacheBackend, cached};

#[cached(tll = "5m")]
fn unknown(n: u8) -> u8 {
    n
}

#[cached(ttl = "5m", ttl = "6m")]
fn twice(n: u8) -> u8 {
    n
}

#[cached(max_keys)]
fn without_value(n: u8) -> u8 {
    n
}

#[cached(max_keys = 0)]
fn no_keys(n: u8) -> u8 {
    n
}

#[cached(ttl = 300)]
fn without_unit(n: u8) -> u8 {
    n
}

#[cached(ttl = "5 minutes")]
fn no_unit(n: u8) -> u8 {
    n
}

#[cached(ttl = "30m 1h")]
fn out_of_order(n: u8) -> u8 {
    n
}

#[cached(ttl = "0s")]
fn no_time(n: u8) -> u8 {
    n
}

#[cached(skip = n)]
fn not_in_parentheses(n: u8) -> u8 {
    n
}

#[cached(skip(m))]
fn skips_nothing(n: u8) -> u8 {
    n
}

#[cached(backend = MemoryCacheBackend::new(10))]
fn not_async(n: u8) -> u8 {
    n
}

#[cached(max_keys = 10)]
async fn bounded(n: u8) -> u8 {
    n
}

#[cached("5m")]
fn without_name(n: u8) -> u8 {
    n
}

fn main() {}
