//! Keys that are wrong.

#![allow(unused)]

use nori_cache::cached;

#[cached(key = "user:{name}")]
async fn unknown(id: u8) -> u8 {
    id
}

#[cached(key = "user:{id}")]
async fn forgotten(id: u8, lang: &str) -> u8 {
    id
}

#[cached(key = format!("user:{id}"))]
async fn forgotten_in_an_expression(id: u8, lang: &str) -> u8 {
    id
}

#[cached(key = "user:{id}", skip(id))]
async fn both(id: u8) -> u8 {
    id
}

#[cached(key = "{self.tenant}")]
async fn no_method() -> u8 {
    0
}

#[cached(key = "{a}{b}")]
async fn not_separated(a: u8, b: u8) -> u8 {
    a + b
}

#[cached(key = "{a}0{b}")]
async fn separated_by_a_digit(a: u8, b: u8) -> u8 {
    a + b
}

#[cached(key = "{id:04}")]
async fn formatted(id: u8) -> u8 {
    id
}

#[cached(key = "{}")]
async fn by_place(id: u8) -> u8 {
    id
}

#[cached(key = "{id + 1}")]
async fn an_expression(id: u8) -> u8 {
    id
}

#[cached(key = "{id")]
async fn open(id: u8) -> u8 {
    id
}

#[cached(key = "id}")]
async fn close(id: u8) -> u8 {
    id
}

#[cached(key: String = id.to_string())]
async fn typed(id: u8) -> u8 {
    id
}

#[cached(key = (a, b))]
fn untyped(a: u8, b: u8) -> u8 {
    a + b
}

#[cached]
fn borrowed(a: &[&str], b: Option<&str>) -> usize {
    a.len()
}

fn main() {}
