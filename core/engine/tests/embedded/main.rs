//! Engines inside a program of its own, which drives them with `poll` and `Engine::process`.

mod bridges;
mod changing;
mod domains;
mod ending;
mod errors;
mod garbage;
mod host;
mod lanes;
mod ring;
mod sealing;
mod slow;
mod streams;
#[allow(unsafe_code)]
mod sys;
mod threads;

use host::{Host, PATIENCE, settings};
