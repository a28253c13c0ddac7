//! Structs that describe a record in the ring to a C program: they have the layout of the C header
//! and point into the ring.

use std::ffi::{CStr, c_char};
use std::slice;

use anasazi_queue::plain::Plain;
use anasazi_queue::record::{Member, ReceiptRecord, ViewId, ViewRecord};

use crate::group::GroupHandle;

/// What goes with a record, and goes when the record is released.
pub(crate) struct Frame {
    pub(crate) token: u64,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    View(View),
    Receipt(Receipt),
    /// The same of a message that was lost, with the name of its domain.
    Lost(Receipt, Box<CStr>),
    /// The groups of this session that a message was sent to.
    Groups(Box<[GroupHandle]>),
}

// SAFETY: what the pointers lead to is in a ring, is not written while the record is held, and has
// no thread.
unsafe impl Send for Frame {}
// SAFETY: as above.
unsafe impl Sync for Frame {}

/// A view of a group; `anz_view_t`, byte for byte. Its lists are in the same order at every member.
#[derive(Debug)]
#[repr(C)]
pub struct View {
    struct_size: u32,
    cause: u32,
    id: ViewId,
    members: *const Member,
    members_len: usize,
    joined: *const Member,
    joined_len: usize,
    left: *const Member,
    left_len: usize,
    together: *const Member,
    together_len: usize,
    sets: *const u32,
    reason: *const c_char,
}

impl View {
    /// `bytes` is the payload of a view record; `None` unless all that it announces is there.
    pub(crate) fn of(bytes: &[u8]) -> Option<(ViewRecord, Self)> {
        let (record, rest) = ViewRecord::split_from(bytes)?;
        let (members, rest) = members(rest, record.members)?;
        let (joined, rest) = self::members(rest, record.joined)?;
        let (left, rest) = self::members(rest, record.left)?;
        let (together, rest) = self::members(rest, record.together)?;
        let sets_len = (record.members as usize).checked_mul(size_of::<u32>())?;
        let (sets, rest) = rest.split_at_checked(sets_len.checked_next_multiple_of(8)?)?;
        let reason_len = record.reason_len as usize;
        if rest.get(reason_len) != Some(&0) || std::str::from_utf8(&rest[..reason_len]).is_err() {
            return None;
        }
        let view = Self {
            struct_size: size_of::<Self>() as u32,
            cause: record.cause,
            id: record.id,
            members: members.as_ptr().cast(),
            members_len: record.members as usize,
            joined: joined.as_ptr().cast(),
            joined_len: record.joined as usize,
            left: left.as_ptr().cast(),
            left_len: record.left as usize,
            together: together.as_ptr().cast(),
            together_len: record.together as usize,
            sets: sets.as_ptr().cast(),
            reason: rest.as_ptr().cast(),
        };
        // The ring aligns every payload to 8 bytes; all parts keep it so.
        bytes.as_ptr().cast::<u64>().is_aligned().then_some((record, view))
    }

    /// Why: `ANZ_CAUSE_*` of the C header.
    pub fn cause(&self) -> u32 {
        self.cause
    }

    /// Where in the ordered history; equal ids, equal members, everywhere.
    pub fn id(&self) -> ViewId {
        self.id
    }

    /// Everybody.
    pub fn members(&self) -> &[Member] {
        // SAFETY: `of` checked that so many aligned members are there, and who holds a `View` holds
        // its record.
        unsafe { slice::from_raw_parts(self.members, self.members_len) }
    }

    /// Members that were not in the view before.
    pub fn joined(&self) -> &[Member] {
        // SAFETY: as in `members`.
        unsafe { slice::from_raw_parts(self.joined, self.joined_len) }
    }

    /// Members of the view before that are gone.
    pub fn left(&self) -> &[Member] {
        // SAFETY: as in `members`.
        unsafe { slice::from_raw_parts(self.left, self.left_len) }
    }

