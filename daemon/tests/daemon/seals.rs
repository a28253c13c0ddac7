//! Key files that are not in order, and nodes that do not meet because of their keys.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use super::place::{Place, Running};

fn write_keys(path: &Path, digits: &str, mode: u32) {
    fs::write(path, format!("2 {}\n", digits.repeat(32))).expect("written");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("changed");
}

/// What a start refuses, a check does, for the same reason, whichever domain it is of.
#[test]
fn check_refuses_the_key_files_that_a_start_refuses() {
    let place = Place::new("");
    let path = |name: &str| place.path(name).display().to_string();
    write_keys(&place.path("good"), "5a", 0o640);
    write_keys(&place.path("open"), "5a", 0o644);
    write_keys(&place.path("short"), "5", 0o600);
    fs::create_dir(place.path("directory")).expect("made");
    let own = "seal.mode = \"aead\"\n";
    for (name, why) in [
        ("open", "others can read it"),
        ("missing", "it is not there"),
        ("short", "64 hexadecimal"),
        ("directory", "it is not a file"),
    ] {
        let (good, bad) = (path("good"), path(name));
        for (key, table) in [
            ("seal.key_file", format!("{own}seal.key_file = \"{bad}\"\n")),
            (
                "domain.fast.seal.key_file",
                format!(
                    "{own}seal.key_file = \"{good}\"\n[domain.fast]\nseal.key_file = \"{bad}\"\n"
                ),
            ),
        ] {
            let place = Place::new(&table);
            let checked = place.run(&["--check"]);
            assert_eq!(checked.code, Some(2), "{name}: {checked:?}");
            let words = [key, &place.file(), &bad, why];
            assert!(words.iter().all(|word| checked.stderr.contains(word)), "{checked:?}");
            let json = place.run(&["--check", "--json"]);
            assert_eq!(json.code, Some(2), "{json:?}");
            assert!(json.stdout.contains("\"valid\":false"), "{json:?}");
            let started = place.run(&[]);
            assert_eq!(started.code, Some(2), "{name}: {started:?}");
            assert!(started.stderr.contains(why), "{started:?}");
        }
    }
    let place = Place::new(&format!("{own}seal.key_file = \"{}\"\n", path("good")));
    let checked = place.run(&["--check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

/// Root may read what the daemon's user may not, and the other way round.
#[test]
fn check_reads_key_files_as_the_user_that_will_run() {
    let keys = Place::new("");
    if fs::metadata(keys.directory.path()).expect("it is there").uid() != 0 {
        eprintln!("skipped: only root becomes another user");
        return;
    }
    fs::set_permissions(keys.directory.path(), Permissions::from_mode(0o755)).expect("open");
    let path = keys.path("keys");
    write_keys(&path, "5a", 0o600);
    let run = keys.path("run/a.sock");
    let table = format!("seal.mode = \"aead\"\nseal.key_file = \"{}\"\n", path.display());
    let place = Place::new(&table);
    let listen = format!("client.listen={}", run.display());
    let check = |options: &[&str]| place.run(&[&["--check", "--set", &listen], options].concat());
    assert_eq!(check(&[]).code, Some(0));
    let refused = check(&["--user", "nobody"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    for word in ["permission denied", "chgrp", "chmod 0640"] {
        assert!(refused.stderr.contains(word), "{word}: {refused:?}");
    }
    let nobody = fs::read_to_string("/etc/passwd").expect("users");
    let nobody = nobody.lines().find(|line| line.starts_with("nobody:")).expect("a user");
    let uid = nobody.split(':').nth(2).and_then(|uid| uid.parse().ok()).expect("a number");
    chown(&path, Some(uid), None).expect("given");
    assert_eq!(check(&["--user", "nobody"]).code, Some(0));
    assert_eq!(check(&[]).code, Some(2), "somebody else's");
    assert!(!run.parent().expect("a directory").exists(), "a check makes nothing");
}

fn free_address() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port")
}

/// A daemon in `place` whose only peer is at the other address.
fn start(place: &Place, [own, peer]: [SocketAddr; 2], seal: &str) -> Running {
    let file = place.file();
    let before = fs::read_to_string(&file).expect("it is there");
    let network = format!("transport.bind = \"{own}\"\ntransport.peers = [\"{peer}\"]\n");
    fs::write(&file, format!("{before}{network}{seal}")).expect("written");
    place.start(&mut place.command(&[]))
}

/// Who does not meet because of keys or modes is told why, on both sides.
#[test]
fn nodes_that_seal_in_different_ways_name_each_other() {
    let keys = Place::new("");
    let sealed = |mode: &str, digits: &str| {
        let path = keys.path(&format!("{mode}{digits}"));
        write_keys(&path, digits, 0o600);
        format!("seal.mode = \"{mode}\"\nseal.key_file = \"{}\"\n", path.display())
    };
    let (aead, other) = (sealed("aead", "5a"), sealed("aead", "5b"));
    let (integrity, none) = (sealed("integrity", "5a"), "seal.mode = \"checksum\"\n".to_owned());
    let key = "seals with another key of number 2";
    for (here, there, words_here, words_there) in [
        (&aead, &other, key, key),
        (
            &aead,
            &integrity,
            "seals in mode integrity, this node in aead",
            "seals in mode aead, this node in integrity",
        ),
        (
            &aead,
            &none,
            "does not seal, this node does (seal.mode = \"aead\")",
            "seals (mode aead), this node does not",
        ),
    ] {
        let addresses = [free_address(), free_address()];
        let [one, two] = addresses;
        let places = [Place::new(""), Place::new("")];
        let first = start(&places[0], addresses, here);
        let second = start(&places[1], [two, one], there);
        first.wait_for_log(&format!("{two} {words_here}"));
        second.wait_for_log(&format!("{one} {words_there}"));
    }
}
