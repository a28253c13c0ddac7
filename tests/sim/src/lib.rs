//! The deterministic simulator: a whole cluster in one thread and in virtual time, made of real
//! engine turns, a simulated network, simulated disks, clocks and clients, with the oracle watching
//! every step. One seed is one run, for ever.
//!
//! [`run::run`] takes a seed from its options to its outcome. Directed scenarios drive a
//! [`cluster::Cluster`] by hand.
#![forbid(unsafe_code)]

pub mod clients;
mod cliques;
mod clocks;
pub mod cluster;
mod contracts;
mod cuts;
mod digest;
pub mod domains;
mod engine;
pub mod explore;
pub mod faults;
pub mod health;
pub mod idle;
pub mod lifecycle;
pub mod liveness;
mod mischief;
pub mod network;
pub mod node;
pub mod options;
pub mod random;
mod reading;
pub mod run;
pub mod scenario;
pub mod schedule;
pub mod seals;
mod seen;
pub mod session;
pub mod shrink;
mod sizes;
pub mod story;
mod trap;
mod turn;
pub mod upgrades;
