//! How a batch of events is laid out for JavaScript: a row of numbers for each, one piece of memory
//! for all small data, and a list of what is neither. `lib/inbox.js` reads it.
//!
//! Every message is copied once, out of the session's ring. To leave it there until its buffer is
//! collected would be dearer: the ring is given back in order, so that one message which is held
//! stops the session once the rest of the ring is full, and a collection may never come.

use std::collections::HashMap;

use anasazi_sys::{Batch, Event, Kind, Member, View, generated};
use napi::Env;
use napi::bindgen_prelude::{Array, BufferSlice};
use napi_derive::napi;

/// Numbers in a row, as of a `Float64Array`.
const COLUMNS: usize = 10;
/// Bytes of a row.
pub(crate) const ROW_LEN: usize = COLUMNS * size_of::<f64>();
/// Data up to so many bytes is put together; longer data gets a buffer of its own.
pub(crate) const SMALL_LEN: usize = 4096;
/// Small data for which there is no room is put together in pieces of so many bytes at most, since
/// one message that is kept keeps all of its piece.
const PIECE_LEN: usize = 64 * 1024;
/// Places in the list of what else there is.
const DATA: u32 = 0;
const NEW_MEMBERS: u32 = 1;
const FIRST: u32 = 2;

/// A view, with members by number.
#[napi(object)]
#[derive(Debug)]
pub struct ViewParts {
    /// Equal ids: equal members.
    pub id: String,
    /// `ANZ_CAUSE_*`.
    pub cause: u32,
    /// Everybody.
    pub members: Vec<u32>,
    /// Not in the view before.
    pub joined: Vec<u32>,
    /// In the view before, and gone.
    pub left: Vec<u32>,
    /// Came here with us.
    pub together: Vec<u32>,
    /// Which set each came with.
    pub sets: Vec<u32>,
    /// Why, in one sentence.
    pub reason: String,
}

/// Members by number, so that JavaScript makes an object of each but once.
#[derive(Debug, Default)]
pub(crate) struct Members {
    numbers: HashMap<Member, u32>,
    last: Option<(Member, u32)>,
    /// Node and session of those that JavaScript has not been told of.
    fresh: Vec<String>,
}

impl Members {
    fn number(&mut self, member: Member) -> u32 {
        if let Some((_, number)) = self.last.filter(|(last, _)| *last == member) {
            return number;
        }
        let next = self.numbers.len() as u32;
        let number = *self.numbers.entry(member).or_insert_with(|| {
            self.fresh.extend([member.node.to_string(), member.session.to_string()]);
            next
        });
        self.last = Some((member, number));
        number
    }

    /// Begins anew, as JavaScript does.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Small data for which there is no room; a place is the number of a piece and one within it.
#[derive(Debug, Default)]
struct Overflow {
    pieces: Vec<Vec<u8>>,
}

impl Overflow {
    /// Gives the place.
    fn put(&mut self, bytes: &[u8]) -> usize {
        if self.pieces.last().is_none_or(|piece| piece.len() + bytes.len() >= PIECE_LEN) {
            self.pieces.push(Vec::with_capacity(PIECE_LEN));
        }
        let number = self.pieces.len() - 1;
        let piece = &mut self.pieces[number];
        let place = number * PIECE_LEN + piece.len();
        piece.extend_from_slice(bytes);
        place
    }

    fn into_buffers<'env>(self, env: &'env Env) -> napi::Result<Vec<BufferSlice<'env>>> {
        self.pieces.into_iter().map(|piece| BufferSlice::copy_from(env, piece)).collect()
    }
}

/// Where a batch is laid out.
pub(crate) struct Layout<'a, 'env> {
    pub(crate) env: &'env Env,
    pub(crate) rows: &'a mut [u8],
    pub(crate) small: &'a mut [u8],
    pub(crate) extras: &'a mut Array<'env>,
    pub(crate) members: &'a mut Members,
    /// JavaScript's numbers of groups.
    pub(crate) groups: &'a HashMap<usize, u32>,
}

