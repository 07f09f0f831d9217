#![cfg_attr(libfuzzer, no_main)]

#[cfg(libfuzzer)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    nori_cache_fuzz::organs::codec::run(input);
});

#[cfg(not(libfuzzer))]
fn main() {
    eprintln!("This is a fuzz target: run it with `cargo +nightly fuzz run codec`.");
}
