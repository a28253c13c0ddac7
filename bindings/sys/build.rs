//! Where libanasazi.so is when the wrappers are linked: `ANASAZI_LIB_DIR`, or where `make build`
//! puts it. Where it is when they are loaded is the business of each (beside them).

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=ANASAZI_LIB_DIR");
    let top = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../..");
    let made = top.join("target/release");
    let folder = env::var_os("ANASAZI_LIB_DIR").map_or(made, PathBuf::from);
    let library = folder.join("libanasazi.so.1");
    println!("cargo:rerun-if-changed={}", library.display());
    if !library.exists() {
        println!("cargo:warning=no {}: run `make build` at the top", library.display());
    }
    println!("cargo:rustc-link-search=native={}", folder.display());
    println!("cargo:rustc-link-lib=dylib=anasazi");
}
