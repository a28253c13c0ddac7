//! The least and the largest of every integer that any function takes: a documented status, soon,
//! and never a crash. The calls are made of the header, so a new function is in at once.

use std::fmt::Write;

use anasazi_abi::man::documented;
use anasazi_abi::prototypes::{Argument, Function, functions};
use anasazi_abi::sweep;

#[test]
fn every_integer_may_be_as_small_or_large_as_can_be() {
    let (mut body, mut calls) = (String::new(), 0);
    for function in functions() {
        for (at, argument) in function.arguments.iter().enumerate() {
            for value in extremes(argument) {
                if let Some(expected) = expected(&function, argument, value) {
                    line(&mut body, &function, (at, value), &expected);
                    calls += 1;
                }
            }
        }
    }
    assert!(calls > 100, "{calls} calls");
    sweep::passes(&body);
}

/// A struct that the library fills says how large it is: beyond that nothing is written, and
/// nothing at all where it says what cannot be, which is an error, but for that of an error itself.
#[test]
fn nothing_is_written_beyond_what_a_struct_says_that_it_has() {
    let (mut body, mut calls) = (String::new(), 0);
    for function in functions() {
        for (at, argument) in function.arguments.iter().enumerate() {
            let filled = ["anz_error_t *", "anz_conn_stats_t *", "anz_event_t *"];
            if !filled.contains(&&argument.kind[..]) {
                continue;
            }
            for size in ["0", "1", "3", "4", "7", "16", "95", "255", "257", "1000", "4096", "4097"]
                .into_iter()
                .chain(["65536", "0x7FFFFFFF", "0xFFFFFFFF"])
            {
                let given = |place| (place == at).then(|| "(void *)room".to_owned());
                let call = sweep::call(&function, given);
                let place = format!("{}({}={size})", function.name, argument.name);
                // Its own size stands at its beginning in any case.
                let first = format!("{size}u > 4096u || {size}u < 4u ? 4u : {size}u");
                let byte = format!("fprintf(stderr, \"%s: byte %d\\n\", {place:?}, (int)len)");
                _ = writeln!(body, "    prepare();\n    memset(room, 0x5A, sizeof room);");
                _ = writeln!(body, "    *(uint32_t *)room = {size}u;");
                let check = with_size(&function, at, &call, size);
                _ = writeln!(body, "    {{ {check} }}");
                _ = writeln!(body, "    for (len = {first}; len < sizeof room; len++)");
                _ = writeln!(body, "        if (room[len] != 0x5A) return {byte};\n    tidy_up();");
                calls += 1;
            }
        }
    }
    assert!(calls > 60, "{calls} calls");
    sweep::passes(&body);
}

/// The call with a struct of this size, in place `at`, and what has to come of it.
fn with_size(function: &Function, at: usize, call: &str, size: &str) -> String {
    // Larger than the struct; and a multiple of what the elements of an array are aligned to.
    let (larger, even) = (["255", "257", "1000", "4096"], ["1000", "4096"]);
    match &function.arguments[at].kind[..] {
        // The call is as without it.
        "anz_error_t *" => {
            let without = sweep::call(function, |place| (place == at).then(|| "NULL".to_owned()));
            format!(
                "anz_status_t without = {without}, with;\n    tidy_up();\n    prepare();\n    \
                 with = {call};\n    CHECK(with == without);"
            )
        }
        "anz_event_t *" => {
            // Something that it would write.
            let some = "IS(anz_mcast(group, ANZ_AGREED, \"x\", 1, 0), ANZ_OK);";
            let wait = "IS(anz_conn_wait(conn, deadline_after_s(20)), ANZ_OK);";
            let got = if even.contains(&size) { "1" } else { "ANZ_EINVAL" };
            format!("{some}\n    {wait}\n    CHECK({call} == {got});")
        }
        _ if larger.contains(&size) => format!("IS({call}, ANZ_OK);"),
        _ => format!("IS({call}, ANZ_EINVAL);"),
    }
}

