//! What is measured in small, without a network, clocks and threads, so that equal programs do
//! equal work each time. `counts.py` counts the instructions, `benches` takes the time.
//!
//! | module | what |
//! |---|---|
//! | `ordering` | the ordering step, from a message that is accepted to its delivery at all nodes |
//! | `sending` | the send path, from the call of a program to datagrams for the network |
//! | `sealing` | datagrams sealed and opened |
//! | `ring` | both ends of a client's ring |

pub mod ordering;
pub mod ring;
pub mod sealing;
pub mod sending;
