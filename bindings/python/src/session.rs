//! Sessions and groups.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anasazi_sys::generated::{ANZ_EAGAIN, ANZ_EINTR, ANZ_ETIMEDOUT};
use anasazi_sys::{Member, Status};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMemoryView, PyString, PyTuple};

use crate::configuration::Config;
use crate::errors::{busy, exception, explained};
use crate::receiving::Receiving;

/// A signal that came before the wait began does not end it: look for one so often.
const LOOK_FOR_SIGNALS: Duration = Duration::from_millis(500);

/// Others are not built yet.
const DOMAIN: &str = "default";

/// A session with an engine.
#[pyclass(frozen, module = "anasazi._anasazi")]
pub(crate) struct Session {
    session: anasazi_sys::Session,
    receiving: Mutex<Receiving>,
}

impl Session {
    pub(crate) fn of(session: anasazi_sys::Session) -> Self {
        Self { receiving: Mutex::new(Receiving::new(&session)), session }
    }
}

#[pymethods]
impl Session {
    /// A session with the engine that the URL names. Blocks.
    #[staticmethod]
    #[pyo3(signature = (url=None, config=None))]
    fn connect(py: Python<'_>, url: Option<&str>, config: Option<&Config>) -> PyResult<Self> {
        let config = config.map(|config| &config.0);
        let made = py.detach(|| anasazi_sys::Session::connect(url, config));
        made.map(Self::of).map_err(|failure| exception(py, failure))
    }

    /// Readable when there is something to receive.
    fn fd(&self, py: Python<'_>) -> PyResult<i32> {
        self.session.fd().map_err(|status| explained(py, status, "a connection's descriptor"))
    }

    /// This session's identity: node and session; None before its first connection.
    fn member(&self, py: Python<'_>) -> PyResult<Option<(u64, u64)>> {
        let member = self.session.member();
        let member = member.map_err(|status| explained(py, status, "this member's identity"))?;
        Ok(member.map(|Member { node, session }| (node, session)))
    }

    /// "node/session", for people.
    fn member_name(&self, py: Python<'_>, node: u64, session: u64) -> PyResult<String> {
        let name = self.session.name_of(Member { node, session });
        name.map_err(|status| explained(py, status, "a member's name"))
    }

    /// Blocks until there may be something to receive, or another thread has called `wake()`;
    /// False: the time is over. Signal handlers run, and what they raise is raised here.
    #[pyo3(signature = (timeout_s=None))]
    fn wait(&self, py: Python<'_>, timeout_s: Option<f64>) -> PyResult<bool> {
        let over = deadline(timeout_s);
        loop {
            let left = over.map(|over| over.saturating_duration_since(Instant::now()));
            let slice = left.map_or(LOOK_FOR_SIGNALS, |left| left.min(LOOK_FOR_SIGNALS));
            let waited = py.detach(|| self.session.wait(Some(slice)));
            py.check_signals()?;
            match waited {
                Ok(()) | Err(Status(ANZ_EINTR)) => return Ok(true),
                Err(Status(ANZ_ETIMEDOUT)) if left.is_none_or(|left| left > slice) => {}
                Err(Status(ANZ_ETIMEDOUT)) => return Ok(false),
                Err(status) => return Err(explained(py, status, "waiting for events")),
            }
        }
    }

    /// Ends another thread's wait, or the next one.
    fn wake(&self, py: Python<'_>) -> PyResult<()> {
        self.session.wake().map_err(|status| explained(py, status, "waking a connection"))
    }

