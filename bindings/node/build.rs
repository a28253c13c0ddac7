//! How the addon finds its library, and that it stays.

fn main() {
    // libanasazi.so.1 lies beside it.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-rpath,$ORIGIN");
    // A worker that ends unloads what it has loaded, but threads of the library and finalizers of
    // other environments still run in it.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
