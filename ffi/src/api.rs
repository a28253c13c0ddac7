//! The table of all functions, for programs that open the library themselves and look up one name.

use crate::abi::ANZ_VERSION_NUM;
use crate::config::*;
use crate::engine::*;
use crate::group::*;
use crate::library::*;
use crate::query::*;
use crate::receive::*;
use crate::send::*;
use crate::session::*;

/// `struct anz_api` of the header, which is made of the list below.
#[repr(C)]
pub(crate) struct Table {
    struct_size: u32,
    version: u32,
    functions: [Function; COUNT],
}

/// The address of a function, with its type forgotten: in the header each has its own.
#[repr(transparent)]
struct Function(*const ());

// SAFETY: an address of code, which nobody changes.
unsafe impl Sync for Function {}

macro_rules! table {
    ($($name:ident)*) => {
        const COUNT: usize = [$(stringify!($name)),*].len();

        /// Grows at its end only.
        pub(crate) static TABLE: Table = Table {
            struct_size: size_of::<Table>() as u32,
            version: ANZ_VERSION_NUM,
            functions: [$(Function($name as *const ())),*],
        };
    };
}

table! {
    anz_version_num
    anz_version_string
    anz_has
    anz_status_name
    anz_status_string
    anz_config_new
    anz_config_free
    anz_config_set
    anz_config_load
    anz_config_set_log
    anz_config_set_loop
    anz_engine_new
    anz_engine_free
    anz_engine_fd
    anz_engine_process
    anz_engine_process_fd
    anz_engine_run
    anz_engine_start_thread
    anz_engine_stop
    anz_connect
    anz_engine_connect
    anz_conn_close
    anz_conn_fd
    anz_conn_self
    anz_member_name
    anz_conn_set_notify
    anz_conn_wait
    anz_conn_wake
    anz_conn_stats
    anz_join
    anz_leave
    anz_peer
    anz_group_name
    anz_group_wait_writable
    anz_mcast
    anz_mcastv
    anz_mcast_groups
    anz_claim
    anz_commit
    anz_abort
    anz_recv
    anz_release
    anz_event_groups
    anz_msg_retain
    anz_msg_data
    anz_msg_release
    anz_query
}
