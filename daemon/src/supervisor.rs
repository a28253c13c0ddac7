//! What systemd is told: READY=1 once the engine is operational, WATCHDOG=1 while it turns,
//! STOPPING=1 when it leaves. Without systemd nothing is sent.

use std::sync::mpsc::{self, SyncSender};
use std::time::{Duration, Instant};

use anasazi_engine::spawn_without_signals;
use sd_notify::NotifyState;

/// Sends what systemd waits for. Called from the engine's own loop, so that an engine that hangs
/// stops sending and is restarted by the watchdog.
pub(crate) struct Supervisor {
    notices: SyncSender<NotifyState<'static>>,
    watchdog: Option<Duration>,
    last_sign_of_life: Instant,
    ready: bool,
}

impl Supervisor {
    /// Reads from the environment what systemd wants.
    pub(crate) fn start() -> Self {
        let (notices, received) = mpsc::sync_channel(NOTICES_WAITING_MAX);
        // systemd may be slow to read; this thread waits for it, the engine does not.
        let send = move || {
            let mut is_heard = true;
            for notice in received {
                let sent = sd_notify::notify(&[notice]);
                if let (true, Err(error)) = (is_heard, &sent) {
                    tracing::warn!("systemd does not hear us ($NOTIFY_SOCKET): {error}");
                }
                is_heard = sent.is_ok();
            }
        };
        if let Err(error) = spawn_without_signals("systemd", send) {
            tracing::warn!("systemd will not be told anything: no thread: {error}");
        }
        let watchdog = sd_notify::watchdog_enabled();
        Self { notices, watchdog, last_sign_of_life: Instant::now(), ready: false }
    }

    /// How often [`turned`](Self::turned) wants to be called.
    pub(crate) fn tick(&self) -> Duration {
        self.watchdog.map_or(TICK_MAX, |watchdog| TICK_MAX.min(watchdog / 4))
    }

    /// The engine's loop has come round.
    pub(crate) fn turned(&mut self, is_operational: bool) {
        if is_operational && !self.ready {
            self.ready = true;
            self.tell(NotifyState::Ready);
        }
        // Due at a quarter of the limit, so that with the next tick it is half of it at most.
        let now = Instant::now();
        if self.watchdog.is_some_and(|watchdog| now - self.last_sign_of_life >= watchdog / 4) {
            self.last_sign_of_life = now;
            self.tell(NotifyState::Watchdog);
        }
    }

    /// The engine was asked to leave. Said by the caller itself, not the engine's thread: the
    /// process may have ended before another thread got to it.
    pub(crate) fn stopping() {
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
    }

    fn tell(&self, notice: NotifyState<'static>) {
        // Full: systemd has plenty to read already.
        let _ = self.notices.try_send(notice);
    }
}

const TICK_MAX: Duration = Duration::from_millis(100);
const NOTICES_WAITING_MAX: usize = 16;
