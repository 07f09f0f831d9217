#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: nori_cache_fuzz::organs::wheel::Input| input.run());

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("This is a fuzz target: run it with `cargo +nightly fuzz run wheel`.");
}
