//! Sessions and groups.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anasazi_sys::generated::{
    ANZ_EAGAIN, ANZ_EFORKED, ANZ_EINTR, ANZ_EINVAL, ANZ_EMSGSIZE, ANZ_ETIMEDOUT, ANZ_UNRELIABLE,
};
use anasazi_sys::{Member, Status};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyList, PyMemoryView, PyString, PyTuple};

use crate::configuration::Config;
use crate::errors::{busy, exception, explained, text, wrong};
use crate::numbers::{pair, shown};
use crate::queue::{Backlog, Queue};
use crate::receiving::{Into, Receiving};
use crate::turn::{Turn, has_turn};

/// A signal that came before the wait began does not end it: look for one so often.
const LOOK_FOR_SIGNALS: Duration = Duration::from_millis(500);

/// In which addresses of members are.
const DOMAIN: &str = "default";

/// A session with an engine.
#[pyclass(frozen, module = "anasazi._anasazi")]
pub(crate) struct Session {
    session: anasazi_sys::Session,
    receiving: Mutex<Receiving>,
    is_taken: Arc<AtomicBool>,
}

impl Session {
    pub(crate) fn of(session: anasazi_sys::Session) -> Self {
        Self { receiving: Mutex::new(Receiving::new(&session)), session, is_taken: Arc::default() }
    }
}

#[pymethods]
impl Session {
    /// A session with the engine that the URL names. Blocks.
    #[staticmethod]
    #[pyo3(signature = (url=None, config=None))]
    fn connect(
        py: Python<'_>,
        url: Option<&Bound<'_, PyString>>,
        config: Option<&Config>,
    ) -> PyResult<Self> {
        let url = url.map(|url| text("a URL", url)).transpose()?;
        let config = config.map(|config| &config.0);
        let made = py.detach(|| anasazi_sys::Session::connect(url.as_deref(), config));
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
    fn member_name(&self, member: &Bound<'_, PyAny>) -> PyResult<String> {
        let py = member.py();
        let name = self.session.name_of(pair("a member", member)?);
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

    /// Asks to join a group. `target` gets its handle, and `targets` has it under its key.
    fn join(
        &self,
        name: &Bound<'_, PyString>,
        flags: u32,
        target: &Bound<'_, PyAny>,
        targets: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        let py = name.py();
        let name = text("a group's name", name)?;
        let joined = self.session.join(&name, flags).map_err(|mut failure| {
            failure.message = format!("joining {name:?}: {}", failure.message);
            if failure.status == Status(ANZ_EINVAL) {
                failure.message += ": a name has 1 to 255 bytes of UTF-8, none of them 0";
            }
            exception(py, failure)
        });
        known(joined?, target, targets)
    }

    /// An address for one member; else as `join()`.
    fn peer(
        &self,
        member: &Bound<'_, PyAny>,
        target: &Bound<'_, PyAny>,
        targets: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        let Member { node, session } = pair("a member", member)?;
        let peer = self.session.peer(Some(DOMAIN), Member { node, session });
        let peer = peer.map_err(|mut failure| {
            failure.message = format!("an address of {node}/{session}: {}", failure.message);
            exception(target.py(), failure)
        });
        known(peer?, target, targets)
    }

    /// Sends to several groups, else as `Group.send()`.
    #[staticmethod]
    #[pyo3(signature = (groups, service, data, tag, send=None))]
    fn send_to(
        py: Python<'_>,
        groups: &Bound<'_, PyTuple>,
        service: Service,
        data: &Bound<'_, PyAny>,
        tag: u64,
        send: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let groups: Vec<Bound<'_, Group>> =
            groups.iter().map(|group| Ok(group.cast_into()?)).collect::<PyResult<_>>()?;
        let groups: Vec<&anasazi_sys::Group> = groups.iter().map(|group| &group.get().0).collect();
        with_bytes(data, |bytes| {
            let sent = anasazi_sys::Session::mcast_groups(&groups, service.0, bytes, tag);
            noted(accepted(py, sent, service, bytes.len())?, send)
        })
    }

    /// A request as JSON.
    fn query(&self, json: &Bound<'_, PyString>, tag: u64) -> PyResult<()> {
        let py = json.py();
        let json = text("a query", json)?;
        self.session.query(&json, tag).map_err(|status| explained(py, status, "a query"))
    }

    /// A queue of events of this session: of a group, or of an address, which is told less.
    #[pyo3(signature = (backlog, is_address=false))]
    fn queue(&self, backlog: &Bound<'_, Backlog>, is_address: bool) -> Queue {
        let is_taken = Arc::clone(&self.is_taken);
        Queue::new(backlog.get(), self.session.clone(), is_taken, is_address)
    }

    /// Puts what there is into the queues of `own` and `targets`, without waiting, and appends what
    /// is to be told of it: see `receiving`.
    fn receive(
        &self,
        own: &Bound<'_, PyAny>,
        targets: &Bound<'_, PyDict>,
        is_opening: bool,
        told: &Bound<'_, PyList>,
    ) -> PyResult<()> {
        let Ok(mut receiving) = self.receiving.try_lock() else {
            return Err(busy(told.py(), "receiving"));
        };
        receiving.receive(&Into { own, targets, is_opening, told })
    }

    /// Ends the session.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.session.close());
    }

    /// A turn, for `with`: of one thread at a time, which nobody else reads or waits in.
    fn turn(&self, py: Python<'_>) -> PyResult<Turn> {
        if self.session.is_inherited() {
            return Err(explained(py, Status(ANZ_EFORKED), "this connection"));
        }
        Turn::take(&self.is_taken).ok_or_else(|| has_turn(py))
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

    /// Sends; False: there is no room. `send` knows it before any handler of a signal runs.
    #[pyo3(signature = (service, data, tag, send=None))]
    fn send(
        &self,
        py: Python<'_>,
        service: Service,
        data: &Bound<'_, PyAny>,
        tag: u64,
        send: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        with_bytes(data, |bytes| {
            let sent = self.0.mcast(service.0, bytes, tag);
            noted(accepted(py, sent, service, bytes.len())?, send)
        })
    }

    /// Asks to leave.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        self.0.leave().map_err(|status| explained(py, status, "leaving a group"))
    }
}

/// No signal handler runs in here.
fn known(
    group: anasazi_sys::Group,
    target: &Bound<'_, PyAny>,
    targets: &Bound<'_, PyDict>,
) -> PyResult<()> {
    let key = group.key();
    target.setattr("handle", Bound::new(target.py(), Group(group))?)?;
    targets.set_item(key, target)
}

/// A service level, with what is or-ed to it.
#[derive(Clone, Copy)]
pub(crate) struct Service(u32);

const SERVICES: &str = "a service is one of UNRELIABLE, RELIABLE, FIFO, CAUSAL, AGREED and SAFE, \
                        to which NO_SELF, SAME_VIEW, and PRIO_HIGH or PRIO_BULK may be or-ed";

impl<'py> FromPyObject<'_, 'py> for Service {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let sentence = || format!("service {}: {SERVICES}", shown(&given));
        if given.is_instance_of::<PyBool>() {
            return Err(PyTypeError::new_err(sentence()));
        }
        given.extract().map(Self).map_err(|error| {
            if error.is_instance_of::<PyOverflowError>(given.py()) {
                wrong(given.py(), &sentence())
            } else {
                PyTypeError::new_err(sentence())
            }
        })
    }
}