/// A struct that the library reads says how large it is: one that is too small, or absurd, is
/// refused; a larger one is of a newer header, and is taken if it sets nothing that is new.
#[test]
fn what_a_struct_says_of_its_size_is_taken_or_refused() {
    let (mut body, mut calls) = (String::new(), 0);
    for function in functions() {
        for (at, argument) in function.arguments.iter().enumerate() {
            let Some(kind) =
                argument.kind.strip_prefix("const ").and_then(|k| k.strip_suffix(" *"))
            else {
                continue;
            };
            // An event is the library's own, and its size a stride.
            let (good, newer) = match (kind, &function.name[..]) {
                ("anz_loop_ops_t", _) => ("r == ANZ_OK", "r == ANZ_E2BIG"),
                ("anz_event_t", "anz_release") => ("r == ANZ_OK", "r == ANZ_OK"),
                _ => continue,
            };
            let own = format!("sizeof({kind})");
            let sizes = [
                ("0", 0, "r == ANZ_EINVAL"),
                ("1", 0, "r == ANZ_EINVAL"),
                ("4", 0, "r == ANZ_EINVAL"),
                (&format!("{own} - 1"), 0, "r == ANZ_EINVAL"),
                (&own, 0, good),
                (&format!("{own} + 8"), 0, good),
                (&format!("{own} + 8"), 1, newer),
                ("4096", 0, good),
                ("4096", 1, newer),
                ("4097", 0, "r == ANZ_EINVAL"),
                ("0xFFFFFFFFu", 0, "r == ANZ_EINVAL"),
            ];
            for (size, last, expected) in sizes {
                let given = |place| (place == at).then(|| "(void *)room".to_owned());
                let call = sweep::call(&function, given);
                let place = format!("{} with a size of {size}, {expected}", function.name);
                _ = writeln!(body, "    prepare();\n    memset(room, 0, sizeof room);");
                _ = writeln!(body, "    memcpy(room, {}, {own});", sample(kind));
                _ = writeln!(body, "    *(uint32_t *)room = (uint32_t)({size});");
                _ = writeln!(body, "    if ((uint32_t)({size}) <= 4096 && {last})");
                _ = writeln!(body, "        room[(uint32_t)({size}) - 1] = 1;");
                _ = writeln!(body, "    {{ anz_status_t r = {call}; if (!({expected})) {{");
                _ = writeln!(body, "        fprintf(stderr, \"%s: %d\\n\", {place:?}, (int)r);");
                _ = writeln!(body, "        return 1; }} }}\n    tidy_up();");
                calls += 1;
            }
        }
    }
    assert_eq!(calls, 22, "each struct that is read, in each function");
    sweep::passes(&body);
}

/// The same of the fields of structs that are read: lengths of pieces, of which the sum may be more
/// than there are bytes; what is said to be a claim; tokens; members.
#[test]
fn every_field_may_be_as_small_or_large_as_can_be() {
    let lengths = ["0", "(size_t)1 << 40", "INT64_MAX", "SIZE_MAX / 2 + 1", "SIZE_MAX"];
    let words = ["0", "1", "INT64_MAX", "UINT64_MAX - 1", "UINT64_MAX"];
    let mut body = String::new();
    for first in lengths {
        for second in lengths {
            let good = if first == "0" && second == "0" { SENT } else { "r == ANZ_EMSGSIZE" };
            let set = format!("parts[0].len = {first}; parts[1].len = {second};");
            field(&mut body, &set, "anz_mcastv(group, ANZ_AGREED, parts, 2, 0)", good);
        }
    }
    for first in words {
        for second in words {
            let no_claim = "r == ANZ_EINVAL";
            let set = format!("claim.token = {first}; claim.len = (size_t){second};");
            field(&mut body, &set, "anz_commit(group, &claim, ANZ_AGREED, 0)", no_claim);
            field(&mut body, &set, "(anz_abort(group, &claim), ANZ_OK)", "r == ANZ_OK");
            let set = format!("other.token = {first}; other.len = (size_t){second};");
            field(&mut body, &set, "anz_release(conn, &other, 1)", "r == ANZ_OK");
            let set = format!("member.node = {first}; member.session = {second};");
            field(&mut body, &set, "anz_member_name(conn, &member, buf, 40)", "r == ANZ_OK");
            let peer = "anz_peer(conn, \"default\", member, (anz_group_t **)&made)";
            field(&mut body, &set, peer, &documented("anz_peer"));
        }
    }
    sweep::passes(&body);
}

fn field(body: &mut String, set: &str, call: &str, expected: &str) {
    let said = format!("fprintf(stderr, \"%s %s: %s\\n\", {set:?}, {call:?}, anz_status_name(r))");
    _ = writeln!(body, "    prepare();\n    {{");
    _ = writeln!(body, "        anz_iov_t parts[2] = {{{{room, 0}}, {{room, 0}}}};");
    _ = writeln!(body, "        anz_event_t other = ev;\n        anz_status_t r;");
    _ = writeln!(body, "        (void)parts, (void)other;\n        {set}\n        r = {call};");
    _ = writeln!(
        body,
        "        if (!({expected})) {{ {said}; return 1; }}\n    }}\n    tidy_up();"
    );
}

