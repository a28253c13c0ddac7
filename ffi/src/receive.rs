//! Receiving: one ordered stream of messages and views per session.
#![allow(non_camel_case_types, reason = "C names")]

use std::ffi::{CStr, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use anasazi_client::sys::fork;
use anasazi_client::sys::table::Table;
use anasazi_client::{Event, EventKind, GroupHandle, Hold, Status};

use crate::abi::{
    ANZ_EVF_MORE, ANZ_EVF_MULTI, anz_conn_t, anz_event_t, anz_group_t, anz_member_t, anz_msg_t,
    anz_status_t,
};
use crate::fence::{
    bytes, guarded, guarded_number, out, pin, pointer, size_of_struct, write_struct,
};
use crate::session::{drop_if_done, open_session, session};

/// ---- receive ----
/// One ordered stream of messages AND views per session and domain: those of several domains come
/// a few of each in turn. It makes the session's lane of a domain when the first group there was
/// joined. The caller sets struct_size in element 0.
/// Events are borrowed until anz_release(). MT-Owner NB; n>0 events, 0 none, <0 a status:
/// ANZ_ECLOSED after the last one
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_recv(
    c: *mut anz_conn_t,
    events: *mut anz_event_t,
    max: usize,
) -> c_int {
    guarded_number(|| {
        let session = open_session(c)?;
        // SAFETY: the caller passes NULL or events, of which the first says how long each is.
        let stride = unsafe { stride(events) }?;
        let max = max.min(c_int::MAX as usize);
        let stamp = stamp();
        let mut next = events.cast::<u8>();
        let shown = session.receive(max, &mut |event| {
            // SAFETY: there are `max` places of this size, aligned as `stride` has seen, and the
            // sink is called for at most so many events.
            unsafe {
                if stride == size_of::<anz_event_t>() {
                    // Of this version: without a copy.
                    next.cast::<anz_event_t>().write(filled(event, stamp, stride));
                } else {
                    write_struct(next.cast(), &filled(event, stamp, stride), stride);
                }
                next = next.add(stride);
            }
            Hold::Keep
        })?;
        Ok(shown as c_int)
    })
}

/// Gives events back. MT-Safe NB, in any order; what is not held is ignored
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_release(
    c: *mut anz_conn_t,
    events: *const anz_event_t,
    n: usize,
) -> anz_status_t {
    guarded(|| {
        let session = session(c)?;
        if n == 0 {
            return Ok(());
        }
        // SAFETY: the caller passes NULL or events as anz_recv() filled them in.
        let stride = unsafe { stride(events) }?;
        let first = events.cast::<u8>();
        // SAFETY: as above.
        let stamped = |at: usize| unsafe { (*first.add(at * stride).cast::<anz_event_t>()).token };
        // SAFETY: the caller is done with these events.
        let released = unsafe { session.release((0..n).filter_map(|at| own(stamped(at)))) };
        drop_if_done(c, session);
        released
    })
}

/// Own groups that a message was sent to: how many, and up to max of them in out. For an event that
/// is not released yet. MT-Safe NB
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_event_groups(
    ev: *const anz_event_t,
    out: *mut *mut anz_group_t,
    max: usize,
) -> usize {
    // SAFETY: the caller passes NULL or an event.
    let Some(event) = (unsafe { ev.as_ref() }) else { return 0 };
    if event.group.is_null() || event.r#type != EventKind::Message as u16 {
        return 0;
    }
    let groups = if event.flags & ANZ_EVF_MULTI == 0 {
        Box::from([GroupHandle(event.group.addr() as u64)])
    } else {
        let handle = GroupHandle(event.group.addr() as u64);
        let all = || own(event.token).map(|token| handle.groups_of(token)).unwrap_or_default();
        catch_unwind(AssertUnwindSafe(all)).unwrap_or_default()
    };
    if !out.is_null() {
        for (at, group) in groups.iter().take(max).enumerate() {
            // SAFETY: the caller passes so many places.
            unsafe { out.add(at).write(pointer(group.0)) };
        }
    }
    groups.len()
}

