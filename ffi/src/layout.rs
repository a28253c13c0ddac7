//! How the structs of the header lie in memory, as Rust has it: written as assertions in C, which
//! every C compiler checks against the header (`tests/abi/c/layout.c`).

use std::fmt::Write;
use std::fs;
use std::mem::offset_of;
use std::path::Path;

use crate::abi::*;
use crate::api::Table;

macro_rules! layouts {
    ($($name:ident { $($field:ident)* })*) => {
        /// Each struct: its name, its size, and the offsets of its fields.
        fn layouts() -> Vec<(&'static str, usize, Vec<(&'static str, usize)>)> {
            vec![$((
                stringify!($name),
                size_of::<$name>(),
                vec![$((stringify!($field), offset_of!($name, $field))),*],
            )),*]
        }
    };
}

layouts! {
    anz_error { struct_size code os_errno flags message }
    anz_member { node session }
    anz_view_id { ring_seq ring_rep ring_incarnation ordinal sub reserved }
    anz_view {
        struct_size cause id members members_len joined joined_len left left_len together
        together_len vs_set reason
    }
    anz_event {
        struct_size r#type service status flags group group_user_data sender seq tag data
        len view token domain
    }
    anz_receipt_member { member outcome reserved }
    anz_receipt { struct_size status tag view members members_len }
    anz_iov { base len }
    anz_claim { data len token }
    anz_loop_ops { struct_size reserved watch timer }
    anz_conn_stats {
        struct_size reserved sent_messages sent_bytes send_again received_messages
        received_bytes views send_ring_used send_ring_size receive_ring_used
        receive_ring_size lag_ns reconnects
    }
}

fn as_c() -> String {
    let mut text =
        "/* Made of ffi/src/layout.rs (UPDATE=1 cargo test -p anasazi-ffi): each struct \
                    of the header is\n * as Rust has it. */\n#include <anasazi.h>\n#include \
                    <stddef.h>\n"
            .to_owned();
    for (name, size, fields) in layouts() {
        _ = writeln!(text, "\n_Static_assert(sizeof({name}_t) == {size}, \"{name}\");");
        for (field, offset) in fields {
            let field = field.trim_start_matches("r#");
            let place = format!("offsetof({name}_t, {field})");
            _ = writeln!(text, "_Static_assert({place} == {offset}, \"{field}\");");
        }
    }
    // Its slots are compared with the functions by name, in legacy.c.
    let size = size_of::<Table>();
    _ = writeln!(text, "\n_Static_assert(sizeof(struct anz_api) == {size}, \"anz_api\");");
    text
}

#[test]
fn the_assertions_in_c_are_those_of_rust() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/abi/c/layout.c");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, as_c()).expect("a writable file");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == as_c(),
        "tests/abi/c/layout.c is not what ffi/src/layout.rs makes: a struct has changed, which \
         breaks programs unless it has grown at its end; UPDATE=1 writes it"
    );
}