/// A good one.
fn sample(kind: &str) -> &'static str {
    match kind {
        "anz_loop_ops_t" => "&good_ops",
        "anz_event_t" => "&ev",
        _ => panic!("no {kind} is known"),
    }
}

fn extremes(argument: &Argument) -> &'static [&'static str] {
    match &argument.kind[..] {
        "uint32_t" => &["0", "1", "0x7FFFFFFFu", "0x80000000u", "0xFFFFFFFFu"],
        "uint64_t" => &["0", "1", "INT64_MAX", "UINT64_MAX"],
        "size_t" => &["0", "(size_t)1 << 40", "INT64_MAX", "SIZE_MAX / 2", "SIZE_MAX"],
        "int" | "anz_status_t" => &["0", "1", "-1", "INT32_MAX", "INT32_MIN"],
        "int64_t" => &["0", "1", "INT64_MAX", "-1", "INT64_MIN"],
        _ => &[],
    }
}

/// What must come of it, in C, of `r`; `None`: the call is not made, since it may rightly not
/// return, or the caller would have to have what he says that he has.
fn expected(function: &Function, argument: &Argument, value: &str) -> Option<String> {
    let is_zero = value == "0";
    let expected = match (&function.name[..], &argument.name[..]) {
        ("anz_mcast", "len") if is_zero => SENT,
        ("anz_mcast" | "anz_mcast_groups", "len") if !is_zero => "r == ANZ_EMSGSIZE",
        ("anz_claim", "len") if !is_zero => "r == ANZ_EMSGSIZE",
        ("anz_mcastv", "n") if !is_zero => "r == ANZ_EINVAL || r == ANZ_EMSGSIZE",
        ("anz_mcast_groups", "n") => "r == ANZ_EINVAL",
        ("anz_mcast" | "anz_mcastv" | "anz_mcast_groups" | "anz_commit", "service") => {
            "r == ANZ_OK || r == ANZ_EAGAIN || r == ANZ_EINVAL || r == ANZ_ENOTSUP"
        }
        ("anz_join", "flags") if is_zero || value == "1" => "r == ANZ_OK || r == ANZ_EEXIST",
        ("anz_join", "flags") => "r == ANZ_EINVAL",
        // Its reply says that it is no JSON.
        ("anz_query", "len") if is_zero => "r == ANZ_OK",
        ("anz_query", "len") => "r == ANZ_EINVAL || r == ANZ_EMSGSIZE",
        ("anz_member_name" | "anz_group_name", "cap") if is_zero => "r == ANZ_EINVAL",
        ("anz_member_name" | "anz_group_name", "cap") => "r == ANZ_OK",
        // Nothing is there to be received.
        ("anz_recv", "max") if is_zero => "r == ANZ_EINVAL",
        ("anz_recv", "max") => "r == 0",
        // The caller must have had so many events.
        ("anz_release", "n") if !is_zero => return None,
        // For ever, or nearly, is as long as it says; what ends it was asked for before.
        ("anz_conn_wait", _) if is_zero || value == "1" => "r == ANZ_ETIMEDOUT || r == ANZ_EINTR",
        ("anz_conn_wait", _) => "r == ANZ_EINTR",
        ("anz_status_name" | "anz_status_string", _) => "r != NULL && r[0] != 0",
        ("anz_get_api", _) => "r == NULL || r->version == ANZ_VERSION_NUM",
        ("anz_event_groups", _) => "r <= 1",
        _ => return Some(documented(&function.name)),
    };
    Some(expected.to_owned())
}

/// A send that is in order.
const SENT: &str = "r == ANZ_OK || r == ANZ_EAGAIN";

fn line(body: &mut String, function: &Function, (at, value): (usize, &str), expected: &str) {
    let call = sweep::call(function, |place| (place == at).then(|| value.to_owned()));
    let wake = if function.name == "anz_conn_wait" { "anz_conn_wake(conn); " } else { "" };
    let returns = match &function.returns[..] {
        "void" => return,
        "anz_status_t" => "anz_status_t",
        other => other,
    };
    _ = writeln!(
        body,
        "    prepare();\n    {{ {wake}{returns} r = {call}; if (!({expected})) {{ fprintf(stderr, \
         \"%s: {expected}\\n\", {call:?}); return 1; }} }}\n    tidy_up();"
    );
}
