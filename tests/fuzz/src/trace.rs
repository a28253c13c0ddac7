//! What `anasazi trace check` reads.

use std::path::Path;

use anasazi_oracle::Options;
use anasazi_oracle::offline::Logs;

/// Longer logs show nothing new.
const LOG_LEN_MAX: usize = 16 << 10;

/// Lines of nodes and clients in any order, cut anywhere, and of any content: refused with the
/// place, without a verdict for a reason, or judged; at rest or not. Accepted: judged.
pub(crate) fn trace_text(data: &[u8]) -> bool {
    let Some((flags, lines)) = data.split_first() else { return false };
    let lines = &lines[..lines.len().min(LOG_LEN_MAX)];
    let mut logs = Logs::default();
    if let Err(error) = logs.add(Path::new("fuzz.trace"), lines) {
        let text = error.to_string();
        assert!(text.starts_with("fuzz.trace: line "), "refused without a place: {text}");
        return false;
    }
    let options = Options {
        senders_are_members: flags & 1 != 0,
        clients_hear_themselves: flags & 2 != 0,
        ..Options::default()
    };
    let judged = logs.judge(&options, flags & 4 != 0);
    match &judged {
        Ok(Ok(summary)) => assert!(summary.processes > 0, "judged, and there was nothing"),
        Ok(Err(violation)) => assert!(!violation.sentence.is_empty(), "violated without a word"),
        Err(error) => assert!(!error.to_string().is_empty(), "no verdict without a reason"),
    }
    judged.is_ok()
}
