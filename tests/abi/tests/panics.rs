//! A panic in the library, met by a C program: a library with such exports is built for it, in the
//! same way as the one that ships.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anasazi_abi::{root, run};

#[test]
fn a_deliberate_panic_is_a_status_and_the_process_lives() {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    // As everything is built for the tests: nothing else is built again.
    let feature = ["--workspace", "--lib", "--tests", "--features", "anasazi-ffi/panic-export"];
    run(Command::new(cargo).args(["build", "--locked"]).args(feature).current_dir(root()));
    // Away from what other tests may link.
    let directory = tempfile::tempdir().expect("a directory");
    let archive = target.join("debug/libanasazi.a");
    std::fs::copy(&archive, directory.path().join("libanasazi.a")).expect("the archive");
    run(Command::new(root().join("ffi/link.sh")).arg(directory.path()));
    let program = directory.path().join("panics");
    run(Command::new("cc")
        .args(["-std=c99", "-O1", "-g", "-Wall", "-Wextra", "-pedantic", "-Werror", "-I"])
        .arg(root().join("include"))
        .arg(root().join("tests/abi/c/panics.c"))
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(directory.path())
        .args(["-lanasazi", "-lpthread"])
        .arg(format!("-Wl,-rpath,{}", directory.path().display())));
    let mut timed = Command::new("timeout");
    let program = timed.arg("60").arg(program);
    // Cargo's has the library of the other build in it.
    let output = program.env_remove("LD_LIBRARY_PATH").output().expect("a program");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (printed, complaints) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && printed == "ok\n", "{printed}\n{complaints}");
    assert_eq!(complaints, "", "it says nothing by itself");
}
