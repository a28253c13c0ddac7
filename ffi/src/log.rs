//! Log lines of an engine to its owner's callback, on the owner's thread.

use std::cell::Cell;
use std::ffi::{CString, c_int, c_void};
use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, span};

use crate::abi::{
    ANZ_LOG_DEBUG, ANZ_LOG_ERROR, ANZ_LOG_INFO, ANZ_LOG_TRACE, ANZ_LOG_WARNING, anz_log_fn,
};

/// Where log lines go.
#[derive(Clone, Copy)]
pub(crate) struct LogSink {
    pub(crate) function: anz_log_fn,
    pub(crate) level: c_int,
    pub(crate) user_data: *mut c_void,
}

// SAFETY: the pointer is the caller's, is only handed back, and who sets a callback promises that
// the thread that drives the engine may call it with it.
unsafe impl Send for LogSink {}
// SAFETY: as above.
unsafe impl Sync for LogSink {}

impl LogSink {
    /// Runs something whose log lines go here; nowhere if it is called by a function that is just
    /// being given a line: a dispatcher that gives one out cannot be exchanged for another.
    /// And nowhere from the moment that `is_freed`.
    pub(crate) fn during<R>(
        sink: Option<Self>,
        is_freed: &Arc<AtomicBool>,
        work: impl FnOnce() -> R,
    ) -> R {
        match sink {
            Some(sink) if sink.function.is_some() && !IS_GIVING.get() => {
                let is_freed = Arc::clone(is_freed);
                let forwarder = Forwarder { sink, is_freed, spans: AtomicU64::new(1) };
                tracing::dispatcher::with_default(&Dispatch::new(forwarder), work)
            }
            _ => work(),
        }
    }
}

thread_local! {
    /// This thread is just giving a line out.
    static IS_GIVING: Cell<bool> = const { Cell::new(false) };
}

/// Turns events into lines and hands them on.
struct Forwarder {
    sink: LogSink,
    /// Its engine was, from within the function: what that uses may be gone since.
    is_freed: Arc<AtomicBool>,
    spans: AtomicU64,
}

impl Subscriber for Forwarder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        number(*metadata.level()) <= self.sink.level
    }

    fn event(&self, event: &Event<'_>) {
        let Some(function) = self.sink.function else { return };
        if self.is_freed.load(Ordering::SeqCst) {
            return;
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        let component = CString::new(event.metadata().target()).unwrap_or_default();
        let level = number(*event.metadata().level());
        let (text, len) = (line.0.as_ptr().cast(), line.0.len());
        let before = IS_GIVING.replace(true);
        // SAFETY: the function is the caller's, with the arguments that the header promises; all
        // live through the call.
        unsafe { function(self.sink.user_data, level, component.as_ptr(), text, len) };
        IS_GIVING.set(before);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// The message, then the fields as `name=value`.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let separator = if self.0.is_empty() { "" } else { " " };
        // Writing to a string does not fail.
        _ = match field.name() {
            "message" => write!(self.0, "{separator}{value:?}"),
            name => write!(self.0, "{separator}{name}={value:?}"),
        };
    }
}

fn number(level: Level) -> c_int {
    match level {
        Level::ERROR => ANZ_LOG_ERROR,
        Level::WARN => ANZ_LOG_WARNING,
        Level::INFO => ANZ_LOG_INFO,
        Level::DEBUG => ANZ_LOG_DEBUG,
        Level::TRACE => ANZ_LOG_TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::{CStr, c_char};

    unsafe extern "C" fn collect(
        user_data: *mut c_void,
        level: c_int,
        component: *const c_char,
        text: *const c_char,
        text_len: usize,
    ) {
        // SAFETY: the test passes its own vector, the forwarder a string and bytes.
        unsafe {
            let lines = &mut *user_data.cast::<Vec<String>>();
            let component = CStr::from_ptr(component).to_str().unwrap();
            let text = std::slice::from_raw_parts(text.cast::<u8>(), text_len);
            lines.push(format!("{level} {component} {}", std::str::from_utf8(text).unwrap()));
        }
    }

    #[test]
    fn lines_come_with_level_component_and_fields() {
        let mut lines: Vec<String> = Vec::new();
        let user_data = (&raw mut lines).cast();
        let sink = LogSink { function: Some(collect), level: ANZ_LOG_INFO, user_data };
        let is_freed = Arc::default();
        LogSink::during(Some(sink), &is_freed, || {
            tracing::info!(target: "anasazi::engine", node = 7, "ring formed");
            tracing::debug!(target: "anasazi::engine", "too fine");
            tracing::error!(target: "anasazi::engine", "bad");
            is_freed.store(true, Ordering::SeqCst);
            tracing::error!(target: "anasazi::engine", "nobody is there any more");
        });
        tracing::error!("after it");
        assert_eq!(lines, ["6 anasazi::engine ring formed node=7", "3 anasazi::engine bad"]);
    }
}
