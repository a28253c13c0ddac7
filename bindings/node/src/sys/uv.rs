//! The functions of libuv that are used, which Node exports; their interface is stable since 1.0.

use std::ffi::{c_int, c_void};

use napi::sys::uv_loop_s;

/// `uv_poll_t`, and as such a `uv_handle_t`: its first field is for us.
#[repr(C)]
pub(super) struct Poll {
    pub(super) data: *mut c_void,
    _private: [u8; 0],
}

pub(super) const READABLE: c_int = 1;
/// Never so for what the library gives out: keeps the handle active, and the loop alive.
pub(super) const PRIORITIZED: c_int = 8;
/// `UV_POLL` of `uv_handle_type`.
pub(super) const POLL: c_int = 8;

pub(super) type OnPoll = unsafe extern "C" fn(*mut Poll, c_int, c_int);
pub(super) type OnClose = unsafe extern "C" fn(*mut Poll);

unsafe extern "C" {
    pub(super) fn uv_handle_size(kind: c_int) -> usize;
    pub(super) fn uv_poll_init(uv_loop: *mut uv_loop_s, poll: *mut Poll, fd: c_int) -> c_int;
    pub(super) fn uv_poll_start(poll: *mut Poll, events: c_int, on_poll: OnPoll) -> c_int;
    pub(super) fn uv_poll_stop(poll: *mut Poll) -> c_int;
    pub(super) fn uv_close(poll: *mut Poll, on_close: Option<OnClose>);
    pub(super) fn uv_ref(poll: *mut Poll);
    pub(super) fn uv_unref(poll: *mut Poll);
}
