//! Functions that cannot be remembered.

#![allow(unused)]

use nori_cache::cached;

#[cached]
fn generic<T: Clone>(value: T) -> T {
    value
}

#[cached]
async fn sized<const N: usize>(list: [u8; N]) -> usize {
    list.len()
}

#[cached]
fn of_any_type(text: impl AsRef<str>, and: &[impl Copy]) -> usize {
    text.as_ref().len()
}

#[cached]
fn to_any_type(n: u8) -> impl Iterator<Item = u8> {
    0..n
}

#[cached]
const fn constant(n: u8) -> u8 {
    n
}

#[cached]
unsafe fn not_safe(n: u8) -> u8 {
    n
}

#[cached]
extern "C" fn foreign(n: u8) -> u8 {
    n
}

#[cached]
#[unsafe(no_mangle)]
fn symbol(n: u8) -> u8 {
    n
}

#[cached]
fn nothing(n: u8) {
    println!("{n}");
}

#[cached]
async fn unit(n: u8) -> () {
    println!("{n}");
}

#[cached]
fn never(n: u8) -> ! {
    panic!("{n}")
}

#[cached]
async fn lends(text: &str) -> Option<&str> {
    Some(text)
}

#[cached]
fn taken_apart((a, b): (u8, u8), _: u8, ref c: u8) -> u8 {
    a + b + c
}

#[cached]
fn changes(list: &mut Vec<u8>) -> usize {
    list.push(1);
    list.len()
}

#[cached]
fn sometimes(#[cfg(test)] n: u8) -> u8 {
    0
}

// All that is wrong is told at once.
#[cached]
const unsafe fn several<T>((a, b): (u8, u8)) {}

#[cached]
struct NoFunction;

trait Trait {
    #[cached]
    async fn without_body(n: u8) -> u8;
}

struct Service;

impl Service {
    #[cached]
    fn method(&self, n: u8) -> u8 {
        n
    }

    #[cached(associated)]
    fn function(n: u8) -> u8 {
        n
    }

    #[cached]
    fn made(n: u8) -> Self {
        Service
    }

    #[cached]
    async fn forgot_self(&self, n: u8) -> u8 {
        n
    }

    #[cached(key = "{self.id}")]
    async fn changes_self(&mut self) -> u8 {
        0
    }
}

fn main() {
    // Callers are not told that it is not there.
    generic(1);
}