    /// Members that came here together with this session from its last view.
    pub fn together(&self) -> &[Member] {
        // SAFETY: as in `members`.
        unsafe { slice::from_raw_parts(self.together, self.together_len) }
    }

    /// Per member the number of the set that it came with; 0 is this session's own.
    pub fn sets(&self) -> &[u32] {
        // SAFETY: as in `members`.
        unsafe { slice::from_raw_parts(self.sets, self.members_len) }
    }

    /// Who, why and on what evidence, in one sentence.
    pub fn reason(&self) -> &str {
        // SAFETY: `of` found a NUL behind it.
        unsafe { CStr::from_ptr(self.reason) }.to_str().unwrap_or_default()
    }
}

/// The fate of an own message; `anz_receipt_t`, byte for byte.
#[derive(Debug)]
#[repr(C)]
pub struct Receipt {
    struct_size: u32,
    status: i32,
    tag: u64,
    view: ViewId,
    members: *const Member,
    members_len: usize,
}

impl Receipt {
    pub(crate) fn of(record: ReceiptRecord) -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            status: record.status,
            tag: record.tag,
            view: ViewId::default(),
            members: std::ptr::null(),
            members_len: 0,
        }
    }

    /// As bytes, for an event's data.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        // SAFETY: repr(C) without padding, as the assertion below says.
        unsafe { slice::from_raw_parts(std::ptr::from_ref(self).cast(), size_of::<Self>()) }
    }
}

fn members(bytes: &[u8], count: u32) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked((count as usize).checked_mul(size_of::<Member>())?)
}

const _: () = assert!(size_of::<View>() == 8 + 40 + 8 * 8 + 2 * 8);
const _: () = assert!(size_of::<Receipt>() == 4 + 4 + 8 + 40 + 2 * 8);

#[cfg(test)]
mod tests {
    use super::*;

    fn record(members: u32, joined: u32, reason: &[u8]) -> Vec<u64> {
        let head = ViewRecord {
            members,
            joined,
            reason_len: reason.len() as u32,
            cause: 3,
            ..ViewRecord::default()
        };
        let mut bytes = head.as_bytes().to_vec();
        for n in 0..members + joined {
            bytes.extend_from_slice(Member { node: 7, session: u64::from(n) }.as_bytes());
        }
        for n in 0..members.next_multiple_of(2) {
            bytes.extend_from_slice(&n.to_ne_bytes());
        }
        bytes.extend_from_slice(reason);
        bytes.resize(bytes.len() + 8 - bytes.len() % 8, 0);
        bytes.chunks(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect()
    }

    fn bytes(words: &[u64]) -> &[u8] {
        // SAFETY: integers are bytes.
        unsafe { slice::from_raw_parts(words.as_ptr().cast(), words.len() * 8) }
    }

    #[test]
    fn a_view_shows_what_its_record_holds() {
        let words = record(3, 1, b"node 2 was lost");
        let (_, view) = View::of(bytes(&words)).unwrap();
        assert_eq!(view.members().iter().map(|m| m.session).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(view.joined().len(), 1);
        assert_eq!((view.left().len(), view.together().len()), (0, 0));
        assert_eq!(view.sets(), [0, 1, 2]);
        assert_eq!((view.reason(), view.cause()), ("node 2 was lost", 3));
    }

    #[test]
    fn a_record_that_promises_more_than_it_holds_is_refused() {
        let words = record(3, 1, b"why");
        let whole = bytes(&words);
        for len in 0..whole.len() - 8 {
            assert!(View::of(&whole[..len]).is_none(), "{len} bytes");
        }
        for field in [52, 56, 60, 64, 68] {
            let mut broken = words.clone();
            let word = &mut broken[field / 8];
            *word |= 0xFFFF_FFF0 << (8 * (field % 8));
            assert!(View::of(bytes(&broken)).is_none(), "count at {field}");
        }
        assert!(View::of(bytes(&record(1, 0, b"not \xFF UTF-8"))).is_none());
    }
}
