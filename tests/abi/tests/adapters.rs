//! Each adapter of `include/anasazi/adapters` in its own loop, the whole engine within: two members
//! find each other, send, and see one order; then one is killed, and the other finds out although
//! nothing else moves in its loop.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use anasazi_abi::processes::{Cluster, Program};
use anasazi_abi::{compile_with, root};

/// What a loop needs of its library: a module of pkg-config, or a header and an option.
enum Needs<'a> {
    Nothing,
    Module(&'static str),
    Header(&'static str, &'a str),
}

impl Needs<'_> {
    /// Options of the compiler; `None` if it is not installed.
    fn options(&self) -> Option<Vec<String>> {
        match self {
            Self::Nothing => Some(Vec::new()),
            Self::Header(path, option) => Path::new(path)
                .exists()
                .then(|| option.split_whitespace().map(String::from).collect()),
            Self::Module(name) => {
                let output = Command::new("pkg-config").args(["--cflags", "--libs", name]).output();
                let output = output.ok().filter(|output| output.status.success())?;
                let words = String::from_utf8_lossy(&output.stdout);
                Some(words.split_whitespace().map(String::from).collect())
            }
        }
    }
}

fn works(source: &str, needs: &Needs<'_>) {
    let Some(mut options) = needs.options() else {
        // `make test` says at its beginning what it could not install.
        _ = writeln!(io::stderr(), "skipped: {source}: its loop is not installed");
        return;
    };
    let cluster = Cluster::new();
    // The headers of loops are no strict C99.
    options.extend(["-fPIC", "-Wno-pedantic"].map(String::from));
    if source.ends_with(".c") {
        options.push("-std=gnu99".to_owned());
    }
    let source = root().join("tests/abi/c/loops").join(source);
    let program = compile_with(&source, cluster.directory(), &options);
    let start = || Program::start(Command::new(&program).args(cluster.settings()));
    let (mut first, mut second) = (start(), start());
    let last = |member: &mut Program| {
        for _ in 0..2 * MESSAGES_EACH {
            member.expect("message");
        }
    };
    last(&mut first);
    last(&mut second);
    second.kill();
    first.expect("view of 1");
    first.expect("ended");
    let messages = |program: &Program| -> Vec<String> {
        program.printed.iter().filter(|line| line.starts_with("message")).cloned().collect()
    };
    assert_eq!(messages(&first), messages(&second));
    let printed = first.finish();
    let views: Vec<&String> = printed.iter().filter(|line| line.starts_with("view")).collect();
    assert_eq!(views.last().map(|view| &view[..]), Some("view of 1"), "{views:?}");
}

/// As `member.h` has it.
const MESSAGES_EACH: usize = 200;

#[test]
fn libuv() {
    works("libuv.c", &Needs::Module("libuv"));
}

#[test]
fn libevent() {
    works("libevent.c", &Needs::Module("libevent_core"));
}

#[test]
fn libev() {
    works("libev.c", &Needs::Header("/usr/include/ev.h", "-lev"));
}

#[test]
fn glib() {
    works("glib.c", &Needs::Module("glib-2.0"));
}

#[test]
fn sd_event() {
    works("sdevent.c", &Needs::Module("libsystemd"));
}

#[test]
fn asio() {
    works("asio.cc", &Needs::Header("/usr/include/asio.hpp", "-DASIO_STANDALONE"));
}

/// Boost's own has the same interface by another name, which is all that the adapter knows.
#[test]
fn asio_by_the_names_of_boost() {
    let directory = tempfile::tempdir().expect("a directory");
    let boost = directory.path().join("boost");
    fs::create_dir(&boost).expect("a directory");
    fs::write(boost.join("asio.hpp"), BOOST).expect("a header");
    let options = "-DASIO_STANDALONE -DANASAZI_BOOST_ASIO -I";
    let options = format!("{options}{}", directory.path().display());
    works("asio.cc", &Needs::Header("/usr/include/asio.hpp", &options));
}

const BOOST: &str = "#include <asio.hpp>
namespace boost {
namespace asio = ::asio;
namespace system { using std::error_code; }
}
";

#[test]
fn qt() {
    works("qt.cc", &Needs::Module("Qt5Core"));
}

#[test]
fn an_edge_triggered_epoll() {
    works("epoll.c", &Needs::Nothing);
}

#[test]
fn a_loop_that_watches_everything_itself() {
    works("level2.c", &Needs::Nothing);
}
