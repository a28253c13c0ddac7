//! Holds the source tree to the rules that a compiler does not know. Every test is one rule; each
//! rule is also tried on a planted offence, so that it is known to find something.
//!
//! | file | what |
//! |---|---|
//! | `tree` | the files under version control |
//! | `rust` | just enough of a Rust reader: comments and text blanked, functions, test code |
//! | `rules` | the rules about single files |
//! | `arrows` | which crate may depend on which, and why others are used |
#![cfg(test)]

mod arrows;
mod rules;
mod rust;
mod tree;

use tree::File;

/// Fails with all findings of a rule, one a line.
fn hold(rule: impl Fn(&File) -> Vec<String>) {
    let findings: Vec<String> = tree::files().iter().flat_map(rule).collect();
    assert!(findings.is_empty(), "{} findings\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn unsafe_code_stays_behind_its_fence() {
    hold(rules::unsafe_fence);
}

#[test]
fn locks_are_where_nobody_waits_long() {
    hold(rules::locks);
}

#[test]
fn functions_fit_a_screen() {
    hold(rules::function_length);
}

#[test]
fn files_have_one_reason() {
    hold(rules::file_length);
}

#[test]
fn lines_fit_the_width() {
    hold(rules::line_width);
}

#[test]
fn nothing_is_left_for_later() {
    hold(rules::left_for_later);
}

#[test]
fn no_drawer_for_odds_and_ends() {
    hold(rules::drawers);
}

#[test]
fn crates_say_what_they_are() {
    hold(rules::crate_doc);
}

#[test]
fn documents_have_one_title() {
    hold(rules::one_title);
}

#[test]
fn tabs_are_for_makefiles() {
    hold(rules::tabs);
}

#[test]
fn crates_use_only_what_their_arrows_reach() {
    hold(arrows::reach);
}

#[test]
fn dependencies_say_why_they_are_here() {
    hold(arrows::reasons);
}
