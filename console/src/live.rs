//! A session's stream of events beside signals, standard input and a deadline: whatever comes next.

use std::io::{BufRead, Read, stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anasazi_client::{GroupHandle, OwnedEvent, Session, Status};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::fault::{Exit, Fault};

/// What comes next.
pub(crate) enum Step {
    /// Something in the session's stream.
    Event(OwnedEvent),
    /// A line of standard input, without its end.
    Line(Vec<u8>),
    /// Standard input has ended.
    NoMoreLines,
    /// SIGINT or SIGTERM: leave.
    Stop,
}

/// Waits for all of it at once.
pub(crate) struct Live {
    session: Arc<Session>,
    is_stopped: Arc<AtomicBool>,
    deadline: Option<Instant>,
    lines: Option<Receiver<Line>>,
}

enum Line {
    Text(Vec<u8>),
    TooLong,
    End,
}

impl Live {
    /// From here on, the first SIGINT or SIGTERM is a [`Step::Stop`]; the second ends the process.
    pub(crate) fn start(session: &Arc<Session>, timeout: Option<Duration>) -> Result<Self, Fault> {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let mut signals = Signals::new([SIGINT, SIGTERM])
            .map_err(|error| Fault::failed(format!("signals cannot be caught: {error}")))?;
        let (flag, to_wake) = (Arc::clone(&is_stopped), Arc::clone(session));
        start_thread("signals", move || {
            for signal in signals.forever() {
                if flag.swap(true, Ordering::SeqCst) {
                    std::process::exit(128 + signal);
                }
                let _ = to_wake.wake();
            }
        })?;
        let mut live =
            Self { session: Arc::clone(session), is_stopped, deadline: None, lines: None };
        live.set_timeout(timeout);
        Ok(live)
    }

    /// From here on, lines of standard input are steps, too.
    pub(crate) fn read_lines(&mut self) -> Result<(), Fault> {
        let (sender, receiver) = sync_channel(LINES_AHEAD_MAX);
        let to_wake = Arc::clone(&self.session);
        self.lines = Some(receiver);
        start_thread("input", move || read_lines(&sender, &to_wake))
    }

    /// Sets the time after which [`next`](Self::next) fails, counted from now.
    pub(crate) fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.deadline = timeout.map(|timeout| Instant::now() + timeout);
    }

    /// The next step. Lines are only taken in if there is room for them.
    pub(crate) fn next(&self, has_room: bool) -> Result<Step, Fault> {
        loop {
            if self.is_stopped.load(Ordering::SeqCst) {
                return Ok(Step::Stop);
            }
            if has_room && let Some(step) = self.next_line()? {
                return Ok(step);
            }
            let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Fault::timed_out("as --timeout said"));
            }
            match self.session.next_event(left) {
                Ok(Some(event)) => return Ok(Step::Event(event)),
                Ok(None) | Err(Status::EINTR) => {}
                Err(status) => return Err(Fault::of_status("the session ended", status)),
            }
        }
    }

    /// Leaves a group and waits until that is done, so that the others see a leave and no loss.
    pub(crate) fn leave(&self, group: GroupHandle) {
        if self.session.leave(group).is_err() {
            return;
        }
        let until = Instant::now() + LEAVE_MAX;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match self.session.next_event(Some(left)) {
                Ok(Some(OwnedEvent::Left { .. } | OwnedEvent::Closed { .. })) => return,
                Ok(_) | Err(Status::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    fn next_line(&self) -> Result<Option<Step>, Fault> {
        let Some(line) = self.lines.as_ref().and_then(|lines| lines.try_recv().ok()) else {
            return Ok(None);
        };
        match line {
            Line::Text(text) => Ok(Some(Step::Line(text))),
            Line::TooLong => {
                Err(Fault::failed(format!("a line of standard input is over {LINE_LEN_MAX} bytes")))
            }
            Line::End => Ok(Some(Step::NoMoreLines)),
        }
    }
}

/// Joins a group.
pub(crate) fn join(session: &Session, name: &str, flags: u32) -> Result<GroupHandle, Fault> {
    session.join(name, flags, 0).map_err(|status| match status {
        Status::EINVAL => {
            Fault::new(Exit::Usage, format!("group \"{name}\": a name has 1 to 255 bytes"))
        }
        other => Fault::of_status(&format!("joining {name}"), other),
    })
}

/// Ends that no command survives: the membership's, the session's.
pub(crate) fn check_end(event: &OwnedEvent, group_name: &str) -> Result<(), Fault> {
    let (what, status, reason) = match event {
        OwnedEvent::Left { status, reason, .. } => (group_name, status, reason),
        OwnedEvent::Closed { status, reason } => ("the session", status, reason),
        _ => return Ok(()),
    };
    let why = if reason.is_empty() { status.text() } else { reason };
    Err(Fault::failed(format!("{what} ended: {why} ({})", status.name())))
}

fn read_lines(sender: &SyncSender<Line>, to_wake: &Session) {
    let mut input = stdin().lock();
    loop {
        let mut text = Vec::new();
        let read = input.by_ref().take(LINE_LEN_MAX + 1).read_until(b'\n', &mut text);
        let line = match read {
            Ok(1..) if text.last() == Some(&b'\n') => {
                text.pop();
                Line::Text(text)
            }
            Ok(1..) if text.len() as u64 > LINE_LEN_MAX => Line::TooLong,
            Ok(1..) => Line::Text(text),
            Ok(0) | Err(_) => Line::End,
        };
        let is_last = !matches!(line, Line::Text(_));
        let is_gone = sender.send(line).is_err();
        let _ = to_wake.wake();
        if is_last || is_gone {
            return;
        }
    }
}

fn start_thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Fault> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.map(drop).map_err(|error| Fault::failed(format!("no thread for {name}: {error}")))
}

/// The largest message that any engine takes.
const LINE_LEN_MAX: u64 = 16 << 20;
/// Lines read before there is room to send them.
const LINES_AHEAD_MAX: usize = 16;
const LEAVE_MAX: Duration = Duration::from_secs(3);
