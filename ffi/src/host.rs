//! The loop of a host in C that watches an engine's descriptors and timer itself.

use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;

use anasazi_client::Status;
use anasazi_engine::HostLoop;

use crate::abi::anz_loop_ops_t;
use crate::fence::read_struct;

/// What anz_config_set_loop() was given.
#[derive(Clone, Copy)]
pub(crate) struct LoopOps {
    watch: unsafe extern "C" fn(*mut c_void, c_int, u32, u32) -> c_int,
    timer: unsafe extern "C" fn(*mut c_void, i64),
    user_data: *mut c_void,
}

// SAFETY: the pointer is only handed back to the host's own functions, on the thread that drives
// the engine, which is the host's business.
unsafe impl Send for LoopOps {}

impl LoopOps {
    /// # Safety
    /// `ops` is NULL, or points to a struct that starts with its size.
    pub(crate) unsafe fn read(
        ops: *const anz_loop_ops_t,
        user_data: *mut c_void,
    ) -> Result<Self, Status> {
        // SAFETY: by contract.
        let ops: anz_loop_ops_t = unsafe { read_struct(ops) }?;
        match (ops.watch, ops.timer, ops.reserved) {
            (Some(watch), Some(timer), 0) => Ok(Self { watch, timer, user_data }),
            _ => Err(Status::EINVAL),
        }
    }
}

impl HostLoop for LoopOps {
    fn watch(&self, fd: RawFd, old: u32, new: u32) -> Result<(), i32> {
        // SAFETY: the host gave this function for this.
        match unsafe { (self.watch)(self.user_data, fd, old, new) } {
            0 => Ok(()),
            code => Err(code),
        }
    }

    fn timer(&self, deadline_ns: Option<u64>) {
        let deadline = deadline_ns.map_or(-1, |ns| i64::try_from(ns).unwrap_or(i64::MAX));
        // SAFETY: as above.
        unsafe { (self.timer)(self.user_data, deadline) };
    }
}
