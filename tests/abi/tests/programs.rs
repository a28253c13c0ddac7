//! C programs against the library, each a test of its own. They say where they fail.

use std::process::Command;

use anasazi_abi::{compile, run};

fn passes(name: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let program = compile(&format!("tests/abi/c/{name}.c"), directory.path());
    // Whatever hangs is a failure too.
    let printed = run(Command::new("timeout").arg("100").arg(program));
    assert!(printed.ends_with("ok\n"), "{printed}");
}

#[test]
fn a_session_does_all_that_it_can_do() {
    passes("session");
}

#[test]
fn every_way_of_sending_does_what_it_says_or_is_refused() {
    passes("services");
}

#[test]
fn a_broken_invariant_is_told_to_all_and_the_program_lives() {
    passes("broken");
}

#[test]
fn stale_and_wild_handles_are_told_from_good_ones() {
    passes("stale");
}

#[test]
fn a_signal_handler_may_send_at_any_moment() {
    passes("storm");
}

#[test]
fn a_child_cannot_use_its_parents_handles_and_does_them_no_harm() {
    passes("forked");
}