    /// Figures.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.session.stats();
        let stats = stats.map_err(|status| explained(py, status, "a connection's figures"))?;
        let figures = PyDict::new(py);
        for (name, figure) in [
            ("sent_messages", stats.sent_messages),
            ("sent_bytes", stats.sent_bytes),
            ("send_again", stats.send_again),
            ("received_messages", stats.received_messages),
            ("received_bytes", stats.received_bytes),
            ("views", stats.views),
            ("send_ring_used", stats.send_ring_used),
            ("send_ring_size", stats.send_ring_size),
            ("receive_ring_used", stats.receive_ring_used),
            ("receive_ring_size", stats.receive_ring_size),
            ("lag_ns", stats.lag_ns),
            ("reconnects", stats.reconnects),
        ] {
            figures.set_item(name, figure)?;
        }
        Ok(figures)
    }

    /// Asks to join a group.
    fn join(&self, py: Python<'_>, name: &str, flags: u32) -> PyResult<Group> {
        self.session.join(name, flags).map(Group).map_err(|mut failure| {
            failure.message = format!("joining {name:?}: {}", failure.message);
            exception(py, failure)
        })
    }

    /// An address for one member.
    fn peer(&self, py: Python<'_>, node: u64, session: u64) -> PyResult<Group> {
        self.session.peer(Some(DOMAIN), Member { node, session }).map(Group).map_err(
            |mut failure| {
                failure.message = format!("an address of {node}/{session}: {}", failure.message);
                exception(py, failure)
            },
        )
    }

    /// Sends to several groups; False: there is no room.
    #[staticmethod]
    fn send_to(
        py: Python<'_>,
        groups: &Bound<'_, PyTuple>,
        service: u32,
        data: &Bound<'_, PyAny>,
        tag: u64,
    ) -> PyResult<bool> {
        let groups: Vec<Bound<'_, Group>> =
            groups.iter().map(|group| Ok(group.cast_into()?)).collect::<PyResult<_>>()?;
        let groups: Vec<&anasazi_sys::Group> = groups.iter().map(|group| &group.get().0).collect();
        with_bytes(data, |bytes| {
            let sent = anasazi_sys::Session::mcast_groups(&groups, service, bytes, tag);
            accepted(py, sent, bytes.len())
        })
    }

    /// A request as JSON.
    fn query(&self, py: Python<'_>, json: &str, tag: u64) -> PyResult<()> {
        self.session.query(json, tag).map_err(|status| explained(py, status, "a query"))
    }

    /// What there is, without waiting: see `receiving`.
    fn receive<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let Ok(mut receiving) = self.receiving.try_lock() else {
            return Err(busy(py, "receiving"));
        };
        receiving.receive(py)
    }

    /// Ends the session.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.session.close());
    }

    /// Whether this is a child that was forked since.
    fn is_inherited(&self) -> bool {
        self.session.is_inherited()
    }
}

/// A group, or the address of a member.
#[pyclass(frozen, module = "anasazi._anasazi")]
pub(crate) struct Group(anasazi_sys::Group);

#[pymethods]
impl Group {
    /// By which `receive()` calls it.
    #[getter]
    fn key(&self) -> usize {
        self.0.key()
    }

    /// Sends; False: there is no room.
    fn send(
        &self,
        py: Python<'_>,
        service: u32,
        data: &Bound<'_, PyAny>,
        tag: u64,
    ) -> PyResult<bool> {
        with_bytes(data, |bytes| accepted(py, self.0.mcast(service, bytes, tag), bytes.len()))
    }

    /// Asks to leave.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        self.0.leave().map_err(|status| explained(py, status, "leaving a group"))
    }
}

fn accepted(py: Python<'_>, sent: Result<(), Status>, len: usize) -> PyResult<bool> {
    match sent {
        Ok(()) => Ok(true),
        Err(Status(ANZ_EAGAIN)) => Ok(false),
        Err(status) => Err(explained(py, status, &format!("sending a message of {len} bytes"))),
    }
}

/// Calls with the bytes of whatever has some; what is not `bytes` is copied, since it may change
/// meanwhile.
fn with_bytes<R>(data: &Bound<'_, PyAny>, call: impl FnOnce(&[u8]) -> PyResult<R>) -> PyResult<R> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return call(bytes.as_bytes());
    }
    let Ok(view) = PyMemoryView::from(data) else {
        let advice = if data.is_instance_of::<PyString>() { ": encode it" } else { "" };
        let kind = data.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "a message is bytes or an object with a buffer, not {kind}{advice}"
        )));
    };
    let copy = view.call_method0("tobytes")?;
    call(copy.cast::<PyBytes>()?.as_bytes())
}

fn deadline(timeout_s: Option<f64>) -> Option<Instant> {
    let timeout = Duration::try_from_secs_f64(timeout_s?.max(0.0)).unwrap_or(Duration::MAX);
    Instant::now().checked_add(timeout)
}
