//! Key files: what they must be to be trusted, and what is made of them.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anasazi_protocol::hash64;
use anasazi_seal::{Boot, KeyId, KeyRing, Mode, Seal};
use zeroize::Zeroizing;

use crate::config::{DomainConfig, SealConfig};
use crate::error::EngineError;
use crate::sys::socket::own_uid;

/// A file of keys is smaller than this.
const LEN_MAX: u64 = anasazi_seal::KEY_FILE_LEN_MAX as u64;
/// What stands at the beginning of a new file.
const REMARK: &str = "# Keys of an Anasazi cluster: whoever has them can be a member.\n\
                      # The first one seals when an engine starts; all of them open.\n";
/// Permission bits that it must not have: of others all, of the group those to change it.
const MODE_REFUSED: u32 = 0o027;

/// Reads a key file, if nobody can have read or changed it who should not.
pub(crate) fn read(path: &Path) -> Result<KeyRing, EngineError> {
    let (_, text) = open(path)?;
    let wrong = |error| EngineError::Config(format!("key file {}: {error}", path.display()));
    KeyRing::parse(&text).map_err(wrong)
}

/// Whether the keys of a domain can be had, as they are when an engine starts.
///
/// # Errors
/// Why not, in words, with the path.
pub fn check(seal: &SealConfig) -> Result<(), String> {
    match seal {
        SealConfig { mode: Some(_), key_file: Some(path) } => {
            read(path).map(drop).map_err(|error| error.to_string())
        }
        _ => Ok(()),
    }
}

/// What stands in a file that may be trusted.
fn open(path: &Path) -> Result<(Metadata, Zeroizing<Vec<u8>>), EngineError> {
    let place = path.display();
    let wrong = |text: String| EngineError::Config(format!("key file {place}: {text}"));
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => wrong(
            "it is not there: make one with `anasazi key generate`, or copy another node's here"
                .to_owned(),
        ),
        std::io::ErrorKind::PermissionDenied => wrong(format!(
            "permission denied: the daemon's user must be able to read it: `chgrp GROUP {place}` \
             with a group of that user, and `chmod 0640 {place}`; and to enter its directory"
        )),
        _ => wrong(format!("it cannot be read: {error}")),
    };
    // What is no file might have this wait for ever.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(wrong("it is not a file".to_owned()));
    }
    let own = own_uid();
    if about.uid() != own && about.uid() != 0 {
        return Err(wrong(format!(
            "it belongs to user {}, who could put other keys in: give it to root or to user {own}",
            about.uid()
        )));
    }
    if about.mode() & MODE_REFUSED != 0 {
        return Err(wrong(format!(
            "others can read it, or its group can change it (mode {:o}): `chmod 0640 {place}`, and \
             make new keys if somebody may have read these",
            about.mode() & 0o777
        )));
    }
    let text = read_text(file).map_err(failed)?;
    Ok((about, text))
}

/// A key that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadeKey {
    /// Its number: 1 in a new file, else the one after the newest.
    pub id: KeyId,
    /// The file was not there.
    pub is_new_file: bool,
}

