//! What systemd is told: READY=1 once the engine is operational, WATCHDOG=1 while it turns and the
//! threads of its domains do, STOPPING=1 when it leaves. Without systemd nothing is sent.

use std::sync::mpsc::{self, SyncSender};
use std::time::{Duration, Instant};

use anasazi_engine::spawn_without_signals;
use sd_notify::NotifyState;

/// Sends what systemd waits for. Called from the engine's own loop, so that an engine that hangs,
/// or that has a domain whose thread hangs, stops sending and is restarted by the watchdog.
pub(crate) struct Supervisor {
    notices: SyncSender<NotifyState<'static>>,
    watchdog: Option<Duration>,
    last_sign_of_life: Instant,
    /// It was said that a domain's thread is late.
    is_late_told: bool,
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
        let last_sign_of_life = Instant::now();
        Self { notices, watchdog, last_sign_of_life, is_late_told: false, ready: false }
    }

    /// How often [`turned`](Self::turned) wants to be called.
    pub(crate) fn tick(&self) -> Duration {
        self.watchdog.map_or(TICK_MAX, |watchdog| TICK_MAX.min(watchdog / 4))
    }

    /// The engine's loop has come round. `latest`: the domain whose own thread is late, and by how
    /// much.
    pub(crate) fn turned<'a>(
        &mut self,
        is_operational: bool,
        latest: impl FnOnce() -> Option<(&'a str, Duration)>,
    ) {
        if is_operational && !self.ready {
            self.ready = true;
            self.tell(NotifyState::Ready);
        }
        // Due at a quarter of the limit, so that with the next tick it is half of it at most.
        let now = Instant::now();
        let Some(watchdog) = self.watchdog else { return };
        if now - self.last_sign_of_life < watchdog / 4 {
            return;
        }
        // Who was stopped as a whole has to wait for that thread as well: it is asked again at the
        // next turn.
        let late = latest().filter(|(_, lateness)| *lateness >= watchdog / 2);
        let was_told = std::mem::replace(&mut self.is_late_told, late.is_some());
        match late {
            None => {
                self.last_sign_of_life = now;
                self.tell(NotifyState::Watchdog);
            }
            Some(_) if was_told => {}
            Some((domain, lateness)) => tracing::error!(
                "the thread of the domain {domain:?} should have run {} ms ago: systemd is not \
                 told that this daemon is well",
                lateness.as_millis()
            ),
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;

    use super::*;

    const WATCHDOG: Duration = Duration::from_millis(40);

    fn supervisor() -> (Supervisor, Receiver<NotifyState<'static>>) {
        let (notices, received) = mpsc::sync_channel(NOTICES_WAITING_MAX);
        let last_sign_of_life = Instant::now();
        let watchdog = Some(WATCHDOG);
        let (is_late_told, ready) = (false, true);
        (Supervisor { notices, watchdog, last_sign_of_life, is_late_told, ready }, received)
    }

    #[test]
    fn the_watchdog_is_not_fed_while_a_domains_thread_hangs() {
        let (mut supervisor, told) = supervisor();
        let mut fed = |lateness: Duration| {
            if lateness < WATCHDOG / 2 {
                std::thread::sleep(WATCHDOG / 3);
            }
            supervisor.turned(true, || Some(("fast", lateness)));
            told.try_iter().count()
        };
        assert_eq!(fed(Duration::ZERO), 1);
        std::thread::sleep(WATCHDOG / 3);
        assert_eq!([fed(WATCHDOG / 2), fed(WATCHDOG)], [0, 0]);
        assert_eq!(fed(WATCHDOG / 3), 1, "it only had to wait");
    }
}
