//! The shared library as the linker and the loader see it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anasazi_abi::calls::Code;
use anasazi_abi::prototypes::functions;
use anasazi_abi::{release, root, run};

fn inspect(tool: &str, arguments: &[&str]) -> String {
    run(Command::new(tool).args(arguments).arg(release().join("libanasazi.so.1")))
}

#[test]
fn it_exports_what_the_header_declares_and_nothing_else() {
    let listing = inspect("nm", &["-D", "--defined-only"]);
    let exported: BTreeSet<&str> = listing
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .filter(|name| *name != "ANASAZI_1.0")
        .map(|name| name.strip_suffix("@@ANASAZI_1.0").unwrap_or(name))
        .collect();
    let declared = functions();
    let declared: BTreeSet<&str> = declared.iter().map(|function| &function.name[..]).collect();
    assert_eq!(exported, declared);
    assert!(listing.lines().all(|line| line.contains("ANASAZI_1.0")), "{listing}");
}

#[test]
fn it_has_its_soname_stays_loaded_and_binds_at_once() {
    let dynamic = inspect("readelf", &["-d", "-W"]);
    let has = |tag: &str, value: &str| {
        dynamic.lines().any(|line| line.contains(tag) && line.contains(value))
    };
    assert!(has("(SONAME)", "[libanasazi.so.1]"), "{dynamic}");
    assert!(has("(FLAGS_1)", "NODELETE"), "{dynamic}");
    assert!(has("(FLAGS_1)", "NOW"), "{dynamic}");
    assert!(!has("(FLAGS)", "STATIC_TLS"), "{dynamic}");
    let needed: Vec<&str> = dynamic.lines().filter(|line| line.contains("(NEEDED)")).collect();
    let known = ["libc.so", "libgcc_s.so", "libm.so", "ld-linux", "libpthread.so", "libdl.so"];
    assert!(
        needed.iter().all(|line| known.iter().any(|name| line.contains(name))),
        "it needs what a C program does not have: {needed:?}"
    );
    let link = release().join("libanasazi.so");
    assert_eq!(fs::read_link(link).expect("a symlink").to_str(), Some("libanasazi.so.1"));
}

/// What runs when it is loaded is the compiler's, Rust's and the cryptographic library's own, and
/// its stack is no code.
#[test]
fn nothing_of_ours_runs_when_it_is_loaded() {
    let headers = inspect("readelf", &["-l", "-W"]);
    let stack = headers.lines().find(|line| line.contains("GNU_STACK")).expect("its stack");
    assert!(stack.contains(" RW ") && !stack.contains('E'), "{stack}");
    let sections = inspect("readelf", &["-S", "-W"]);
    assert!(![".ctors", ".preinit_array"].iter().any(|name| sections.contains(name)), "{sections}");
    let line = sections.lines().find(|line| line.contains(" .init_array ")).expect("a section");
    let words: Vec<&str> =
        line.split_once(".init_array").expect("it").1.split_whitespace().collect();
    let number = |word: &str| u64::from_str_radix(word, 16).expect("a number");
    let (start, len) = (number(words[1]), number(words[3]));
    let symbols = inspect("nm", &["-C"]);
    let name_of = |address: u64| {
        let line =
            symbols.lines().find(|l| l.starts_with(&format!("{address:016x} "))).unwrap_or("");
        line.splitn(3, ' ').nth(2).unwrap_or("(nameless)").to_owned()
    };
    let relocations = inspect("readelf", &["-r", "-W"]);
    let run: Vec<String> = relocations
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let at = u64::from_str_radix(words.first()?, 16).ok()?;
            let target = u64::from_str_radix(words.last()?, 16).ok()?;
            (start..start + len).contains(&at).then(|| name_of(target))
        })
        .collect();
    assert_eq!(run.len() as u64, len / 8, "{run:?}");
    // The last one is AWS-LC's, which asks the processor what it can.
    let of_others = ["frame_dummy", "do_library_init"];
    let known = |name: &String| of_others.contains(&&name[..]) || name.contains("std::sys::args::");
    assert!(run.iter().all(known), "{run:?}");
}

/// Functions that a signal handler may call reach nothing that it must not: no allocator, no panic,
/// no thread-local, nothing of another library but what is safe there too.
#[test]
#[cfg(target_arch = "x86_64")]
fn what_signal_handlers_may_call_calls_nothing_that_they_may_not() {
    let listing = inspect("objdump", &["-d", "--no-show-raw-insn"]);
    let code = Code::read(&listing, &inspect("readelf", &["-r", "-W"]));
    let safe: Vec<String> = functions()
        .into_iter()
        .filter(|function| function.has_tag("AS-Safe"))
        .map(|function| function.name)
        .collect();
    for name in ["anz_mcast", "anz_mcastv", "anz_claim", "anz_commit", "anz_abort"] {
        assert!(safe.iter().any(|safe| safe == name), "{name} is not tagged: {safe:?}");
    }
    let words = ["panic", "alloc", "tls_get", "fmt"];
    for function in &safe {
        let mut found = code.reaches(function, &words);
        // Signal-safe by POSIX, or by what it is: the address of this thread's errno.
        for harmless in
            ["memcpy", "memmove", "memset", "memcmp", "bcmp", "write", "__errno_location"]
        {
            found.remove(harmless);
        }
        assert!(found.is_empty(), "{function} reaches {found:?}");
    }
    // The walk finds what there is to find.
    let joins = code.reaches("anz_join", &words);
    assert!(
        joins.contains("malloc") && joins.iter().any(|name| name.contains("panic")),
        "{joins:?}"
    );
}

/// The crate of the rings, compiled by itself: no allocator, no panic, no thread-local, no system
/// call but the one that it makes itself.
#[test]
fn the_rings_need_nothing_but_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let object = directory.path().join("queue.o");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let emit = format!("obj={}", object.display());
    run(Command::new(cargo)
        .args(["rustc", "--release", "--locked", "--quiet", "-p", "anasazi-queue", "--lib"])
        .arg("--target-dir")
        .arg(directory.path())
        .args(["--", "--emit", &emit, "-C", "codegen-units=1"])
        .current_dir(root()));
    let symbols = run(Command::new("nm").args(["-C"]).arg(&object));
    let defined = |name: &str| symbols.lines().any(|l| l.contains(" T ") && l.contains(name));
    assert!(defined("Producer::claim_sparing") && defined("Consumer::release"), "{symbols}");
    let undefined: BTreeSet<&str> =
        symbols.lines().filter_map(|line| line.trim().strip_prefix("U ")).collect();
    let allowed = BTreeSet::from(["memcpy", "memmove", "memset"]);
    let others: Vec<_> = undefined.difference(&allowed).collect();
    assert!(others.is_empty(), "{others:?}");
}
