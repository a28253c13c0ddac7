//! What the table of tests/scenarios says that the swarm shows, seeds do draw.

use std::collections::BTreeSet;
use std::fs;

use anasazi_sim::network::Lasting;
use anasazi_sim::options::{MachineOptions, Options, Traffic};

/// Seeds in which each has to come, and must not always come.
const SEEDS: u64 = 3_000;

type Drawn = fn(&Options) -> bool;

/// Options, as the table names them.
const OPTIONS: &[(&str, Drawn)] = &[
    ("bad-links", |o| o.lasting == Lasting::Links),
    ("boots-cut", |o| o.machine.boots_cut > 0),
    ("churn", |o| o.traffic.churn > Traffic::none().churn),
    ("corrupt", |o| o.network.corrupt > 0),
    ("contract", |o| o.contract.is_binding()),
    ("disconnect", |o| o.traffic.disconnect > 0),
    ("jitter", |o| o.network.jitter_us > o.network.delay_us),
    ("late", |o| o.network.late.0 > 0),
    ("loss", |o| o.network.loss > 0),
    ("mailbox", |o| o.machine.mailbox_len_max < MachineOptions::good().mailbox_len_max),
    ("persist", |o| o.machine.persist_us > 100_000),
    ("reorder", |o| o.network.reorder > 0),
    ("replay", |o| o.network.replay > 0),
    ("restless", |o| o.restless),
    ("slow-nodes", |o| o.machine.slow_nodes > 0),
    ("turn", |o| o.machine.turn_us > 0),
    ("unreliable", |o| o.traffic.unreliable > 0),
];

/// The words after `swarm` in the table.
fn words() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/README.md");
    let table = fs::read_to_string(path).expect("tests/scenarios/README.md");
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let after = rows.flat_map(|row| row.split("swarm ").skip(1));
    // `Leave`, `turn` with `loss` |
    let quoted = after.flat_map(|text| {
        let cell = text.split(" |").next().unwrap_or_default();
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    });
    // The name of a planted bug stands in some.
    let is_drawn = |word: &String| !word.contains(['.', '/', '_', ' ']);
    quoted.filter(is_drawn).collect()
}

#[test]
fn seeds_draw_what_the_table_says() {
    let seeds: Vec<Options> = (1..=SEEDS).map(|seed| Options::new(seed, None)).collect();
    let kinds = |o: &Options| o.faults.iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>();
    let words = words();
    assert!(words.len() > 20, "{words:?}");
    for (name, _) in OPTIONS {
        assert!(words.contains(*name), "no row is shown by {name}");
    }
    for word in &words {
        let drawn = match OPTIONS.iter().find(|(name, _)| name == word) {
            Some((_, drawn)) => seeds.iter().filter(|o| drawn(o)).count(),
            None => seeds.iter().filter(|o| kinds(o).contains(word)).count(),
        };
        assert!(drawn > 10, "{word}: drawn by {drawn} of {SEEDS} seeds");
        assert!(drawn < seeds.len() - 10, "{word}: drawn by {drawn} of {SEEDS} seeds");
    }
}
