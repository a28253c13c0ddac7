//! Exports as all others, but for the bug in them: `tests/abi/tests/panics.rs` links a library that
//! has them with a C program. Neither header nor what ships knows them.

use crate::abi::{anz_error_t, anz_status_t};
use crate::fence::{explained, guarded, guarded_number};

/// Panics, and has an error to say so in.
///
/// # Safety
/// `err` is NULL or points to an `anz_error_t` of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anz_test_panic(err: *mut anz_error_t) -> anz_status_t {
    // SAFETY: as the caller says.
    unsafe { explained(err, || panic!("on purpose")) }
}

/// Panics, and has a status only.
#[unsafe(no_mangle)]
pub extern "C" fn anz_test_panic_status() -> anz_status_t {
    let none: Option<anz_status_t> = None;
    guarded(|| none.map(|_| ()).ok_or_else(|| panic!("on purpose")))
}

/// Panics where a number is expected.
#[unsafe(no_mangle)]
pub extern "C" fn anz_test_panic_number() -> i32 {
    guarded_number(|| {
        let nothing: &[i32] = &[];
        Ok(nothing[anz_test_panic_status().unsigned_abs() as usize])
    })
}
