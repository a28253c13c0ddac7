//! What people and their programs write.

use anasazi_client::Url;
use anasazi_engine::config::Settings;
use anasazi_engine::fuzz;

/// Longer texts show nothing new.
const TEXT_LEN_MAX: usize = 4 << 10;

/// A configuration file: refused with a place, or typed and valid.
pub(crate) fn config_text(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let mut settings = Settings::for_daemon();
    let result = settings.load_text(text, "fuzz.toml").and_then(|()| settings.validate());
    match result {
        Ok(valid) => assert_eq!(valid.effective().len(), settings.effective().len()),
        Err(error) => {
            assert!(!error.problems().is_empty(), "refused without a reason");
            assert!(error.to_string().len() <= 64 * (TEXT_LEN_MAX + 64), "too many words");
        }
    }
}

/// The address of an engine.
pub(crate) fn url_text(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Err(failure) = Url::parse(text) {
        assert!(failure.message.len() < 600, "{}", failure.message);
    }
}

/// A request to the administration door. Who is not trusted may ask and no more.
pub(crate) fn admin_json(data: &[u8]) {
    let data = &data[..data.len().min(TEXT_LEN_MAX)];
    let (asked, trusted) = (fuzz::admin_request(data, false), fuzz::admin_request(data, true));
    assert!(trusted || !asked, "allowed to others only");
}

/// The two copies in a state file, with or without right checksums.
pub(crate) fn state_file(data: &[u8]) {
    let Some((flags, rest)) = data.split_first() else { return };
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
    fuzz::state_copies(&copies);
}

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(&data[..data.len().min(TEXT_LEN_MAX)]).ok()
}
