//! One session's rings against one stream: records leave and arrive, and each side hears how far
//! the other has given its room back.
//!
//! A record arrives only when it fits, because its sender's ring is as large and no emptier; so
//! reading from the stream never waits for anybody.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use anasazi_queue::ring::{Claim, PushError, Record};
use anasazi_queue::wake;

use crate::frame::{CLAIMED, HEAD_LEN, Head, PADDING, PASSED};
use crate::limits::{BUFFER_LEN, RELEASE_LEN_MAX, ROUNDS_MAX, TELL_SHARE};
use crate::sys::rings::{Rings, Side};

/// The rings of a session, and what is on its way.
pub(crate) struct Mirror {
    rings: Rings,
    /// Wakes who uses the other ends.
    wake: OwnedFd,
    /// Bytes that have to leave, from `written` on.
    buffer: Vec<u8>,
    written: usize,
    /// The record that is leaving, and how much of it is in the buffer.
    leaving: Option<(Record, usize)>,
    /// How far the other side knows that we have given room back.
    told: u64,
    /// What it is told next, once so much of the leaving ring has left.
    to_tell: Option<(u64, u64)>,
    /// How far it has given room back.
    passed: u64,
    /// Up to where it was told that the ring is claimed, and up to where it has told us so.
    claimed: u64,
    noted: u64,
    /// Bytes that have left, ever.
    sent: u64,
    expected: Expected,
    head: [u8; HEAD_LEN],
    head_len: usize,
    inbox: Box<[u8]>,
}

/// What the next bytes of the stream are.
enum Expected {
    Head,
    /// For a frame of this kind.
    Position(u16),
    /// Of a record, which is there up to this byte.
    Record(Claim, usize),
}

/// What has become of what was to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// It has left.
    All,
    /// It waits for the stream.
    Waits,
    /// It has not, and more can leave now.
    More,
}

/// Why a stream has ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The other side closed it.
    Closed,
    /// The system says so.
    Failed(std::io::Error),
    /// What came over it, or is in the ring, is not what any release writes.
    Broken(String),
}

impl Mirror {
    pub(crate) fn new(rings: Rings, wake: OwnedFd) -> Self {
        Self {
            rings,
            wake,
            buffer: Vec::with_capacity(BUFFER_LEN + HEAD_LEN),
            written: 0,
            leaving: None,
            told: 0,
            to_tell: None,
            passed: 0,
            claimed: 0,
            noted: 0,
            sent: 0,
            expected: Expected::Head,
            head: [0; HEAD_LEN],
            head_len: 0,
            inbox: vec![0; BUFFER_LEN].into(),
        }
    }

