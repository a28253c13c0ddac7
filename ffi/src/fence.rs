//! What every exported function needs: a panic boundary, handles that are values, strings and
//! errors.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{mem, ptr, slice};

use anasazi_client::sys::table::{Pinned, Table};
use anasazi_client::{Failure, Status};
use anasazi_engine::panics::{keep_places, take_place};

use crate::abi::{ANZ_ERR_F_FATAL, ANZ_ERR_F_RETRYABLE, ANZ_OK, anz_error_t, anz_status_t};

/// Runs something that may panic and turns the outcome into a code. Not for AS-Safe functions:
/// catching allocates.
pub(crate) fn guarded(work: impl FnOnce() -> Result<(), Status>) -> anz_status_t {
    keep_places(false);
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => code(result),
        Err(_) => Status::EINTERNAL.0,
    }
}

/// As [`guarded`], for functions that return a number.
pub(crate) fn guarded_number(work: impl FnOnce() -> Result<c_int, Status>) -> c_int {
    keep_places(false);
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(number)) => number,
        Ok(Err(status)) => status.0,
        Err(_) => Status::EINTERNAL.0,
    }
}

/// As [`guarded`], for functions that explain themselves. After a success there is no explanation
/// of an earlier failure either.
///
/// # Safety
/// `error` is NULL or points to an `anz_error_t` of the size that it says.
pub(crate) unsafe fn explained(
    error: *mut anz_error_t,
    work: impl FnOnce() -> Result<(), Failure>,
) -> anz_status_t {
    keep_places(false);
    let failure = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => {
            // SAFETY: by contract.
            unsafe { fill(error, &Failure::new(Status::OK, "")) };
            return ANZ_OK;
        }
        Ok(Err(failure)) => failure,
        Err(_) => {
            let place = take_place().unwrap_or_default();
            let message = format!("a bug in Anasazi was caught: please report it, with {place}");
            Failure::new(Status::EINTERNAL, message)
        }
    };
    // SAFETY: by contract.
    unsafe { fill(error, &failure) };
    failure.status.0
}

/// The code of a result.
pub(crate) fn code(result: Result<(), Status>) -> anz_status_t {
    match result {
        Ok(()) => ANZ_OK,
        Err(status) => status.0,
    }
}

/// Writes what fits of a failure.
///
/// # Safety
/// As [`explained`].
unsafe fn fill(error: *mut anz_error_t, failure: &Failure) {
    // SAFETY: by contract; the size comes first in every version.
    let Some(size) = (unsafe { size_of_struct(error.cast()) }) else { return };
    let fatal = failure.status == Status::EINTERNAL;
    let flags =
        u32::from(failure.retryable) * ANZ_ERR_F_RETRYABLE + u32::from(fatal) * ANZ_ERR_F_FATAL;
    let mut filled = anz_error_t {
        struct_size: size as u32,
        code: failure.status.0,
        os_errno: failure.os_errno,
        flags,
        message: [0; 240],
    };
    let room = size.min(size_of::<anz_error_t>()) - mem::offset_of!(anz_error_t, message).min(size);
    if let Some(room) = room.checked_sub(1) {
        let text = &failure.message[..failure.message.floor_char_boundary(room)];
        for (to, from) in filled.message.iter_mut().zip(text.bytes()) {
            *to = from as c_char;
        }
    }
    // SAFETY: by contract.
    unsafe { write_struct(error, &filled, size) };
}

/// No struct of this interface will ever be larger: what says so was never set.
const STRUCT_SIZE_MAX: usize = 4_096;

/// The size that a caller's struct says it has; `None` for NULL, and for a size that holds nothing
/// or is absurd.
///
/// # Safety
/// `place` is NULL or points to a struct that starts with its size.
pub(crate) unsafe fn size_of_struct(place: *const u32) -> Option<usize> {
    if place.is_null() || !place.is_aligned() {
        return None;
    }
    // SAFETY: by contract.
    let size = unsafe { *place } as usize;
    (size_of::<u32>()..=STRUCT_SIZE_MAX).contains(&size).then_some(size)
}

/// Reads a caller's struct, which may be of a newer header if it sets nothing that is not known
/// here: `E2BIG`. `EINVAL`: NULL, or of no header.
///
/// # Safety
/// `place` is NULL, or points to a struct that starts with its size; `T` may be any bytes.
pub(crate) unsafe fn read_struct<T>(place: *const T) -> Result<T, Status> {
    // SAFETY: by contract.
    let size = unsafe { size_of_struct(place.cast()) }.ok_or(Status::EINVAL)?;
    let unknown = size.checked_sub(size_of::<T>()).ok_or(Status::EINVAL)?;
    // SAFETY: by contract it has so many bytes.
    let tail = unsafe { core::slice::from_raw_parts(place.add(1).cast::<u8>(), unknown) };
    if tail.iter().any(|byte| *byte != 0) {
        return Err(Status::E2BIG);
    }
    // SAFETY: it is whole; its alignment was looked at for its first field only.
    Ok(unsafe { place.read_unaligned() })
}

