//! The fuzz targets' comparisons on pseudo-random operations.

use arbitrary::{Arbitrary, Unstructured};
use nori_cache_fuzz::organs::{cache, index, list, store, wheel};

/// Steele, Lea, Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// Runs `inputs` inputs, each from up to `bytes` bytes. A failure is preceded by the number of its input.
fn run<T: for<'a> Arbitrary<'a>>(inputs: u64, bytes: u64, mut run: impl FnMut(T)) {
    for seed in 0..inputs {
        let mut random = SplitMix(seed);
        let len = random.next() % bytes;
        let data: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        let input = T::arbitrary_take_rest(Unstructured::new(&data)).expect("any bytes will do");
        let failing = Failing(seed);
        run(input);
        std::mem::forget(failing);
    }
}

struct Failing(u64);

impl Drop for Failing {
    fn drop(&mut self) {
        eprintln!("input {} failed", self.0);
    }
}

#[test]
fn list_evicts_as_its_model() {
    run(2_000, 2_000, list::Input::run);
}

#[test]
fn wheel_returns_what_is_due() {
    run(1_000, 4_000, wheel::Input::run);
}

#[test]
fn index_finds_what_is_filed() {
    run(1_000, 3_000, index::Input::run);
}

#[test]
fn store_agrees_with_a_map() {
    run(1_500, 3_000, store::Input::run);
}

/// The only test that reads through the process's own domain, so nobody holds up what it expects to be dropped.
#[test]
fn cache_is_an_lru_with_times_to_live() {
    run(1_500, 3_000, cache::Input::run);
}
