//! Does what is to be counted: see `counts.py`, which runs it under valgrind.
#![allow(clippy::print_stdout, reason = "a command")]

use std::time::Instant;

use anasazi_micro::ordering::Cluster;
use anasazi_micro::sending::Pair;

const NODES: u64 = 4;
const USAGE: &str = "usage: anasazi-micro order LEN COUNT   COUNT messages of each of four nodes
       anasazi-micro send LEN COUNT    COUNT messages of a program
       anasazi-micro features          what the processor can, as far as code here asks for it";

fn main() -> Result<(), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    match (words.first().map(String::as_str), number(1), number(2)) {
        (Some("order"), Some(len), Some(count)) => {
            let mut cluster = Cluster::new(NODES as usize);
            let deliveries = count * NODES * NODES;
            tell(deliveries, "deliveries", || cluster.order(count, len as usize, false));
        }
        (Some("send"), Some(len), Some(count)) => {
            let mut pair = Pair::new();
            tell(count, "messages", || pair.send(count, len as usize));
        }
        (Some("features"), ..) => println!("{}", features()),
        _ => return Err(USAGE.to_owned()),
    }
    Ok(())
}

/// The first word is what instructions are divided by.
fn tell(count: u64, what: &str, work: impl FnOnce()) {
    let begin = Instant::now();
    work();
    let each = begin.elapsed().as_nanos() as f64 / count as f64;
    println!("{count} {what}, {each:.0} ns each");
}

/// Valgrind shows its programs a processor of its own, which knows no more than it does. So they
/// have to say themselves by what the code for copies and checksums is chosen.
fn features() -> String {
    let mut words = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        let known = [
            (is_x86_feature_detected!("sse4.2"), "sse4.2"),
            (is_x86_feature_detected!("pclmulqdq"), "pclmulqdq"),
            (is_x86_feature_detected!("avx"), "avx"),
            (is_x86_feature_detected!("avx2"), "avx2"),
            (is_x86_feature_detected!("avx512f"), "avx512f"),
        ];
        words.extend(known.iter().filter(|(has, _)| *has).map(|(_, word)| *word));
    }
    words.join(" ")
}
