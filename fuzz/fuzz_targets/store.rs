#![cfg_attr(libfuzzer, no_main)]

#[cfg(libfuzzer)]
libfuzzer_sys::fuzz_target!(|input: nori_cache_fuzz::organs::store::Input| input.run());

#[cfg(not(libfuzzer))]
fn main() {
    eprintln!("This is a fuzz target: run it with `cargo +nightly fuzz run store`.");
}
