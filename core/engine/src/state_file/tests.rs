use std::io;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::sys::privileges;

fn stored(incarnation: u64, ring_sequence_reserved: u64) -> Stored {
    Stored { node_id: 7, incarnation, ring_sequence_reserved }
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn file(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join(FILE_NAME)
}

/// A directory with a file in which `values` were stored, one after the other.
fn written(values: &[Stored]) -> tempfile::TempDir {
    let directory = temporary();
    let (mut state, _) = StateFile::open(directory.path()).unwrap();
    values.iter().for_each(|values| state.store(values).unwrap());
    directory
}

fn opened(directory: &Path) -> (Option<Stored>, Option<String>) {
    let (state, stored) = StateFile::open(directory).unwrap_or_else(|error| panic!("{error}"));
    (stored, state.warning().map(str::to_owned))
}

/// The text of the error; it must name the file or directory.
fn refused(directory: &Path) -> String {
    match StateFile::open(directory) {
        Ok((_, stored)) => panic!("it was opened, with {stored:?}"),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(directory.to_str().unwrap()), "{text}");
            text
        }
    }
}

fn tells_of_reset(text: &str) -> bool {
    text.contains("`anasazid --reset-state`")
}

#[test]
fn a_new_file_holds_nothing_and_keeps_what_is_stored() {
    let directory = temporary();
    let (state, nothing) = StateFile::open(directory.path()).unwrap();
    assert_eq!((nothing, state.warning()), (None, None));
    assert_eq!(state.path(), file(&directory));
    assert_eq!(fs::metadata(state.path()).unwrap().len(), FILE_LEN, "its full length at once");
    drop(state);
    let (mut state, nothing) = StateFile::open(directory.path()).unwrap();
    assert_eq!(nothing, None, "opened, closed, and still nothing stored");
    for n in 1..=5 {
        state.store(&stored(n, n * 1_024)).unwrap();
        state.store(&stored(n, n * 1_024)).unwrap();
    }
    drop(state);
    assert_eq!(opened(directory.path()), (Some(stored(5, 5_120)), None));
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, [FILE_NAME], "no draft is left");
}