/// Makes a key, in a new file that only its owner can read, or as one more line of a key file that
/// is there. For the console; it waits for the disk.
///
/// # Errors
/// Why it does not, in words: the file is none that an engine would take, or cannot be written, or
/// there is no randomness.
pub fn generate(path: &Path) -> Result<MadeKey, String> {
    let place = path.display();
    let failed = |error: std::io::Error| format!("key file {place}: {error}");
    let mut bytes = Zeroizing::new([0; 32]);
    let no_randomness = |error| format!("no randomness from the kernel: {error}");
    getrandom::fill(&mut *bytes).map_err(no_randomness)?;
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    let mut key = Zeroizing::new(String::with_capacity(64));
    bytes.iter().for_each(|byte| key.extend([digit(byte >> 4), digit(byte & 15)]));
    // It is made beside the file and takes its place: nobody ever sees half of one.
    let beside = PathBuf::from(format!("{place}.new"));
    let mut options = OpenOptions::new();
    let new = options.write(true).create_new(true).mode(0o600).open(&beside);
    let new = new.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => format!(
            "{}: it is there already: somebody else makes a key just now, or was killed in the \
             middle of it; delete it then",
            beside.display()
        ),
        _ => format!("{}: {error}", beside.display()),
    })?;
    let made = fill(path, new, &key).and_then(|made| {
        std::fs::rename(&beside, path).map_err(failed)?;
        let directory = path.parent().filter(|of| !of.as_os_str().is_empty());
        let directory = File::open(directory.unwrap_or_else(|| Path::new(".")));
        directory.and_then(|directory| directory.sync_all()).map_err(failed)?;
        Ok(made)
    });
    if made.is_err() {
        _ = std::fs::remove_file(&beside);
    }
    made
}

/// Writes what is to take the place of a key file: all that it has, and one key more.
fn fill(path: &Path, mut new: File, key: &str) -> Result<MadeKey, String> {
    let place = path.display();
    let failed = |error: std::io::Error| format!("key file {place}: {error}");
    let mut text = Zeroizing::new(Vec::with_capacity(2 * LEN_MAX as usize));
    let is_new_file = !path.try_exists().map_err(failed)?;
    let id = if is_new_file {
        text.extend_from_slice(REMARK.as_bytes());
        KeyId(1)
    } else {
        let (old, before) = open(path).map_err(|error| error.to_string())?;
        let ring = KeyRing::parse(&before).map_err(|error| format!("key file {place}: {error}"))?;
        text.extend_from_slice(&before);
        if text.last() != Some(&b'\n') {
            text.push(b'\n');
        }
        new.set_permissions(old.permissions()).map_err(failed)?;
        std::os::unix::fs::fchown(&new, Some(old.uid()), Some(old.gid())).map_err(failed)?;
        KeyId(ring.newest().0.wrapping_add(1).max(1))
    };
    for part in [id.to_string().as_bytes(), b" ", key.as_bytes(), b"\n"] {
        text.extend_from_slice(part);
    }
    // What no engine would take does not take its place.
    KeyRing::parse(&text).map_err(|error| format!("key file {place}, with one more: {error}"))?;
    new.write_all(&text).and_then(|()| new.sync_all()).map_err(failed)?;
    Ok(MadeKey { id, is_new_file })
}

