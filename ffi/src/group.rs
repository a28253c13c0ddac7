//! Groups: "name" is in the default domain, "domain/name" in that sub-EVS domain.
#![allow(non_camel_case_types, reason = "C names")]

use std::ffi::{c_char, c_void};

use anasazi_client::{GroupHandle, Member, Status};

use crate::abi::{anz_conn_t, anz_group_t, anz_member_t, anz_status_t};
use crate::fence::{guarded, handle, out, pointer, put_text, text};
use crate::session::open_session;

/// ---- groups ----
/// "name" is in the default domain, "domain/name" in that sub-EVS domain, if the engine has it,
/// else ANZ_EV_LEFT says which it has; 1 to 255 bytes of UTF-8 in all. Each domain has a lane of
/// its own: a connection of this session with its own rings, so that a domain that takes nothing,
/// or whose messages are not read, fills that lane and no other. The first group of another domain
/// than "default" has anz_recv() make it: until then there is no room to send there, then
/// ANZ_EV_WRITABLE comes. A lane that the engine refuses, or ends as not read fast enough, ends the
/// groups of its domain alone: ANZ_EV_LEFT. MT-Safe NB; done at the VIEW that has you; twice:
/// ANZ_EEXIST
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_join(
    c: *mut anz_conn_t,
    name: *const c_char,
    flags: u32,
    user_data: *mut c_void,
    out: *mut *mut anz_group_t,
) -> anz_status_t {
    guarded(|| {
        let session = open_session(c)?;
        // SAFETY: the caller passes NULL or valid pointers.
        let (name, place) = unsafe { (text(name)?, self::out(out)?) };
        let group = session.join(name, flags, user_data.expose_provenance())?;
        place.write(pointer(group.0));
        Ok(())
    })
}

/// MT-Safe NB; done at ANZ_EV_LEFT
#[unsafe(no_mangle)]
pub extern "C" fn anz_leave(g: *mut anz_group_t) -> anz_status_t {
    guarded(|| group(g)?.leave())
}

/// an address for one member: unicast, ordered with everything else in the domain, such as
/// "default". Its ANZ_EV_MESSAGE there has no group. Who is in no group of the domain where a
/// message is reached does not get it: then the sender's ANZ_EV_RECEIPT says ANZ_ENOTMEMBER, else
/// ANZ_OK. No such domain at the engine: ANZ_EV_LEFT says which it has. MT-Safe NB; twice:
/// ANZ_EEXIST
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_peer(
    c: *mut anz_conn_t,
    domain: *const c_char,
    to: anz_member_t,
    out: *mut *mut anz_group_t,
) -> anz_status_t {
    guarded(|| {
        let session = open_session(c)?;
        // SAFETY: the caller passes NULL or valid pointers.
        let place = unsafe { self::out(out) }?;
        // SAFETY: as above.
        let domain = unsafe { text(domain) }?;
        let peer = session.peer(domain, Member { node: to.node, session: to.session }, 0)?;
        place.write(pointer(peer.0));
        Ok(())
    })
}

/// 256 bytes are enough; ANZ_EINVAL if cap is not. Works until the anz_recv() after ANZ_EV_LEFT.
/// MT-Safe NB
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_group_name(
    g: *const anz_group_t,
    buf: *mut c_char,
    cap: usize,
) -> anz_status_t {
    // SAFETY: the caller passes NULL or a buffer of that capacity.
    guarded(|| group(g)?.with_name(|name| unsafe { put_text(name, buf, cap) })?)
}

/// Until there is room to send; as it receives nothing, it makes no lane. BLK, MT-Safe;
/// CLOCK_MONOTONIC, -1 = for ever; OK, ANZ_ETIMEDOUT, ANZ_EINTR
#[unsafe(no_mangle)]
pub extern "C" fn anz_group_wait_writable(g: *mut anz_group_t, deadline_ns: i64) -> anz_status_t {
    guarded(|| group(g)?.wait_writable(deadline_ns))
}

/// The handle that C passes. Safe in a signal handler.
pub(crate) fn group(g: *const anz_group_t) -> Result<GroupHandle, Status> {
    handle(g).map(GroupHandle)
}
