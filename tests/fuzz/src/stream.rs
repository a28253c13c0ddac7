//! What comes over a session's socket, from whoever is at its other end.

use anasazi_stream::fuzz::{self, Carried};

/// Acts of one run.
const ACTS_MAX: usize = 400;

/// Frames in pieces, while the user of the rings reads, holds, gives back and speaks. The first
/// byte says at which side; then each act is a byte, and what it takes.
pub(crate) fn stream_frames(data: &[u8]) -> bool {
    let Some((first, mut rest)) = data.split_first() else { return false };
    let mut carried = Carried::new(first & 1 == 0);
    let mut records = 0;
    for _ in 0..ACTS_MAX {
        let Some((act, after)) = rest.split_first() else { break };
        rest = after;
        match act {
            0..=199 => {
                let piece;
                (piece, rest) = rest.split_at(rest.len().min(usize::from(*act)));
                if !carried.hear(piece) {
                    break;
                }
            }
            200..=219 => records += usize::from(carried.take().is_some()),
            220..=239 => carried.release(usize::from(act - 220)),
            _ => {
                let len = usize::from(act - 239) * 500;
                carried.say(&vec![7; len]);
            }
        }
    }
    while carried.take().is_some() {
        records += 1;
    }
    records > 0
}

/// The start of a stream.
pub(crate) fn stream_greeting(data: &[u8]) -> bool {
    fuzz::greeting(data)
}