fn read_text(file: File) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // All of it at once: a vector that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(LEN_MAX as usize + 1));
    file.take(LEN_MAX + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// What a domain seals with, if it does.
pub(crate) fn seal(config: &DomainConfig) -> Result<Option<Seal>, EngineError> {
    let SealConfig { mode: Some(mode), key_file } = &config.seal else { return Ok(None) };
    let Some(path) = key_file else {
        return Err(EngineError::Config("seal.mode needs a key file, in seal.key_file".into()));
    };
    let seal = make(*mode, read(path)?, config.number);
    let missing = || EngineError::System("no randomness from the kernel: nothing is sealed".into());
    seal.map(Some).ok_or_else(missing)
}

fn make(mode: Mode, keys: KeyRing, domain: u64) -> Option<Seal> {
    let draw = || {
        let mut boot = [0; 16];
        getrandom::fill(&mut boot).ok().map(|()| Boot(boot))
    };
    Seal::new(mode, keys, number(domain, mode), Box::new(draw))
}

/// Nothing that was sealed in one mode is good for anything in the other.
fn number(domain: u64, mode: Mode) -> u64 {
    hash64(format!("{domain:016x} {}", mode.name()).as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn refused(path: &Path) -> String {
        read(path).expect_err("it is refused").to_string()
    }

    #[test]
    fn a_file_that_others_can_read_or_is_none_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        assert!(refused(&path).contains("anasazi key generate"));
        std::fs::write(&path, format!("1 {KEY}\n")).expect("written");
        let mode = |mode| {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, permissions).expect("changed");
        };
        for bad in [0o644, 0o604, 0o601, 0o660] {
            mode(bad);
            assert!(refused(&path).contains(&format!("mode {bad:o}")), "{}", refused(&path));
        }
        for good in [0o600, 0o640, 0o400] {
            mode(good);
            assert_eq!(read(&path).expect("it is read").infos().count(), 1);
        }
        mode(0o600);
        std::fs::write(&path, "1 00").expect("written");
        let text = refused(&path);
        assert!(text.contains("line 1") && text.contains("64 hexadecimal"), "{text}");
        std::fs::write(&path, "").expect("written");
        assert!(refused(&path).contains("no key in it"));
        assert!(refused(directory.path()).contains("not a file"));
        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(made.success());
        assert!(refused(&pipe).contains("not a file"));
    }

    #[test]
    fn keys_that_are_made_are_taken_and_follow_each_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        for id in 1..=3 {
            let made = generate(&path).expect("a key");
            assert_eq!(made, MadeKey { id: KeyId(id), is_new_file: id == 1 });
            let ring = read(&path).expect("it is taken");
            assert_eq!(ring.infos().count(), usize::from(id));
            assert_eq!(ring.first(), KeyId(1));
        }
        assert_eq!(std::fs::metadata(&path).expect("metadata").mode() & 0o777, 0o600);
        std::fs::write(&path, "255 00").expect("written");
        assert!(generate(&path).expect_err("it is no key file").contains("line 1"));
        std::fs::write(&path, format!("255 {KEY}")).expect("written");
        assert_eq!(generate(&path).expect("a key").id, KeyId(1), "numbers go round");
        assert_eq!(read(&path).expect("it is taken").infos().count(), 2);
        let many: String = (1..=32).map(|id| format!("{id} {KEY}\n")).collect();
        std::fs::write(&path, &many).expect("written");
        assert!(generate(&path).expect_err("too many").contains("more than 32 keys"));
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), many);
        let beside = directory.path().join("keys.new");
        assert!(!beside.exists());
        std::fs::write(&beside, "").expect("written");
        assert!(generate(&path).expect_err("at work").contains("somebody else makes a key"));
    }

    /// Nothing of it is left out in silence.
    #[test]
    fn a_file_that_is_too_long_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        generate(&path).expect("a key");
        let mut text = std::fs::read(&path).expect("it is there");
        text.resize(LEN_MAX as usize, b'\n');
        std::fs::write(&path, &text).expect("written");
        assert_eq!(read(&path).expect("it is read").infos().count(), 1);
        text.push(b'\n');
        std::fs::write(&path, &text).expect("written");
        let words = refused(&path);
        assert!(words.contains(&LEN_MAX.to_string()), "{words}");
    }

    #[test]
    fn a_key_more_changes_neither_who_has_the_file_nor_who_can_read_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        generate(&path).expect("a key");
        let permissions = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(&path, permissions).expect("changed");
        if own_uid() == 0 {
            std::os::unix::fs::chown(&path, None, Some(12_345)).expect("given");
        }
        let about = || {
            let about = std::fs::metadata(&path).expect("metadata");
            (about.mode() & 0o777, about.uid(), about.gid())
        };
        let before = about();
        generate(&path).expect("a key");
        assert_eq!(about(), before);
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        if own_uid() != 0 {
            eprintln!("skipped: only root can give a file away");
            return;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        generate(&path).expect("a key");
        std::os::unix::fs::chown(&path, Some(12_345), None).expect("given");
        let words = refused(&path);
        assert!(words.contains("belongs to user 12345"), "{words}");
    }

    #[test]
    fn a_mode_is_part_of_what_keys_are_for() {
        assert_ne!(number(7, Mode::Aead), number(7, Mode::Integrity));
        assert_ne!(number(7, Mode::Aead), number(8, Mode::Aead));
    }
}
