//! What the tests of the C interface share: where things are, how they are built, how the header is
//! laid out.

pub mod calls;
pub mod layout;
pub mod man;
pub mod processes;
pub mod prototypes;
pub mod shared;
pub mod sweep;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the project's root")
}

/// Runs a command that must succeed, and returns what it printed.
///
/// # Panics
/// If it does not.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out
}

/// The directory with the library as it ships, and the daemon: built if they were not.
pub fn release() -> &'static Path {
    static RELEASE: OnceLock<PathBuf> = OnceLock::new();
    RELEASE.get_or_init(|| {
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let packages = ["-p", "anasazi-ffi", "-p", "anasazid"];
        let mut build = Command::new(cargo);
        run(build.args(["build", "--release", "--locked"]).args(packages).current_dir(root()));
        let release = target.join("release");
        run(Command::new(root().join("ffi/link.sh")).arg(&release));
        release
    })
}

/// Compiles a C program of this project against the header and the library.
pub fn compile(source: &str, into: &Path) -> PathBuf {
    compile_file(&root().join(source), into)
}

/// Compiles any C or C++ program against the headers and the library.
///
/// # Panics
/// If the compiler has anything to say.
pub fn compile_file(source: &Path, into: &Path) -> PathBuf {
    compile_with(source, into, &[])
}

/// The same with options of its own, which come last.
///
/// # Panics
/// As [`compile_file`].
pub fn compile_with(source: &Path, into: &Path, options: &[String]) -> PathBuf {
    let program = into.join(source.file_stem().expect("a file's name"));
    let is_c = source.extension().is_some_and(|end| end == "c");
    let (compiler, dialect) = if is_c { ("cc", "-std=c99") } else { ("c++", "-std=c++17") };
    run(Command::new(compiler)
        .args([dialect, "-O1", "-g", "-Wall", "-Wextra", "-pedantic", "-Werror"])
        .arg("-I")
        .arg(root().join("include"))
        .arg("-o")
        .arg(&program)
        .arg(source)
        .arg("-L")
        .arg(release())
        .arg("-lanasazi")
        .args(options)
        .arg("-lpthread")
        // A function that is bound when it is first called is looked up by the loader then, with a
        // kilobyte of stack and more: no matter for a signal handler.
        .arg("-Wl,-z,now")
        .arg(format!("-Wl,-rpath,{}", release().display())));
    program
}
