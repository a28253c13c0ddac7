//! SIGTERM and SIGINT ask for a clean leave; a second one ends the process at once, also when the
//! engine hangs, since it is carried out by the signal handler itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anasazi_engine::spawn_without_signals;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;

/// Signals are caught from here on, and kept until somebody acts on them.
pub(crate) struct Caught {
    signals: Signals,
}

/// Catches SIGTERM, SIGINT and SIGHUP.
pub(crate) fn catch() -> io::Result<Caught> {
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first signal finds the flag unset, sets it, and goes on.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stopping))?;
        flag::register(signal, Arc::clone(&stopping))?;
    }
    Ok(Caught { signals: Signals::new([SIGTERM, SIGINT, SIGHUP])? })
}

impl Caught {
    /// Calls `stop` at the first SIGTERM or SIGINT, from a thread of its own.
    pub(crate) fn on_stop(mut self, stop: impl Fn() + Send + 'static) -> io::Result<()> {
        let handle = move || {
            for signal in self.signals.forever() {
                let name = signal_name(signal).unwrap_or("signal");
                if signal == SIGHUP {
                    tracing::warn!(
                        "{name}: the configuration cannot be reloaded yet; restart to change it; \
                         access rules are read again by `anasazi access reload`"
                    );
                } else {
                    tracing::info!("{name}: leaving the cluster; again to stop at once");
                    stop();
                }
            }
        };
        // As all threads but the main one: handlers run one after the other there. On two threads
        // at once each could take its signal for the first.
        spawn_without_signals("signals", handle).map(drop)
    }
}