/// An own copy of an event's data, for any thread, beyond any release and any close.
/// MT-Safe NB
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_msg_retain(
    ev: *const anz_event_t,
    out: *mut *mut anz_msg_t,
) -> anz_status_t {
    guarded(|| {
        // SAFETY: the caller passes NULL or an event that is not released, and NULL or a place.
        let (event, place) = unsafe { (ev.as_ref().ok_or(Status::EINVAL)?, self::out(out)?) };
        // What a parent received is not mapped in its child.
        own(event.token).ok_or(Status::EFORKED)?;
        // SAFETY: as above.
        let data = unsafe { bytes(event.data, event.len) }?;
        let handle = MESSAGES.insert(Box::from(data)).ok_or(Status::ENOMEM)?;
        place.write(pointer(handle));
        Ok(())
    })
}

/// MT-Safe NB; valid until released, beyond any close; NULL for a stale handle
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_msg_data(m: *const anz_msg_t, len: *mut usize) -> *const c_void {
    let message = pin(&MESSAGES, m);
    let (data, data_len) = match &message {
        Ok(message) => (message.as_ptr().cast(), message.len()),
        Err(_) => (ptr::null(), 0),
    };
    if !len.is_null() {
        // SAFETY: the caller passes a place.
        unsafe { len.write(data_len) };
    }
    data
}

/// MT-Safe NB: any thread
#[unsafe(no_mangle)]
pub extern "C" fn anz_msg_release(m: *mut anz_msg_t) {
    guarded(|| {
        MESSAGES.remove(m.addr() as u64);
        Ok(())
    });
}

/// The distance between events of the caller's header version.
///
/// # Safety
/// `events` is NULL or points to an event that starts with its size.
unsafe fn stride(events: *const anz_event_t) -> Result<usize, Status> {
    // SAFETY: by contract.
    let stride = unsafe { size_of_struct(events.cast()) }.ok_or(Status::EINVAL)?;
    let fits = stride >= EVENT_SIZE_MIN && stride % 8 == 0;
    if fits && events.is_aligned() { Ok(stride) } else { Err(Status::EINVAL) }
}

/// Which process has received an event that lies in shared memory, beside the token that it has in
/// its session: another one than in the processes that it was forked from, the last 126 of them.
fn stamp() -> u64 {
    match fork::present() {
        // A child that has nothing of its own yet.
        0 => 0,
        mark => ((mark - 1) % 127 + 1) << TOKEN_BITS,
    }
}

/// Sessions know what is not in shared memory by tokens with the highest bit, or by none.
fn is_stamped(token: u64) -> bool {
    token & STAMP_MASK != 0 && token >> 63 == 0
}

/// What its session knows an event by; `None` if another process has received it.
fn own(token: u64) -> Option<u64> {
    match is_stamped(token) {
        true => (token & STAMP_MASK == stamp()).then_some(token & !STAMP_MASK),
        false => Some(token),
    }
}

fn filled(event: &Event<'_>, stamp: u64, stride: usize) -> anz_event_t {
    anz_event_t {
        struct_size: stride as u32,
        r#type: event.kind as u16,
        service: event.service as u16,
        status: event.status.0,
        flags: if event.more { ANZ_EVF_MORE } else { 0 }
            | if event.multi { ANZ_EVF_MULTI } else { 0 },
        group: event.group.map_or(ptr::null_mut(), |group| pointer(group.0)),
        group_user_data: ptr::with_exposed_provenance_mut(event.user_data),
        sender: anz_member_t { node: event.sender.node, session: event.sender.session },
        seq: event.sequence,
        tag: event.tag,
        data: if event.data.is_empty() { ptr::null() } else { event.data.as_ptr().cast() },
        len: event.data.len(),
        view: event.view.map_or(ptr::null(), |view| ptr::from_ref(view).cast()),
        token: if event.token >> 63 == 0 && event.token != 0 {
            event.token & !STAMP_MASK | stamp
        } else {
            event.token
        },
        domain: event.domain.map_or(ptr::null(), CStr::as_ptr),
    }
}

static MESSAGES: Table<Box<[u8]>> = Table::new(0xA4);
/// Of an event's token, what its session knows it by.
const TOKEN_BITS: u32 = 56;
const STAMP_MASK: u64 = !((1 << TOKEN_BITS) - 1);
/// What version 1.0 had.
const EVENT_SIZE_MIN: usize = 96;
const _: () = assert!(EVENT_SIZE_MIN <= size_of::<anz_event_t>());
