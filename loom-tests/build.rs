//! Turns the core's loom side on, for this package alone.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(nori_loom)");
    println!("cargo:rustc-check-cfg=cfg(nori_portable)");
    println!("cargo:rustc-check-cfg=cfg(fuzzing)");
    println!("cargo:rustc-check-cfg=cfg(feature, values(\"backend\", \"serde\"))");
    println!("cargo:rustc-cfg=nori_loom");
}