const LEN: &str = " (the engine takes as many as its setting message.len_max says, 1 MiB if it is \
                   not set: raise that on all nodes, or send in parts)";
const UNRELIABLE_LEN: &str = " (an unreliable one has UNRELIABLE_LEN_MAX at most, less what \
                              several groups take: send it by another service, or in parts)";
/// Of a service, without what is or-ed to it.
const LEVEL_MASK: u32 = 0xff;

fn accepted(
    py: Python<'_>,
    sent: Result<(), Status>,
    service: Service,
    len: usize,
) -> PyResult<bool> {
    match sent {
        Ok(()) => Ok(true),
        Err(Status(ANZ_EAGAIN)) => Ok(false),
        Err(status) => {
            let mut doing = format!("sending a message of {len} bytes");
            if status.0 == ANZ_EMSGSIZE {
                doing +=
                    if service.0 & LEVEL_MASK == ANZ_UNRELIABLE { UNRELIABLE_LEN } else { LEN };
            }
            if status.0 == ANZ_EINVAL {
                doing += &format!(", service {:#x} ({SERVICES})", service.0);
            }
            Err(explained(py, status, &doing))
        }
    }
}

fn noted(is_sent: bool, send: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    if let (true, Some(send)) = (is_sent, send) {
        send.setattr(intern!(send.py(), "is_sent"), true)?;
    }
    Ok(is_sent)
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