/// Writes a struct into the room of one of another version: what fits, and zeros behind it.
///
/// # Safety
/// `place` points to `size` writable bytes.
pub(crate) unsafe fn write_struct<T>(place: *mut T, value: &T, size: usize) {
    let known = size.min(size_of::<T>());
    let place = place.cast::<u8>();
    // SAFETY: by contract, and `known` bytes are in both.
    unsafe {
        ptr::copy_nonoverlapping(ptr::from_ref(value).cast::<u8>(), place, known);
        ptr::write_bytes(place.add(known), 0, size - known);
    }
}

/// A handle as C holds it.
pub(crate) fn pointer<T>(handle: u64) -> *mut T {
    ptr::without_provenance_mut(handle as usize)
}

/// The handle that C passes: `EINVAL` for NULL.
pub(crate) fn handle<T>(pointer: *const T) -> Result<u64, Status> {
    if pointer.is_null() { Err(Status::EINVAL) } else { Ok(pointer.addr() as u64) }
}

/// What a handle stands for: `EINVAL` for NULL, `ECLOSED` if it is stale or nonsense. Safe in a
/// signal handler.
pub(crate) fn pin<C, T: Send + Sync>(
    table: &'static Table<T>,
    pointer: *const C,
) -> Result<Pinned<'static, T>, Status> {
    table.pin(handle(pointer)?).ok_or(Status::ECLOSED)
}

/// A place for a result: `EINVAL` for NULL.
///
/// # Safety
/// `place` is NULL or points to a writable `T`.
pub(crate) unsafe fn out<'a, T>(place: *mut T) -> Result<&'a mut mem::MaybeUninit<T>, Status> {
    // SAFETY: by contract.
    unsafe { place.cast::<mem::MaybeUninit<T>>().as_mut() }.ok_or(Status::EINVAL)
}

/// A caller's text: `EINVAL` for NULL and for what is not UTF-8.
///
/// # Safety
/// `text` is NULL or points to a NUL-terminated string that nobody changes meanwhile.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Result<&'a str, Status> {
    if text.is_null() {
        return Err(Status::EINVAL);
    }
    // SAFETY: by contract.
    unsafe { CStr::from_ptr(text) }.to_str().map_err(|_| Status::EINVAL)
}

/// A caller's bytes: `EINVAL` for NULL with a length, `EMSGSIZE` for a length that nothing has.
/// Safe in a signal handler.
///
/// # Safety
/// `data` is NULL or points to `len` readable bytes.
pub(crate) unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Result<&'a [u8], Status> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Status::EINVAL);
    }
    if len > isize::MAX as usize {
        return Err(Status::EMSGSIZE);
    }
    // SAFETY: by contract.
    Ok(unsafe { slice::from_raw_parts(data.cast(), len) })
}

/// Writes a NUL-terminated text into a caller's buffer: `EINVAL` for NULL and for one that is too
/// small.
///
/// # Safety
/// `buffer` is NULL or points to `capacity` writable bytes.
pub(crate) unsafe fn put_text(
    text: &str,
    buffer: *mut c_char,
    capacity: usize,
) -> Result<(), Status> {
    if buffer.is_null() || text.len() >= capacity {
        return Err(Status::EINVAL);
    }
    let buffer = buffer.cast::<u8>();
    // SAFETY: by contract there is room for the text and a NUL.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), buffer, text.len());
        buffer.add(text.len()).write(0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An export as all others, with a bug in it.
    unsafe extern "C" fn anz_test_panic(error: *mut anz_error_t) -> anz_status_t {
        // SAFETY: the caller passes NULL or an error.
        unsafe { explained(error, || panic!("on purpose")) }
    }

    #[test]
    fn a_panic_becomes_a_status_that_says_where_and_the_process_lives() {
        let mut error = anz_error_t {
            struct_size: size_of::<anz_error_t>() as u32,
            code: 0,
            os_errno: 0,
            flags: 0,
            message: [0; 240],
        };
        // SAFETY: a whole error; NULL.
        let codes = unsafe { [anz_test_panic(&raw mut error), anz_test_panic(ptr::null_mut())] };
        assert_eq!(codes, [Status::EINTERNAL.0; 2]);
        assert_eq!((error.code, error.flags), (Status::EINTERNAL.0, ANZ_ERR_F_FATAL));
        // SAFETY: it ends in a NUL.
        let said = unsafe { CStr::from_ptr(error.message.as_ptr()) }.to_string_lossy();
        assert!(said.contains("fence.rs:"), "{said}");
        assert_eq!(guarded(|| panic!("on purpose")), Status::EINTERNAL.0);
        assert_eq!(guarded_number(|| panic!("on purpose")), Status::EINTERNAL.0);
    }
}