impl Layout<'_, '_> {
    /// Lays all of it out.
    pub(crate) fn put(mut self, batch: &Batch<'_>) -> napi::Result<()> {
        let small_len = |event: Event<'_>| Some(data(event).len()).filter(|len| *len <= SMALL_LEN);
        let needed: usize = batch.iter().filter_map(small_len).sum();
        let mut overflow = (needed > self.small.len()).then(Overflow::default);
        let (mut used, mut next_extra) = (0, FIRST);
        for at in 0..batch.len() {
            let event = batch.event(at);
            let bytes = data(event);
            let mut row = self.row(event);
            row[8] = bytes.len() as f64;
            if bytes.len() <= SMALL_LEN {
                if let Some(overflow) = &mut overflow {
                    row[7] = overflow.put(bytes) as f64;
                } else {
                    row[7] = used as f64;
                    self.small[used..used + bytes.len()].copy_from_slice(bytes);
                    used += bytes.len();
                }
            } else {
                row[7] = -f64::from(next_extra);
                self.extras.set(next_extra, &BufferSlice::copy_from(self.env, bytes)?)?;
                next_extra += 1;
            }
            if let Some(view) = event.view() {
                row[9] = f64::from(next_extra);
                let parts = self.view(view);
                self.extras.set(next_extra, parts)?;
                next_extra += 1;
            } else if event.is_to_several() {
                row[9] = f64::from(next_extra);
                let number = |key: usize| self.groups.get(&key).copied();
                let groups: Vec<u32> = event.groups().into_iter().filter_map(number).collect();
                self.extras.set(next_extra, groups)?;
                next_extra += 1;
            }
            for (place, number) in self.rows[at * ROW_LEN..].chunks_exact_mut(8).zip(row) {
                place.copy_from_slice(&number.to_ne_bytes());
            }
        }
        if let Some(overflow) = overflow {
            self.extras.set(DATA, overflow.into_buffers(self.env)?)?;
        }
        if !self.members.fresh.is_empty() {
            self.extras.set(NEW_MEMBERS, std::mem::take(&mut self.members.fresh))?;
        }
        Ok(())
    }

    /// Kind, group, status, service, sender, sequence, tag; then place and length of the data, and
    /// what else there is.
    fn row(&mut self, event: Event<'_>) -> [f64; COLUMNS] {
        let kind = event.kind();
        let group = event.group().and_then(|key| self.groups.get(&key).copied()).unwrap_or(0);
        let status = event.outcome().unwrap_or_else(|| event.status()).0;
        let has_sender = matches!(kind, Kind::Message | Kind::Resumed);
        let sender = if has_sender { self.members.number(event.sender()) } else { 0 };
        let sequence = if kind == Kind::Gap { event.skipped() } else { event.sequence() };
        [
            f64::from(code(kind, event.has_more())),
            f64::from(group),
            f64::from(status),
            f64::from(event.service()),
            f64::from(sender),
            sequence as f64,
            event.tag() as f64,
            0.0,
            0.0,
            0.0,
        ]
    }

    fn view(&mut self, view: View<'_>) -> ViewParts {
        let (ring, representative, incarnation, ordinal, below) = view.id();
        let mut numbers = |members: Vec<Member>| {
            members.into_iter().map(|member| self.members.number(member)).collect()
        };
        ViewParts {
            id: format!("{ring}.{representative}.{incarnation}.{ordinal}.{below}"),
            cause: view.cause(),
            members: numbers(view.members()),
            joined: numbers(view.joined()),
            left: numbers(view.left()),
            together: numbers(view.together()),
            sets: view.sets(),
            reason: view.reason(),
        }
    }
}

/// What JavaScript is to see of an event's data: none of what the numbers say.
fn data(event: Event<'_>) -> &[u8] {
    if matches!(event.kind(), Kind::Receipt | Kind::Gap) { &[] } else { event.data() }
}

/// `ANZ_EV_*`; for a part of a reply that is not the last one, negative.
fn code(kind: Kind, has_more: bool) -> i32 {
    let code = match kind {
        Kind::Message => generated::ANZ_EV_MESSAGE,
        Kind::View => generated::ANZ_EV_VIEW,
        Kind::Transitional => generated::ANZ_EV_TRANSITIONAL,
        Kind::Writable => generated::ANZ_EV_WRITABLE,
        Kind::Left => generated::ANZ_EV_LEFT,
        Kind::Suspended => generated::ANZ_EV_SUSPENDED,
        Kind::Resumed => generated::ANZ_EV_RESUMED,
        Kind::Closed => generated::ANZ_EV_CLOSED,
        Kind::Receipt => generated::ANZ_EV_RECEIPT,
        Kind::Reply => generated::ANZ_EV_REPLY,
        Kind::Gap => generated::ANZ_EV_GAP,
        Kind::Unknown(code) => u32::from(code),
    } as i32;
    if has_more { -code } else { code }
}
