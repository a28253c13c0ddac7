//! Key files: what they must be to be trusted, and what is made of them.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anasazi_protocol::hash64;
use anasazi_seal::{Boot, KeyId, KeyRing, Mode, Seal};
use zeroize::Zeroizing;

use crate::config::{DomainConfig, SealConfig};
use crate::error::EngineError;
use crate::sys::socket::own_uid;

/// A file of keys is smaller than this.
const LEN_MAX: u64 = 64 << 10;
/// What stands at the beginning of a new file.
const REMARK: &str = "# Keys of an Anasazi cluster: whoever has them can be a member.\n\
                      # The first one seals when an engine starts; all of them open.\n";
/// Room for that and a key.
const LINE_LEN_MAX: usize = 512;
/// Permission bits that it must not have: of others all, of the group those to change it.
const MODE_REFUSED: u32 = 0o027;

/// Reads a key file, if nobody can have read or changed it who should not.
pub(crate) fn read(path: &Path) -> Result<KeyRing, EngineError> {
    let place = path.display();
    let wrong = |text: String| EngineError::Config(format!("key file {place}: {text}"));
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => wrong(
            "it is not there: make one with `anasazi key generate`, or copy another node's here"
                .to_owned(),
        ),
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
    KeyRing::parse(&text).map_err(|error| wrong(error.to_string()))
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
    let mut options = OpenOptions::new();
    let new = options.write(true).create_new(true).mode(0o600).open(path);
    let is_new_file = new.is_ok();
    let (mut file, id, before) = match new {
        Ok(file) => (file, KeyId(1), REMARK),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let ids = read(path).map_err(|error| error.to_string())?;
            let newest = ids
                .infos()
                .map(|info| info.id)
                .reduce(|newest, id| if id.is_newer_than(newest) { id } else { newest });
            let next = newest.map_or(1, |newest| newest.0.wrapping_add(1).max(1));
            if ids.has(KeyId(next)) {
                return Err(format!("key file {place}: delete the oldest keys first"));
            }
            // Its last line may not have ended.
            (OpenOptions::new().append(true).open(path).map_err(failed)?, KeyId(next), "\n")
        }
        Err(error) => return Err(failed(error)),
    };
    let mut line = Zeroizing::new(String::with_capacity(LINE_LEN_MAX));
    line.push_str(before);
    line.push_str(&format!("{id} "));
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes.iter().for_each(|byte| line.extend([digit(byte >> 4), digit(byte & 15)]));
    line.push('\n');
    file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
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
    let SealConfig { mode: Some(mode), key_file: Some(path) } = &config.seal else {
        return Ok(None);
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
        std::fs::write(&path, "255 00").expect("written");
        assert!(generate(&path).expect_err("it is no key file").contains("line 1"));
        std::fs::write(&path, format!("255 {KEY}")).expect("written");
        assert_eq!(generate(&path).expect("a key").id, KeyId(1), "numbers go round");
        assert_eq!(read(&path).expect("it is taken").infos().count(), 2);
    }

    #[test]
    fn a_mode_is_part_of_what_keys_are_for() {
        assert_ne!(number(7, Mode::Aead), number(7, Mode::Integrity));
        assert_ne!(number(7, Mode::Aead), number(8, Mode::Aead));
    }
}