#[test]
fn only_its_owner_may_read_or_write_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = written(&[stored(1, 1)]);
    let mode = fs::metadata(file(&directory)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn values_never_go_backwards() {
    let directory = temporary();
    let (mut state, _) = StateFile::open(directory.path()).unwrap();
    state.store(&stored(5, 2_000)).unwrap();
    let text = state.store(&stored(4, 3_000)).unwrap_err().to_string();
    assert!(text.contains("the incarnation would go back from 5 to 4"), "{text}");
    let text = state.store(&stored(6, 1_999)).unwrap_err().to_string();
    assert!(text.contains("the ring number would go back from 2000 to 1999"), "{text}");
    let nobody = Stored { node_id: 0, ..stored(6, 2_000) };
    for impossible in [nobody, stored(u64::MAX, 2_000), stored(6, u64::MAX)] {
        let text = state.store(&impossible).unwrap_err().to_string();
        assert!(text.contains("are impossible together"), "{text}");
    }
    drop(state);
    let (mut state, kept) = StateFile::open(directory.path()).unwrap();
    assert_eq!(kept, Some(stored(5, 2_000)), "what was refused was not written");
    assert!(state.store(&stored(4, 2_000)).is_err(), "nor in a later run");
    let renamed = Stored { node_id: 8, ..stored(5, 2_000) };
    state.store(&renamed).unwrap();
    drop(state);
    assert_eq!(opened(directory.path()).0, Some(renamed), "a node may get another number");
}

#[test]
fn two_cannot_share_a_file() {
    let directory = temporary();
    let (state, _) = StateFile::open(directory.path()).unwrap();
    let text = refused(directory.path());
    let path = file(&directory).display().to_string();
    let expected = format!(
        "the state file {path} is in use by another daemon or engine: stop it (`fuser {path}` \
         names its process), or give this node a state directory of its own (state.dir)"
    );
    assert_eq!(text, expected);
    assert_eq!(reset(directory.path()).unwrap_err().to_string(), expected);
    drop(state);
    assert_eq!(opened(directory.path()).0, None);
}

#[test]
fn of_many_that_start_at_once_with_no_file_exactly_one_gets_it() {
    for _ in 0..20 {
        let directory = temporary();
        let gate = std::sync::Barrier::new(4);
        let (path, gate) = (directory.path(), &gate);
        let results: Vec<_> = thread::scope(|scope| {
            let start = || {
                gate.wait();
                StateFile::open(path)
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let winners = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(winners, 1, "{results:?}");
        let others = results.iter().filter_map(|result| result.as_ref().err());
        others.for_each(|error| assert!(matches!(error, StateFileError::InUse { .. }), "{error}"));
        let (mut state, _) = results.into_iter().find_map(Result::ok).unwrap();
        state.store(&stored(1, 1)).unwrap();
        drop(state);
        assert_eq!(opened(path).0, Some(stored(1, 1)), "the winner wrote to the file of that name");
    }
}

#[test]
fn starts_and_resets_at_once_never_give_out_a_file_twice_or_one_that_was_set_aside() {
    let directory = temporary();
    let (path, holders) = (directory.path(), AtomicUsize::new(0));
    let end = Instant::now() + Duration::from_millis(500);
    let is_named = |state: &StateFile| {
        let (named, held) = (fs::metadata(&state.path).unwrap(), state.file.metadata().unwrap());
        assert_eq!(named.ino(), held.ino(), "the file of that name is another one");
    };
    let start = || {
        while Instant::now() < end {
            match StateFile::open(path) {
                Ok((state, _)) => {
                    assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "held twice");
                    is_named(&state);
                    thread::yield_now();
                    is_named(&state);
                    holders.fetch_sub(1, Ordering::SeqCst);
                }
                Err(error) => assert!(matches!(error, StateFileError::InUse { .. }), "{error}"),
            }
        }
    };
    thread::scope(|scope| {
        (0..3).for_each(|_| drop(scope.spawn(start)));
        while Instant::now() < end {
            if let Err(error) = reset(path) {
                assert!(matches!(error, StateFileError::InUse { .. }), "{error}");
            }
        }
    });
}

#[test]
fn a_file_that_was_set_aside_while_it_was_being_opened_is_not_taken() {
    let directory = written(&[stored(1, 1)]);
    let path = file(&directory);
    let opened_before = File::open(&path).unwrap();
    assert!(Locked::lock(opened_before.try_clone().unwrap(), &path).unwrap().is_some());
    reset(directory.path()).unwrap();
    assert!(Locked::lock(opened_before, &path).unwrap().is_none(), "no file has that name");
    let opened_aside = File::open(directory.path().join("anasazi-node.state.bad")).unwrap();
    drop(StateFile::open(directory.path()).unwrap());
    assert!(Locked::lock(opened_aside, &path).unwrap().is_none(), "another one has that name");
}

#[test]
fn the_lock_ends_with_the_engine_and_not_with_the_children_that_were_forked_meanwhile() {
    let directory = temporary();
    let (state, _) = StateFile::open(directory.path()).unwrap();
    let inherited = state.file.try_clone().unwrap();
    drop(state);
    assert_eq!(opened(directory.path()), (None, None));
    drop(inherited);
}

#[test]
fn a_draft_of_a_start_that_died_is_no_obstacle() {
    let directory = temporary();
    fs::write(directory.path().join(format!("{FILE_NAME}.new")), vec![0xff; 100_000]).unwrap();
    assert_eq!(opened(directory.path()), (None, None));
    let names = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(names, 1, "the draft became the file");
}

/// A crash can leave any beginning of a write. In the first slot to be written the old values then
/// count, in the second one the new ones do, since they were promised.
#[test]
fn a_torn_write_at_every_byte_leaves_the_old_values_or_the_promised_ones() {
    let (old, new) = (stored(5, 2_000), stored(6, 3_000));
    let directory = written(&[stored(4, 1_000), old]);
    let before = fs::read(file(&directory)).unwrap();
    let (mut state, _) = StateFile::open(directory.path()).unwrap();
    let [first, second] = state.write_order();
    state.store(&new).unwrap();
    drop(state);
    let after = fs::read(file(&directory)).unwrap();
    let slot = |index| slot_offset(index) as usize..slot_offset(index) as usize + SLOT_LEN;
    for garbage in [None, Some(0x00), Some(0xff), Some(0xa5)] {
        for cut in 0..=SLOT_LEN {
            let tear = |content: &mut Vec<u8>, index: usize| {
                let (torn, target) = (&mut content[slot(index)], &after[slot(index)]);
                torn[..cut].copy_from_slice(&target[..cut]);
                if let Some(byte) = garbage {
                    torn[cut..].fill(byte);
                }
            };
            let mut content = before.clone();
            tear(&mut content, first);
            fs::write(file(&directory), &content).unwrap();
            let (values, warning) = opened(directory.path());
            let whole = content[slot(first)] == after[slot(first)];
            assert_eq!(values, Some(if whole { new } else { old }), "first slot cut at {cut}");
            let untouched = content[slot(first)] == before[slot(first)];
            assert_eq!(warning.is_some(), !whole && !untouched, "first slot cut at {cut}");
            content[slot(first)].copy_from_slice(&after[slot(first)]);
            tear(&mut content, second);
            fs::write(file(&directory), &content).unwrap();
            assert_eq!(opened(directory.path()).0, Some(new), "second slot cut at {cut}");
        }
    }
}

#[test]
fn one_damaged_slot_is_told_and_repaired_and_costs_nothing() {
    for (index, which) in ["first", "second"].into_iter().enumerate() {
        let directory = written(&[stored(1, 1_000), stored(2, 2_000), stored(3, 3_000)]);
        let mut content = fs::read(file(&directory)).unwrap();
        content[slot_offset(index) as usize + 33] ^= 0x10;
        fs::write(file(&directory), &content).unwrap();
        let (mut state, values) = StateFile::open(directory.path()).unwrap();
        assert_eq!(values, Some(stored(3, 3_000)), "a promise survives the loss of either slot");
        let warning = state.warning().unwrap();
        let path = file(&directory).display().to_string();
        for part in [which, &path, "its checksum is wrong", "check the disk"] {
            assert!(warning.contains(part), "{part:?} is missing in {warning:?}");
        }
        assert_eq!(
            state.write_order(),
            [index, 1 - index],
            "the whole one stays until it is not alone"
        );
        state.store(&stored(4, 4_000)).unwrap();
        drop(state);
        assert_eq!(opened(directory.path()), (Some(stored(4, 4_000)), None), "repaired");
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let directory = written(&[stored(1, 1_000), stored(2, 2_000)]);
    let good = fs::read(file(&directory)).unwrap();
    for bit in 0..SLOT_LEN * 8 {
        let mut content = good.clone();
        content[bit / 8] ^= 1 << (bit % 8);
        fs::write(file(&directory), &content).unwrap();
        let (values, warning) = opened(directory.path());
        assert_eq!(values, Some(stored(2, 2_000)), "bit {bit}");
        assert!(warning.is_some(), "bit {bit}");
        content[SLOT_STRIDE as usize + bit / 8] ^= 1 << (bit % 8);
        fs::write(file(&directory), &content).unwrap();
        let text = refused(directory.path());
        assert!(tells_of_reset(&text), "bit {bit}: {text}");
    }
}

#[test]
fn a_file_of_another_length_is_refused_at_every_length() {
    let directory = written(&[stored(1, 1_000)]);
    let good = fs::read(file(&directory)).unwrap();
    let odd = (0..200).chain(SLOT_STRIDE - 70..SLOT_STRIDE + 140).chain(FILE_LEN - 9..FILE_LEN);
    for len in odd.chain(FILE_LEN + 1..FILE_LEN + 3) {
        let mut content = good.clone();
        content.resize(len as usize, 0);
        fs::write(file(&directory), &content).unwrap();
        let text = refused(directory.path());
        assert!(text.contains(&format!("it has {len} bytes instead of 8192")), "{text}");
        assert!(tells_of_reset(&text), "{text}");
        assert_eq!(fs::read(file(&directory)).unwrap(), content, "nothing was changed");
    }
}

#[test]
fn what_is_no_state_file_is_refused_in_full_words() {
    let directory = temporary();
    fs::write(file(&directory), vec![b'x'; FILE_LEN as usize]).unwrap();
    assert_eq!(
        refused(directory.path()),
        format!(
            "the state file {} cannot be used (both copies: it does not begin like one): restore \
             it, or run `anasazid --reset-state` to set it aside and start without it; this node \
             must be stopped, and nothing else is lost",
            file(&directory).display()
        )
    );
}

/// Changes the first slot and makes its checksum right again.
fn forge(directory: &tempfile::TempDir, change: impl Fn(&mut [u8])) {
    let mut content = fs::read(file(directory)).unwrap();
    change(&mut content[..SLOT_LEN]);
    let checksum = crc32c::crc32c(&content[..SLOT_LEN - 4]);
    content[SLOT_LEN - 4..SLOT_LEN].copy_from_slice(&checksum.to_le_bytes());
    fs::write(file(directory), content).unwrap();
}

#[test]
fn slots_that_contradict_each_other_are_refused() {
    let changes: [fn(&mut [u8]); 3] = [
        |slot| slot[32] += 1, // another incarnation in the same generation
        |slot| (slot[16], slot[40]) = (200, 0), // a later generation with a smaller ring number
        // a later generation with nothing stored
        |slot| {
            slot[16] = 200;
            slot[28..48].fill(0);
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let directory = written(&[stored(2, 255)]);
        forge(&directory, change);
        let text = refused(directory.path());
        assert!(
            text.contains("contradict each other") && tells_of_reset(&text),
            "{number}: {text}"
        );
    }
}

#[test]
fn a_slot_of_another_format_or_with_impossible_values_is_damaged() {
    let directory = written(&[stored(2, 2)]);
    forge(&directory, |slot| slot[8] = 9);
    let (values, warning) = opened(directory.path());
    assert_eq!(values, Some(stored(2, 2)));
    let warning = warning.unwrap();
    assert!(warning.contains("it has format 9, and this program knows format 1"), "{warning}");
    let impossible: [fn(&mut [u8]); 4] = [
        |slot| slot[16..24].fill(0xff), // the generation
        |slot| slot[28..32].fill(0),    // the node, but not the rest
        |slot| slot[32..40].fill(0xff), // the incarnation
        |slot| slot[40..48].fill(0xff), // the ring number
    ];
    for change in impossible {
        let directory = written(&[stored(2, 2)]);
        forge(&directory, change);
        let (mut state, values) = StateFile::open(directory.path()).unwrap();
        assert_eq!(values, Some(stored(2, 2)));
        let warning = state.warning().unwrap();
        assert!(warning.contains("impossible"), "{warning}");
        state.store(&stored(3, 3)).unwrap();
    }
}

#[test]
fn reset_sets_the_file_aside() {
    let directory = temporary();
    assert!(reset(directory.path()).unwrap().is_empty(), "nothing to reset");
    fs::write(file(&directory), b"broken").unwrap();
    refused(directory.path());
    let aside = reset(directory.path()).unwrap();
    assert_eq!(aside, [directory.path().join("anasazi-node.state.bad")]);
    assert_eq!(fs::read(&aside[0]).unwrap(), b"broken");
    assert_eq!(opened(directory.path()), (None, None), "the next start begins without one");
    assert_eq!(reset(directory.path()).unwrap(), aside, "a second time");
    assert!(reset(Path::new("/nonexistent")).is_err());
}

#[test]
fn reset_sets_the_files_of_domains_aside_and_nothing_else() {
    let directory = temporary();
    for domain in ["fast", "slow"] {
        drop(StateFile::open_of_domain(directory.path(), domain).unwrap());
    }
    drop(StateFile::open(directory.path()).unwrap());
    fs::write(directory.path().join("other.state"), b"another program's").unwrap();
    let aside = reset(directory.path()).unwrap();
    let expected = ["anasazi-domain-fast", "anasazi-domain-slow", "anasazi-node"];
    let expected = expected.map(|name| directory.path().join(format!("{name}.state.bad")));
    assert_eq!(aside, expected);
    assert!(directory.path().join("other.state").exists());
}

#[test]
fn a_failed_write_keeps_what_was_stored_and_can_be_tried_again() {
    let directory = written(&[stored(1, 1)]);
    let (mut state, _) = StateFile::open(directory.path()).unwrap();
    let read_only = Locked(File::open(file(&directory)).unwrap());
    let writable = std::mem::replace(&mut state.file, read_only);
    let text = state.store(&stored(2, 2)).unwrap_err().to_string();
    assert!(text.starts_with(&format!("cannot write {}: ", file(&directory).display())), "{text}");
    assert_eq!(state.stored, Some(stored(1, 1)));
    state.file = writable;
    state.store(&stored(2, 2)).unwrap();
    drop(state);
    assert_eq!(opened(directory.path()), (Some(stored(2, 2)), None));
}

#[test]
fn a_missing_directory_says_what_to_do() {
    let directory = temporary();
    let missing = directory.path().join("missing");
    let text = refused(&missing);
    assert!(text.contains("create the state directory") && text.contains("state.dir"), "{text}");
}

#[test]
fn what_is_not_a_directory_or_not_a_file_says_so() {
    let directory = temporary();
    let plain = directory.path().join("plain");
    fs::write(&plain, "").unwrap();
    assert!(refused(&plain).contains("state.dir must name a directory"));
    fs::create_dir(file(&directory)).unwrap();
    assert!(refused(directory.path()).contains("the state file in it must be a file"));
}

/// Runs `body` in a thread without privileges, for which the permissions of files count even when
/// it is root's.
fn unprivileged<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    let run = || {
        privileges::drop_privileges().unwrap();
        body()
    };
    thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|p| std::panic::resume_unwind(p))
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_that_cannot_be_written_names_it_and_the_remedy() {
    let directory = temporary();
    set_mode(directory.path(), 0o500);
    let text = unprivileged(|| refused(directory.path()));
    assert!(text.contains("Permission denied") && text.contains("to the user of this"), "{text}");
    set_mode(directory.path(), 0o000);
    let text = unprivileged(|| refused(directory.path()));
    assert!(text.starts_with(&format!("cannot open {}", directory.path().display())), "{text}");
    set_mode(directory.path(), 0o700);
}

#[test]
fn a_read_only_file_names_it_and_the_remedy() {
    let directory = written(&[stored(1, 1)]);
    set_mode(&file(&directory), 0o400);
    let text = unprivileged(|| refused(directory.path()));
    let path = file(&directory).display().to_string();
    assert!(text.starts_with(&format!("cannot open {path}: Permission denied")), "{text}");
    assert!(text.contains(&format!("give {}", directory.path().display())), "{text}");
}

/// Runs `body` with a small file system at a path that only this thread sees, and that goes away
/// with it.
fn with_file_system(options: &str, body: impl FnOnce(&Path) + Send) {
    let run = || {
        if let Err(error) = privileges::enter_new_mounts() {
            eprintln!("SKIPPED: no file system of its own, which needs root ({error})");
            return;
        }
        let directory = temporary();
        let mount = ["-t", "tmpfs", "-o", options, "none"];
        let mounted = Command::new("mount").args(mount).arg(directory.path()).status().unwrap();
        assert!(mounted.success());
        body(directory.path());
        let unmounted = Command::new("umount").arg(directory.path()).status().unwrap();
        assert!(unmounted.success());
    };
    thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|p| std::panic::resume_unwind(p));
}

#[test]
fn a_full_disk_is_told_at_the_start_and_leaves_nothing_behind() {
    with_file_system("size=4k", |directory| {
        let text = refused(directory);
        assert!(text.contains("No space left on device"), "{text}");
        let remedy = format!("free some space in {}: 8 KiB are enough", directory.display());
        assert!(text.contains(&remedy), "{text}");
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
    });
}

#[test]
fn a_disk_that_fills_up_later_does_not_matter() {
    with_file_system("size=64k", |directory| {
        let (mut state, _) = StateFile::open(directory).unwrap();
        state.store(&stored(1, 1)).unwrap();
        let full = fs::write(directory.join("filler"), vec![1; 1 << 20]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        (2..50).for_each(|n| state.store(&stored(n, n)).unwrap());
        drop(state);
        assert_eq!(opened(directory).0, Some(stored(49, 49)));
    });
}

#[test]
fn a_read_only_file_system_says_what_to_do() {
    with_file_system("size=64k", |directory| {
        drop(StateFile::open(directory).unwrap());
        let again = ["-o", "remount,ro"];
        assert!(Command::new("mount").args(again).arg(directory).status().unwrap().success());
        let text = refused(directory);
        assert!(text.contains("Read-only file system") && text.contains("for writing"), "{text}");
        let with_none = reset(directory).unwrap_err().to_string();
        assert!(with_none.contains("Read-only file system"), "{with_none}");
    });
}
