//! Any of the targets under libFuzzer: which one says `ANASAZI_FUZZ_TARGET`.
#![no_main]

use std::sync::OnceLock;

static TARGET: OnceLock<anasazi_fuzz::Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("ANASAZI_FUZZ_TARGET").unwrap_or_default();
        anasazi_fuzz::target(&name).unwrap_or_else(|| panic!("no target is called {name:?}"))
    });
    target(data);
});
