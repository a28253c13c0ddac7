//! What is measured in small, without sockets, clocks and threads, so that equal programs do equal
//! work each time: the ordering step, from a message that is accepted to its delivery at all nodes.
//!
//! ```text
//! valgrind --tool=callgrind target/release/anasazi-micro 1024 4000
//! ```

pub mod ordering;
