//! Bridges: what is sent to a group in one domain, for the members of a group in another one. A
//! pure state machine: deliveries and views go in, in their order, and forwards come out; time is
//! an argument. PROTOCOL.md ("Bridges") says what is promised, and why it holds.
//!
//! | file | what |
//! |---|---|
//! | `key` | where in the source's order a message stands, comparable everywhere |
//! | `header` | what travels in front of a forwarded message |
//! | `receiver` | at every node of the target: what is new, what comes again, what is missing |
//! | `queue` | at a gateway: what waits, within its bounds |
//! | `rate` | how much may be sent |
//! | `gateway` | one gateway: what it forwards, and when |
//! | `far` | what gateways tell of who is in the source |

#![forbid(unsafe_code)]

mod far;
mod gateway;
mod header;
mod key;
mod queue;
mod rate;
mod receiver;

pub use far::{FAR_MEMBERS_MAX, Far, FarPart, FarParts};
pub use gateway::{Counters, Forward, Gateway, Options, Source};
pub use header::{HEADER_LEN_MAX, HOPS_MAX, Header};
pub use key::Key;
pub use receiver::{Receiver, Verdict};
