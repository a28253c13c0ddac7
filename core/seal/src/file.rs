//! Key files: a line for each key, its number and 64 hexadecimal digits. The first one seals when
//! an engine starts; the others only open, until they are activated. `#` begins a remark.

use std::fmt;

use zeroize::Zeroizing;

use crate::keys::{KeyId, KeyRing};
use crate::limits::{KEY_FILE_LEN_MAX, KEY_LEN, KEYS_MAX};
use crate::sys::secret::{Secret, SecretError};

/// What is wrong with a key file; the words never show what stands where a key should.
#[derive(Debug)]
pub enum KeyFileError {
    /// No line has a key.
    Empty,
    /// It cannot be a key file.
    TooLong,
    /// There are more keys than anybody needs.
    TooMany,
    /// A line is not a number and a key.
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// Two lines have the same number.
    Twice {
        /// Of the second one, counted from 1.
        line: usize,
        /// The number.
        id: KeyId,
    },
    /// The numbers go round in a circle, so that none is the newest.
    NoOrder,
    /// There is no safe place for it in memory.
    Secret(SecretError),
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str(
                "there is no key in it: make one with `anasazi key generate`, or copy another \
                 node's file here",
            ),
            Self::TooLong => write!(f, "it has more than {KEY_FILE_LEN_MAX} bytes: no key file"),
            Self::TooMany => write!(
                f,
                "it has more than {KEYS_MAX} keys: delete the lines of those that are retired"
            ),
            Self::Line { line, wrong } => write!(f, "line {line}: {wrong}"),
            Self::Twice { line, id } => write!(
                f,
                "line {line}: there already is a key {id}; give the new one the next number"
            ),
            Self::NoOrder => f.write_str(
                "the numbers of its keys are too far apart to tell which one is the newest: delete \
                 the lines of those that are retired",
            ),
            Self::Secret(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for KeyFileError {}

impl KeyRing {
    /// Reads what stands in a key file.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, KeyFileError> {
        if text.len() > KEY_FILE_LEN_MAX {
            return Err(KeyFileError::TooLong);
        }
        let mut keys: Vec<(KeyId, Secret)> = Vec::new();
        for (index, text) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = index + 1;
            let mut words = text.split(|byte| byte.is_ascii_whitespace()).filter(|w| !w.is_empty());
            let Some(first) = words.next().filter(|word| word[0] != b'#') else { continue };
            let wrong = |wrong| KeyFileError::Line { line, wrong };
            let id = id(first).ok_or_else(|| wrong("it has to begin with a number, 1 to 255"))?;
            let key = words.next().ok_or_else(|| wrong("no key follows the number"))?;
            if words.next().is_some_and(|word| word[0] != b'#') {
                return Err(wrong("there is more on it than a number and a key"));
            }
            let mut bytes = hexadecimal(key)
                .ok_or_else(|| wrong("the key has to have 64 hexadecimal digits"))?;
            if keys.iter().any(|(other, _)| *other == id) {
                return Err(KeyFileError::Twice { line, id });
            }
            if keys.len() == KEYS_MAX {
                return Err(KeyFileError::TooMany);
            }
            keys.push((id, Secret::new(&mut bytes).map_err(KeyFileError::Secret)?));
        }
        let ring = Self::new(keys).ok_or(KeyFileError::Empty)?;
        if ring.is_in_order() { Ok(ring) } else { Err(KeyFileError::NoOrder) }
    }
}

fn id(word: &[u8]) -> Option<KeyId> {
    let digits = std::str::from_utf8(word).ok()?;
    // Not "+1".
    let number: u8 = digits.parse().ok().filter(|_| word.iter().all(u8::is_ascii_digit))?;
    (number > 0).then_some(KeyId(number))
}

fn hexadecimal(word: &[u8]) -> Option<Zeroizing<[u8; KEY_LEN]>> {
    let mut bytes = Zeroizing::new([0; KEY_LEN]);
    if word.len() != 2 * KEY_LEN {
        return None;
    }
    let digit = |digit: u8| char::from(digit).to_digit(16);
    for (byte, digits) in bytes.iter_mut().zip(word.chunks_exact(2)) {
        *byte = u8::try_from(digit(digits[0])? << 4 | digit(digits[1])?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

    fn wrong(text: &str) -> String {
        KeyRing::parse(text.as_bytes()).expect_err("it is wrong").to_string()
    }

    #[test]
    fn keys_stand_one_a_line_with_remarks() {
        let other = KEY.replace("00", "01");
        let text = format!("# ours\n\n 7 {KEY}  # since May\r\n8\t{other}");
        let ring = KeyRing::parse(text.as_bytes()).expect("two keys");
        assert_eq!(ring.infos().map(|info| info.id.0).collect::<Vec<_>>(), [7, 8]);
        let first = ring.get(KeyId(7)).expect("key 7").bytes();
        assert_eq!((first[0], first[15], first[31]), (0, 0xff, 0xff));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_without_the_key() {
        assert!(wrong("").contains("anasazi key generate"));
        assert!(wrong("# nothing\n").contains("no key in it"));
        assert!(wrong(&"#".repeat(KEY_FILE_LEN_MAX + 1)).contains("no key file"));
        for (text, says) in [
            (format!("0 {KEY}"), "line 1: it has to begin with a number"),
            (format!("256 {KEY}"), "line 1: it has to begin with a number"),
            (format!("+1 {KEY}"), "line 1: it has to begin with a number"),
            (format!("1 {KEY}\n129 {KEY}"), "the numbers of its keys are too far apart"),
            (KEY.to_owned(), "line 1: it has to begin with a number"),
            ("\n1".to_owned(), "line 2: no key follows"),
            (format!("1 {}", &KEY[1..]), "line 1: the key has to have 64"),
            (format!("1 {}g", &KEY[1..]), "line 1: the key has to have 64"),
            (format!("1 {KEY} {KEY}"), "line 1: there is more on it"),
            (format!("1 {KEY}\n1 {KEY}"), "line 2: there already is a key 1"),
        ] {
            let words = wrong(&text);
            assert!(words.starts_with(says), "{words}");
            assert!(!words.contains(&KEY[8..20]), "{words}");
        }
        let many: String = (1..=33).map(|id| format!("{id} {KEY}\n")).collect();
        assert!(wrong(&many).contains("more than 32 keys"));
    }
}
