/* Made of ffi/src/layout.rs (UPDATE=1 cargo test -p anasazi-ffi): each struct of the header is
 * as Rust has it. */
#include <anasazi.h>
#include <stddef.h>

_Static_assert(sizeof(anz_error_t) == 256, "anz_error");
_Static_assert(offsetof(anz_error_t, struct_size) == 0, "struct_size");
_Static_assert(offsetof(anz_error_t, code) == 4, "code");
_Static_assert(offsetof(anz_error_t, os_errno) == 8, "os_errno");
_Static_assert(offsetof(anz_error_t, flags) == 12, "flags");
_Static_assert(offsetof(anz_error_t, message) == 16, "message");

_Static_assert(sizeof(anz_member_t) == 16, "anz_member");
_Static_assert(offsetof(anz_member_t, node) == 0, "node");
_Static_assert(offsetof(anz_member_t, session) == 8, "session");

_Static_assert(sizeof(anz_view_id_t) == 40, "anz_view_id");
_Static_assert(offsetof(anz_view_id_t, ring_seq) == 0, "ring_seq");
_Static_assert(offsetof(anz_view_id_t, ring_rep) == 8, "ring_rep");
_Static_assert(offsetof(anz_view_id_t, ring_incarnation) == 16, "ring_incarnation");
_Static_assert(offsetof(anz_view_id_t, ordinal) == 24, "ordinal");
_Static_assert(offsetof(anz_view_id_t, sub) == 32, "sub");
_Static_assert(offsetof(anz_view_id_t, reserved) == 36, "reserved");

_Static_assert(sizeof(anz_view_t) == 128, "anz_view");
_Static_assert(offsetof(anz_view_t, struct_size) == 0, "struct_size");
_Static_assert(offsetof(anz_view_t, cause) == 4, "cause");
_Static_assert(offsetof(anz_view_t, id) == 8, "id");
_Static_assert(offsetof(anz_view_t, members) == 48, "members");
_Static_assert(offsetof(anz_view_t, members_len) == 56, "members_len");
_Static_assert(offsetof(anz_view_t, joined) == 64, "joined");
_Static_assert(offsetof(anz_view_t, joined_len) == 72, "joined_len");
_Static_assert(offsetof(anz_view_t, left) == 80, "left");
_Static_assert(offsetof(anz_view_t, left_len) == 88, "left_len");
_Static_assert(offsetof(anz_view_t, together) == 96, "together");
_Static_assert(offsetof(anz_view_t, together_len) == 104, "together_len");
_Static_assert(offsetof(anz_view_t, vs_set) == 112, "vs_set");
_Static_assert(offsetof(anz_view_t, reason) == 120, "reason");

_Static_assert(sizeof(anz_event_t) == 104, "anz_event");
_Static_assert(offsetof(anz_event_t, struct_size) == 0, "struct_size");
_Static_assert(offsetof(anz_event_t, type) == 4, "type");
_Static_assert(offsetof(anz_event_t, service) == 6, "service");
_Static_assert(offsetof(anz_event_t, status) == 8, "status");
_Static_assert(offsetof(anz_event_t, flags) == 12, "flags");
_Static_assert(offsetof(anz_event_t, group) == 16, "group");
_Static_assert(offsetof(anz_event_t, group_user_data) == 24, "group_user_data");
_Static_assert(offsetof(anz_event_t, sender) == 32, "sender");
_Static_assert(offsetof(anz_event_t, seq) == 48, "seq");
_Static_assert(offsetof(anz_event_t, tag) == 56, "tag");
_Static_assert(offsetof(anz_event_t, data) == 64, "data");
_Static_assert(offsetof(anz_event_t, len) == 72, "len");
_Static_assert(offsetof(anz_event_t, view) == 80, "view");
_Static_assert(offsetof(anz_event_t, token) == 88, "token");
_Static_assert(offsetof(anz_event_t, domain) == 96, "domain");

_Static_assert(sizeof(anz_receipt_member_t) == 24, "anz_receipt_member");
_Static_assert(offsetof(anz_receipt_member_t, member) == 0, "member");
_Static_assert(offsetof(anz_receipt_member_t, outcome) == 16, "outcome");
_Static_assert(offsetof(anz_receipt_member_t, reserved) == 20, "reserved");

_Static_assert(sizeof(anz_receipt_t) == 72, "anz_receipt");
_Static_assert(offsetof(anz_receipt_t, struct_size) == 0, "struct_size");
_Static_assert(offsetof(anz_receipt_t, status) == 4, "status");
_Static_assert(offsetof(anz_receipt_t, tag) == 8, "tag");
_Static_assert(offsetof(anz_receipt_t, view) == 16, "view");
_Static_assert(offsetof(anz_receipt_t, members) == 56, "members");
_Static_assert(offsetof(anz_receipt_t, members_len) == 64, "members_len");

_Static_assert(sizeof(anz_iov_t) == 16, "anz_iov");
_Static_assert(offsetof(anz_iov_t, base) == 0, "base");
_Static_assert(offsetof(anz_iov_t, len) == 8, "len");

_Static_assert(sizeof(anz_claim_t) == 24, "anz_claim");
_Static_assert(offsetof(anz_claim_t, data) == 0, "data");
_Static_assert(offsetof(anz_claim_t, len) == 8, "len");
_Static_assert(offsetof(anz_claim_t, token) == 16, "token");

_Static_assert(sizeof(anz_loop_ops_t) == 24, "anz_loop_ops");
_Static_assert(offsetof(anz_loop_ops_t, struct_size) == 0, "struct_size");
_Static_assert(offsetof(anz_loop_ops_t, reserved) == 4, "reserved");
_Static_assert(offsetof(anz_loop_ops_t, watch) == 8, "watch");
_Static_assert(offsetof(anz_loop_ops_t, timer) == 16, "timer");

_Static_assert(sizeof(anz_conn_stats_t) == 104, "anz_conn_stats");
_Static_assert(offsetof(anz_conn_stats_t, struct_size) == 0, "struct_size");
_Static_assert(offsetof(anz_conn_stats_t, reserved) == 4, "reserved");
_Static_assert(offsetof(anz_conn_stats_t, sent_messages) == 8, "sent_messages");
_Static_assert(offsetof(anz_conn_stats_t, sent_bytes) == 16, "sent_bytes");
_Static_assert(offsetof(anz_conn_stats_t, send_again) == 24, "send_again");
_Static_assert(offsetof(anz_conn_stats_t, received_messages) == 32, "received_messages");
_Static_assert(offsetof(anz_conn_stats_t, received_bytes) == 40, "received_bytes");
_Static_assert(offsetof(anz_conn_stats_t, views) == 48, "views");
_Static_assert(offsetof(anz_conn_stats_t, send_ring_used) == 56, "send_ring_used");
_Static_assert(offsetof(anz_conn_stats_t, send_ring_size) == 64, "send_ring_size");
_Static_assert(offsetof(anz_conn_stats_t, receive_ring_used) == 72, "receive_ring_used");
_Static_assert(offsetof(anz_conn_stats_t, receive_ring_size) == 80, "receive_ring_size");
_Static_assert(offsetof(anz_conn_stats_t, lag_ns) == 88, "lag_ns");
_Static_assert(offsetof(anz_conn_stats_t, reconnects) == 96, "reconnects");

_Static_assert(sizeof(struct anz_api) == 384, "anz_api");
