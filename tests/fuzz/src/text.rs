//! What people and their programs write.

use std::cell::RefCell;

use anasazi_client::Url;
use anasazi_console::fuzz as console;
use anasazi_engine::config::{ConfigError, Origin, Settings};
use anasazi_engine::fuzz;
use anasazi_sim::scenario;

/// Longer texts show nothing new.
const TEXT_LEN_MAX: usize = 4 << 10;
/// Of the file that a scenario is in.
const NAME: &str = "fuzz.txt";

/// Commands of the console whose answers it lays out.
const QUESTIONS: [&str; 9] =
    ["status", "members", "groups", "sessions", "stats", "events", "config", "heal", "shutdown"];

thread_local! {
    static DESK: RefCell<fuzz::Desk> = RefCell::default();
}

/// A configuration file: refused with a place, or typed and valid.
pub(crate) fn config_text(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let mut settings = Settings::for_daemon();
    let result = settings.load_text(text, "fuzz.toml").and_then(|()| settings.validate());
    match result {
        Ok(valid) => {
            assert_eq!(valid.effective().len(), settings.effective().len());
            settings.effective().iter().any(|value| matches!(value.origin, Origin::File { .. }))
        }
        Err(error) => {
            check_words(&error);
            false
        }
    }
}

/// `KEY=VALUE`, as `--set`, the environment and programs give it. What is taken is shown in a form
/// that is taken, too.
pub(crate) fn config_value(data: &[u8]) -> bool {
    let Some((key, value)) = text(data).and_then(|text| text.split_once('=')) else { return false };
    let mut settings = Settings::for_daemon();
    if let Err(error) = settings.set_from(key, value, Origin::CommandLine("--set")) {
        check_words(&error);
        assert_eq!(error.problems()[0].key.as_deref(), Some(key), "whose value is refused?");
        return false;
    }
    let shown = |settings: &Settings| {
        let of_key = settings.effective().into_iter().find(|effective| effective.key == key);
        of_key.map(|effective| effective.value)
    };
    let Some(first) = shown(&settings) else { panic!("{key} is not in force") };
    let mut again = Settings::for_daemon();
    let taken = again.set(key, &first);
    assert!(taken.is_ok(), "{key} is shown as {first:?}, which is refused: {taken:?}");
    assert_eq!(shown(&again).as_deref(), Some(first.as_str()), "{key} changes when it is shown");
    if let Err(error) = settings.validate() {
        check_words(&error);
    }
    true
}

fn check_words(error: &ConfigError) {
    assert!(!error.problems().is_empty(), "refused without a reason");
    assert!(error.problems().iter().all(|problem| !problem.text.is_empty()), "{error:?}");
    assert!(error.to_string().len() <= 64 * (TEXT_LEN_MAX + 64), "too many words");
}

/// The address of an engine.
pub(crate) fn url_text(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let parsed = Url::parse(text);
    if let Err(failure) = &parsed {
        assert!((1..600).contains(&failure.message.len()), "{}", failure.message);
    }
    parsed.is_ok()
}

/// A request to the administration door. Who is not trusted may ask and no more.
pub(crate) fn admin_json(data: &[u8]) -> bool {
    let data = &data[..data.len().min(TEXT_LEN_MAX)];
    let (asked, trusted) = (fuzz::admin_request(data, false), fuzz::admin_request(data, true));
    assert!(trusted || !asked, "allowed to others only");
    trusted
}

/// A request that is carried out, by a node of a ring of two. Accepted: it is done.
pub(crate) fn admin_request(data: &[u8]) -> bool {
    let data = &data[..data.len().min(TEXT_LEN_MAX)];
    DESK.with_borrow_mut(|desk| {
        let (asked, done) = (desk.carry_out(data, false), desk.carry_out(data, true));
        assert!(done || !asked, "done for others only");
        done
    })
}

/// A file of the simulator's language: refused with its line, or read, and read back the same.
pub(crate) fn scenario_text(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let scenario = match scenario::parse(NAME, text) {
        Ok(scenario) => scenario,
        Err(error) => {
            let words = error.strip_prefix(NAME).unwrap_or_default();
            assert!(words.len() > ": ".len(), "refused without a place, or words: {error}");
            return false;
        }
    };
    let written = scenario::render(&scenario, &scenario::Printed::default());
    let again = scenario::parse(NAME, &written);
    let Ok(again) = again else { panic!("refused, as it was written: {again:?}") };
    // One at the end of a line is no part of it.
    if !text.contains('\r') {
        assert_eq!(scenario::render(&again, &scenario::Printed::default()), written);
    }
    assert_eq!((&again.title, &again.shows), (&scenario.title, &scenario.shows));
    true
}

/// The two copies in a state file, with or without right checksums.
pub(crate) fn state_file(data: &[u8]) -> bool {
    let Some((flags, rest)) = data.split_first() else { return false };
    let mut copies = [0; 128];
    let len = rest.len().min(copies.len());
    copies[..len].copy_from_slice(&rest[..len]);
    for (copy, flag) in copies.chunks_exact_mut(64).zip([1, 2]) {
        if flags & flag != 0 {
            copy[..8].copy_from_slice(b"ANZSTATE");
            copy[8..12].copy_from_slice(&1_u32.to_le_bytes());
        }
        if flags & (flag << 2) != 0 {
            let checksum = crc32c::crc32c(&copy[..60]);
            copy[60..].copy_from_slice(&checksum.to_le_bytes());
        }
    }
    fuzz::state_copies(&copies)
}

/// What an engine answers to the questions of the console: laid out, or refused; the terminal is
/// not steered by it.
pub(crate) fn console_answer(data: &[u8]) -> bool {
    let Some((choice, answer)) = data.split_first() else { return false };
    let Some(answer) = text(answer) else { return false };
    let command = QUESTIONS[usize::from(*choice) % QUESTIONS.len()];
    let Some(shown) = console::lay_out(&["anasazi", command], answer) else { return false };
    let steers = |c: char| c.is_control() && c != '\n';
    assert!(!shown.chars().any(steers), "{shown:?}");
    true
}

/// The console's command line, a word a line.
pub(crate) fn console_words(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let words: Vec<&str> = std::iter::once("anasazi").chain(text.lines()).collect();
    console::lay_out(&words, "{}").is_some()
}

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(&data[..data.len().min(TEXT_LEN_MAX)]).ok()
}
