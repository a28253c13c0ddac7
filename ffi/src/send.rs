//! Sending. Every function here is safe in a signal handler: it allocates nothing, takes no lock,
//! keeps errno, and has no panic in it, so that no boundary is needed.
#![allow(non_camel_case_types, reason = "C names")]

use std::ffi::c_void;
use std::{iter, slice};

use anasazi_client::{GROUPS_PER_MESSAGE_MAX as GROUPS_MAX, GroupHandle, OpenClaim, Status};

use crate::abi::{anz_claim_t, anz_group_t, anz_iov_t, anz_status_t};
use crate::fence::{bytes, code};
use crate::group::group;

/// ---- send: MT-Safe AS-Safe NB, preserves errno ----
/// The message is copied. MT-Safe AS-Safe NB, preserves errno
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_mcast(
    g: *mut anz_group_t,
    service: u32,
    data: *const c_void,
    len: usize,
    tag: u64,
) -> anz_status_t {
    let sent = group(g).and_then(|group| {
        // SAFETY: the caller passes NULL or so many bytes.
        let data = unsafe { bytes(data, len) }?;
        group.send(service, tag, iter::once(data))
    });
    code(sent)
}

/// As anz_mcast(), from pieces. MT-Safe AS-Safe NB, preserves errno
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_mcastv(
    g: *mut anz_group_t,
    service: u32,
    iov: *const anz_iov_t,
    n: usize,
    tag: u64,
) -> anz_status_t {
    let sent = group(g).and_then(|group| {
        // SAFETY: the caller passes NULL or so many pieces.
        let pieces = unsafe { pieces(iov, n) }?;
        // SAFETY: each piece is NULL or so many bytes.
        let part = |piece: &anz_iov_t| unsafe { bytes(piece.base, piece.len) };
        for piece in pieces {
            part(piece)?;
        }
        group.send(service, tag, pieces.iter().map(move |piece| part(piece).unwrap_or_default()))
    });
    code(sent)
}

/// one domain; delivered once to each session that is in any of the groups, ordered across them.
/// All are groups of one session and one domain, none twice, at most 64, else ANZ_EINVAL;
/// ANZ_EAGAIN is answered by the ANZ_EV_WRITABLE of the one that had no room. MT-Safe AS-Safe NB,
/// preserves errno
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_mcast_groups(
    groups: *const *mut anz_group_t,
    n: usize,
    service: u32,
    data: *const c_void,
    len: usize,
    tag: u64,
) -> anz_status_t {
    if groups.is_null() || !groups.is_aligned() || n == 0 || n > GROUPS_MAX {
        return Status::EINVAL.0;
    }
    // SAFETY: the caller passes so many groups, and NULL or so many bytes.
    let (groups, data) = unsafe { (slice::from_raw_parts(groups, n), bytes(data, len)) };
    let sent = data.and_then(|data| {
        for handle in groups {
            group(*handle)?;
        }
        let handles = groups.iter().map(|handle| GroupHandle(handle.addr() as u64));
        GroupHandle::send_to_all(handles, service, tag, data)
    });
    code(sent)
}

/// Zero-copy send: room for a message in the ring. What is claimed or sent later on this session
/// waits for its anz_commit() or anz_abort(). MT-Safe AS-Safe NB, preserves errno
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_claim(
    g: *mut anz_group_t,
    len: usize,
    out: *mut anz_claim_t,
) -> anz_status_t {
    let claimed = group(g).and_then(|group| {
        if out.is_null() {
            return Err(Status::EINVAL);
        }
        let OpenClaim { data, len, token } = group.claim(len)?;
        // SAFETY: the caller passes a place.
        unsafe { out.write(anz_claim_t { data: data.cast(), len, token }) };
        Ok(())
    });
    code(claimed)
}

/// Ends the claim, unless it gives ANZ_EINVAL. MT-Safe AS-Safe NB, preserves errno
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_commit(
    g: *mut anz_group_t,
    c: *mut anz_claim_t,
    service: u32,
    tag: u64,
) -> anz_status_t {
    // SAFETY: the caller passes NULL or a claim.
    let committed = group(g).and_then(|group| group.commit(&unsafe { open(c) }?, service, tag));
    code(committed)
}

/// Ends the claim. MT-Safe AS-Safe NB, preserves errno
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_abort(g: *mut anz_group_t, c: *mut anz_claim_t) {
    // SAFETY: the caller passes NULL or a claim. What is none is left alone.
    _ = group(g).and_then(|group| group.abort(&unsafe { open(c) }?));
}

/// # Safety
/// `claim` is NULL or points to one.
unsafe fn open(claim: *const anz_claim_t) -> Result<OpenClaim, Status> {
    // SAFETY: by contract.
    let claim = unsafe { claim.as_ref() }.ok_or(Status::EINVAL)?;
    Ok(OpenClaim { data: claim.data.cast(), len: claim.len, token: claim.token })
}

/// # Safety
/// `iov` is NULL or points to `n` pieces.
unsafe fn pieces<'a>(iov: *const anz_iov_t, n: usize) -> Result<&'a [anz_iov_t], Status> {
    if n == 0 {
        return Ok(&[]);
    }
    if iov.is_null() || !iov.is_aligned() || n > isize::MAX as usize / size_of::<anz_iov_t>() {
        return Err(Status::EINVAL);
    }
    // SAFETY: by contract.
    Ok(unsafe { slice::from_raw_parts(iov, n) })
}
