//! Datagrams in and out, in batches, to one address or to a multicast group.
//!
//! [`Transport`] is the whole border. [`Udp`] is the real one; [`Memory`] connects engines in one
//! process, for tests; [`Faulty`] wraps either and loses datagrams by rules that can be changed
//! while it runs. Nothing here knows what is in a datagram, waits, or starts a thread: the caller
//! polls [`Transport::fds`] and calls in.
//!
//! ```text
//!   transport.rs  the trait            counters.rs  what it counts
//!   udp/          sockets, order of receiving, runs for segmentation offload, errors that help
//!   memory.rs     a network of queues  faulty.rs    loss and partitions
//!   sys/          the system calls, behind safe functions; the only `unsafe` of this crate
//! ```
#![deny(unsafe_code)]

mod counters;
mod faulty;
mod memory;
mod sys;
mod transport;
mod udp;

pub use counters::TransportCounters;
pub use faulty::Faulty;
pub use memory::{Memory, MemoryNetwork};
pub use transport::{Life, Received, Target, Transport};
pub use udp::{OpenError, Udp, UdpOptions};
