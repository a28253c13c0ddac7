//! Records and hellos as bytes and back, and the proof that their layout is what both sides think
//! it is.

use core::mem::size_of;
use core::{ptr, slice};

use crate::hello::{DOMAIN_NAME_LEN_MAX, Hello, HelloStart, REASON_LEN_MAX, Welcome};
use crate::record::{
    ClosedRecord, DoneRecord, GapRecord, GroupRecord, JoinRecord, LeaveRecord, LeftRecord, Member,
    MessageRecord, MultiRecord, PeerRecord, QueryRecord, ReceiptRecord, ReplyRecord, SendRecord,
    TakenEntry, TakenRecord, ViewId, ViewRecord,
};

/// A struct that is its bytes.
///
/// # Safety
/// `repr(C)`, without padding, and valid with any bit pattern.
pub unsafe trait Plain: Copy {
    /// The struct as it lies in memory.
    fn as_bytes(&self) -> &[u8] {
        // SAFETY: there is no padding, so all bytes are initialised.
        unsafe { slice::from_raw_parts(ptr::from_ref(self).cast(), size_of::<Self>()) }
    }

    /// The struct at the start of `bytes`, and what follows it; `None` if `bytes` is too short.
    fn split_from(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = bytes.split_at_checked(size_of::<Self>())?;
        // SAFETY: `head` has the struct's size, any bit pattern is valid, alignment is not needed.
        Some((unsafe { ptr::read_unaligned(head.as_ptr().cast()) }, rest))
    }
}

/// Checks the size, that the fields leave no padding, and that no field is missing from the list.
macro_rules! plain {
    ($($name:ident = $len:literal { $($field:ident: $type:ty),* $(,)? })*) => {
        $(
            const _: () = {
                assert!(size_of::<$name>() == $len);
                assert!($(size_of::<$type>() +)* 0 == $len);
                let _all_fields = |value: $name| {
                    let $name { $($field),* } = value;
                    $(let _: $type = $field;)*
                };
            };
            // SAFETY: repr(C) integers, arrays and structs of such; the lines above rule out
            // padding.
            unsafe impl Plain for $name {}
        )*
    };
}

plain! {
    Member = 16 { node: u64, session: u64 }
    ViewId = 40 {
        ring_seq: u64, ring_rep: u64, ring_incarnation: u64, ordinal: u64, sub: u32, reserved: u32,
    }
    JoinRecord = 8 { handle: u32, flags: u32 }
    LeaveRecord = 8 { handle: u32, reserved: u32 }
    SendRecord = 24 { handle: u32, service: u32, tag: u64, views: u32, groups: u32 }
    GroupRecord = 8 { handle: u32, views: u32 }
    PeerRecord = 24 { handle: u32, reserved: u32, to: Member }
    QueryRecord = 8 { tag: u64 }
    MessageRecord = 40 { handle: u32, service: u32, sender: Member, sequence: u64, tag: u64 }
    MultiRecord = 40 { service: u32, handles: u32, sender: Member, sequence: u64, tag: u64 }
    ViewRecord = 72 {
        handle: u32, cause: u32, id: ViewId, transitional: u32, members: u32, joined: u32,
        left: u32, together: u32, reason_len: u32,
    }
    TakenRecord = 8 { up_to: u64 }
    TakenEntry = 16 { tag: u64, handle: u32, ahead: u32 }
    DoneRecord = 8 { tag: u64 }
    LeftRecord = 8 { handle: u32, status: i32 }
    ReplyRecord = 16 { tag: u64, status: i32, more: u32 }
    ReceiptRecord = 16 { handle: u32, status: i32, tag: u64 }
    GapRecord = 16 { handle: u32, reserved: u32, count: u64 }
    ClosedRecord = 8 { status: i32, reserved: u32 }
    HelloStart = 8 { magic: u32, version_min: u16, version_max: u16 }
    Hello = 72 {
        magic: u32, version_min: u16, version_max: u16, send_capacity: u32, receive_capacity: u32,
        slow: u32, domain_len: u32, lane_of: u64, lane_key: u64, domain: [u8; DOMAIN_NAME_LEN_MAX],
    }
    Welcome = 272 {
        magic: u32, version: u16, reason_len: u16, status: i32, message_len_max: u32, node: u64,
        session: u64, reason: [u8; REASON_LEN_MAX], lane_key: u64,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_back() {
        let send = SendRecord { handle: 7, service: 0x105, tag: u64::MAX, views: 3, groups: 0 };
        let mut buffer = [0xAA; 27];
        buffer[..24].copy_from_slice(send.as_bytes());
        assert_eq!(SendRecord::split_from(&buffer), Some((send, &[0xAA; 3][..])));
        assert_eq!(SendRecord::split_from(&buffer[1..25]).map(|(r, _)| r == send), Some(false));
        assert_eq!(SendRecord::split_from(&buffer[..23]), None);
    }
}