    /// Moves what can be moved. True: there is more; false: the stream or the wake-up will tell.
    ///
    /// # Errors
    /// The stream has ended; what came over it before is in the ring.
    pub(crate) fn turn(&mut self, stream: &mut (impl Read + Write)) -> Result<bool, Ended> {
        self.rings.leaving.cancel_sleep();
        for _ in 0..ROUNDS_MAX {
            let has_read = self.read(stream);
            let has_room = self.give_back();
            self.wake_users();
            let has_written = match self.write(stream) {
                Ok(has_written) => has_written,
                Err(ended) => {
                    self.read_rest(stream);
                    return Err(ended);
                }
            };
            if !(has_read? || has_room || has_written) && self.may_sleep() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The stream's end is near: only what is in the ring still leaves.
    ///
    /// # Errors
    /// The stream has ended.
    pub(crate) fn drain(&mut self, stream: &mut impl Write) -> Result<Drained, Ended> {
        for _ in 0..ROUNDS_MAX {
            if !self.write(stream)? {
                let waits = !self.is_empty();
                return Ok(match waits || self.rings.leaving.prepare_sleep() {
                    true if waits => Drained::Waits,
                    true => Drained::All,
                    false => Drained::More,
                });
            }
        }
        Ok(Drained::More)
    }

    /// Bytes that have left so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// The ring is so full that whoever reads it may be waited for: how far it was read is to be
    /// looked at now and then, however little that was.
    pub(crate) fn is_watched(&self) -> bool {
        self.rings.arriving.used() > self.rings.arriving.capacity() / 2
    }

    /// Nothing can be written any more: what has come is still for the user of the ring.
    fn read_rest(&mut self, stream: &mut impl Read) {
        while matches!(self.read(stream), Ok(true)) {}
        self.wake_users();
    }

    fn is_empty(&self) -> bool {
        self.written == self.buffer.len() && self.leaving.is_none()
    }

    /// Nothing can be done before somebody writes to the ring, gives room back, or the stream does
    /// something.
    fn may_sleep(&mut self) -> bool {
        if !self.is_empty() {
            return true; // until the stream takes more
        }
        let (arriving, leaving) = (&self.rings.arriving, &self.rings.leaving);
        let (released, claimed) = (arriving.released_to(), arriving.claimed_to());
        let some = (claimed - released).min(arriving.capacity() / TELL_SHARE);
        if some > 0 && arriving.want_released_to(released + some) {
            return false;
        }
        leaving.prepare_sleep() && !self.tell_of_claim()
    }

    /// Somebody keeps a claim open at the client: the engine tells people of that. True: it has to
    /// leave.
    fn tell_of_claim(&mut self) -> bool {
        let leaving = &self.rings.leaving;
        let claimed = leaving.position() + leaving.waiting();
        let is_told = claimed == self.claimed || leaving.open_claim().is_none();
        if self.rings.side == Side::Client || is_told {
            return false;
        }
        self.claimed = claimed;
        self.buffer.clear();
        self.written = 0;
        self.put_position(CLAIMED, claimed);
        true
    }

    fn put_position(&mut self, kind: u16, position: u64) {
        let head = Head { len: size_of::<u64>() as u32, kind, flags: 0 };
        self.buffer.extend_from_slice(&head.bytes());
        self.buffer.extend_from_slice(&position.to_le_bytes());
    }

    fn wake_users(&self) {
        let for_room = self.rings.leaving.room_wanted();
        if self.rings.arriving.wake_needed() || for_room {
            wake::wake(self.wake.as_raw_fd());
        }
    }

    // ---- what leaves

    /// Writes once. False: there is nothing, or the stream takes no more.
    fn write(&mut self, stream: &mut impl Write) -> Result<bool, Ended> {
        if self.written == self.buffer.len() {
            self.buffer.clear();
            self.written = 0;
            self.fill()?;
        }
        if self.buffer.is_empty() {
            return Ok(false);
        }
        match stream.write(&self.buffer[self.written..]) {
            Ok(len) => {
                self.written += len;
                self.sent += len as u64;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Ended::Failed(error)),
        }
        Ok(true)
    }

    fn fill(&mut self) -> Result<(), Ended> {
        self.look_for_news();
        while self.buffer.len() < BUFFER_LEN {
            self.tell();
            if self.leaving.is_none() && !self.begin_next()? {
                break;
            }
            if let Some((record, at)) = &mut self.leaving {
                let room = BUFFER_LEN.saturating_sub(self.buffer.len());
                *at += self.rings.copy(record, *at, room, &mut self.buffer);
                if *at == record.len {
                    self.leaving = None;
                }
            }
        }
        self.tell();
        Ok(())
    }

    /// The next record begins to leave; false if there is none.
    fn begin_next(&mut self) -> Result<bool, Ended> {
        let next = self.rings.leaving.next_or_padding();
        let next = next.map_err(|_| Ended::Broken("the ring holds no record".to_owned()))?;
        let Some(record) = next else { return Ok(false) };
        let Record { kind, flags, len, .. } = record;
        self.buffer.extend_from_slice(&Head { len: len as u32, kind, flags }.bytes());
        if kind != PADDING {
            self.leaving = Some((record, 0));
        }
        Ok(true)
    }

    /// Room was given back that the other side does not know of. At the engine it may hear of that
    /// only behind what was said before: what the engine has taken.
    fn look_for_news(&mut self) {
        let released = self.rings.arriving.released_to();
        if self.to_tell.is_none() && released != self.told {
            let leaving = &self.rings.leaving;
            let behind = match self.rings.side {
                Side::Client => leaving.position() + leaving.waiting(),
                Side::Engine => 0,
            };
            self.to_tell = Some((released, behind));
        }
    }

    fn tell(&mut self) {
        if let Some((position, behind)) = self.to_tell
            && self.left_to() >= behind
            && self.leaving.is_none()
        {
            self.to_tell = None;
            self.told = position;
            self.put_position(PASSED, position);
        }
    }

    /// What lies before this place in the leaving ring is in the buffer, or has left.
    fn left_to(&self) -> u64 {
        let begun = self.leaving.as_ref().map(|(record, _)| record.position);
        begun.unwrap_or_else(|| self.rings.leaving.position())
    }

    /// The other side has given room back: so does this one. True: there is more to give.
    fn give_back(&mut self) -> bool {
        let up_to = self.passed.min(self.left_to());
        self.rings.leaving.release_some(up_to, RELEASE_LEN_MAX);
        self.rings.leaving.released_to() < up_to & !7
    }

    // ---- what arrives

    /// Reads once. False: there is nothing.
    fn read(&mut self, stream: &mut impl Read) -> Result<bool, Ended> {
        let mut inbox = std::mem::take(&mut self.inbox);
        let got = stream.read(&mut inbox);
        let taken = match &got {
            Ok(len) => self.take(&inbox[..*len]),
            Err(_) => Ok(()),
        };
        self.inbox = inbox;
        taken?;
        match got {
            Ok(0) => Err(Ended::Closed),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(Ended::Failed(error)),
        }
    }

    /// Takes the next bytes of the stream, wherever they were cut.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> Result<(), Ended> {
        while !bytes.is_empty() {
            if let Expected::Record(claim, at) = &mut self.expected {
                let len = self.rings.fill(claim, *at, bytes);
                *at += len;
                bytes = &bytes[len..];
            } else {
                let len = bytes.len().min(HEAD_LEN - self.head_len);
                self.head[self.head_len..][..len].copy_from_slice(&bytes[..len]);
                self.head_len += len;
                bytes = &bytes[len..];
                if self.head_len < HEAD_LEN {
                    return Ok(());
                }
                self.head_len = 0;
                self.expected = self.follows()?;
            }
            self.commit_if_whole();
        }
        Ok(())
    }

    /// What comes behind the eight bytes in `head`.
    fn follows(&mut self) -> Result<Expected, Ended> {
        if let Expected::Position(kind) = self.expected {
            let position = u64::from_le_bytes(self.head);
            match kind {
                CLAIMED => {
                    self.noted = position;
                    self.rings.arriving.note_claimed(position);
                }
                _ => self.passed = self.passed.max(position),
            }
            return Ok(Expected::Head);
        }
        let Head { len, kind, flags } = Head::of(self.head);
        if matches!(kind, CLAIMED | PASSED) {
            return match len {
                8 => Ok(Expected::Position(kind)),
                _ => Err(Ended::Broken(format!("a position of {len} bytes"))),
            };
        }
        let claim = self.rings.arriving.claim(kind, flags, len as usize).map_err(|error| {
            let what = match error {
                PushError::TooLong => "a record that is longer than its ring allows",
                PushError::Full => "a record for which there is no room",
                PushError::Corrupt => "nonsense in the ring",
            };
            Ended::Broken(format!("{what} ({len} bytes)"))
        })?;
        // Claiming has put its own end there.
        self.rings.arriving.note_claimed(self.noted.max(self.rings.arriving.claimed_to()));
        if kind == PADDING {
            self.rings.arriving.abort(claim);
            return Ok(Expected::Head);
        }
        Ok(Expected::Record(claim, 0))
    }

    fn commit_if_whole(&mut self) {
        match std::mem::replace(&mut self.expected, Expected::Head) {
            Expected::Record(claim, at) if at == claim.len => self.rings.arriving.commit(claim),
            other => self.expected = other,
        }
    }
}

impl Drop for Mirror {
    /// What has come in part never comes; who uses the rings sees that nothing more does.
    fn drop(&mut self) {
        if let Expected::Record(claim, _) = std::mem::replace(&mut self.expected, Expected::Head) {
            self.rings.arriving.abort(claim);
        }
        wake::wake(self.wake.as_raw_fd());
    }
}
