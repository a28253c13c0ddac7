//! Orders messages in a ring of four: LEN bytes each, COUNT of each node.
#![allow(clippy::print_stdout, reason = "a command")]

use std::time::Instant;

use anasazi_micro::ordering::Cluster;

const NODES: u64 = 4;

fn main() -> Result<(), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let (Some(len), Some(count)) = (number(0), number(1)) else {
        return Err("usage: anasazi-micro LEN COUNT".to_owned());
    };
    let mut cluster = Cluster::new(NODES as usize);
    let begin = Instant::now();
    cluster.order(count, len as usize, false);
    let took = begin.elapsed();
    let each = took.as_nanos() as f64 / (count * NODES * NODES) as f64;
    println!("{each:.0} ns for each message and node");
    Ok(())
}
