//! Time: waiting, but never past a signal that ends the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::trouble::Trouble;

/// Waits. From the first signal on, every wait ends with [`Trouble::Interrupted`].
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    is_stopped: Arc<AtomicBool>,
}

impl Pace {
    /// SIGINT and SIGTERM are caught from here on.
    pub(crate) fn start() -> Result<Self, Trouble> {
        let is_stopped = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&is_stopped))
                .map_err(Trouble::io("signals cannot be caught"))?;
        }
        Ok(Self { is_stopped })
    }

    pub(crate) fn until(&self, moment: Instant) -> Result<(), Trouble> {
        loop {
            if self.is_stopped.load(Ordering::SeqCst) {
                return Err(Trouble::Interrupted);
            }
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(STEP));
        }
    }

    pub(crate) fn wait(&self, time: Duration) -> Result<(), Trouble> {
        self.until(Instant::now() + time)
    }
}

/// How late a signal is noticed.
const STEP: Duration = Duration::from_millis(50);
