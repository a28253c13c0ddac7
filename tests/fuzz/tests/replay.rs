//! Every committed input of every target, as an ordinary test. Of each target some input is
//! accepted: a corpus of what is refused at once shows nothing.

use std::path::Path;
use std::thread;

use anasazi_fuzz::TARGETS;

/// The inputs of one target, one after the other: length as u32, little-endian, then the bytes.
fn inputs(name: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format!("{name}.bin"));
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut rest = bytes.as_slice();
    let mut inputs = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let (input, after) = after.split_at(u32::from_le_bytes(*len) as usize);
        inputs.push(input.to_vec());
        rest = after;
    }
    assert!(rest.is_empty(), "{} ends in the middle of an input", path.display());
    inputs
}

#[test]
fn every_input_of_the_corpora_does_no_harm() {
    let replay = |(name, target): &(&str, anasazi_fuzz::Target)| {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        let mut accepted = 0;
        for (index, input) in inputs.iter().enumerate() {
            let Ok(good) = std::panic::catch_unwind(|| target(input)) else {
                panic!("{name}: input {index} of {}: {input:02x?}", inputs.len());
            };
            accepted += usize::from(good);
        }
        eprintln!("{name}: {accepted} of {} inputs are accepted", inputs.len());
        assert!(accepted > 0, "{name}: no input comes past the first refusal");
    };
    thread::scope(|scope| {
        for target in &TARGETS {
            scope.spawn(move || replay(target));
        }
    });
}

/// What costs nothing to try: the empty input, and long ones of one byte.
#[test]
fn the_plainest_inputs_do_no_harm() {
    for (_, target) in TARGETS {
        target(&[]);
        for byte in [0, 1, 0x7f, 0xff] {
            target(&[byte; 300]);
        }
    }
}
