//! Types that the compiler refuses, with our words.

#![allow(unused)]

use nori_cache::cached;

#[cached]
async fn not_displayed(ids: &[u8]) -> usize {
    ids.len()
}

#[cached(key = "{id}")]
async fn not_displayed_in_a_template(id: Option<u8>) -> u8 {
    0
}

type Alias = Result<u8, String>;

#[cached]
fn by_another_name(id: u8) -> Alias {
    Ok(id)
}

fn main() {}
