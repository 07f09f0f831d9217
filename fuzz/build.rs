//! Sets `cfg(fuzzing)`, with which the sources compile their `validate()` functions, also where cargo-fuzz does not; and
//! `cfg(libfuzzer)` where it does.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(fuzzing, libfuzzer, nori_loom, nori_portable)");
    println!("cargo::rustc-cfg=fuzzing");
    if std::env::var_os("CARGO_CFG_FUZZING").is_some() {
        println!("cargo::rustc-cfg=libfuzzer");
    }
}
