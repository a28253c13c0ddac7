//! A batch of events, sorted by groups, as Python objects.
//!
//! `Session.receive()` appends `(count, runs, settled, writable, replies)` to a list. No code that
//! is written in Python runs meanwhile, so that no handler of a signal can end it halfway:
//!
//! - count: how many events there were; 0: none.
//! - runs: in order, `(key, bytes, is_plain, events)`: events for the group with that key, 0 for
//!   the session itself; is_plain: all of them are messages.
//! - settled: `(tag, status, sequence)` of own messages with a tag that is one of the package's.
//! - writable: keys of groups that have room again.
//! - replies: `(tag, part, has_more)`.

use std::collections::HashMap;

use anasazi_sys::{Batch, Event, Kind, Member, Receiver, View};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::errors::explained;
use crate::sys::{Holdings, Message};

/// This bit is set in tags that are the package's own; the others are the application's.
pub(crate) const OWN_TAG: u64 = 1 << 63;
/// How many events are received at once.
const EVENTS_MAX: usize = 512;
/// Messages of at least so many bytes are held where they lie: about where copying begins to cost
/// more. It takes half as long again for 64 KiB, and ten times as long for 256 KiB.
const HOLD_LEN_MIN: usize = 32 * 1024;
/// What an event takes up in the ring beside its data, about.
const EVENT_LEN: usize = 64;
/// So many members are known as objects.
const MEMBERS_MAX: usize = 4096;

/// The classes of `anasazi._events`.
struct Classes {
    member: Named,
    view_id: Named,
    view: Class,
    transitional: Class,
    left: Class,
    suspended: Class,
    resumed: Class,
    closed: Class,
    receipt: Class,
    gap: Class,
}

/// A dataclass with slots. Its objects are made without a call of what is written in Python: there
/// handlers of signals run, and what they raise would lose what was received.
struct Class {
    class: Py<PyAny>,
    new: Py<PyAny>,
    /// One for each field, in order.
    set: Vec<Py<PyAny>>,
}

impl Class {
    fn of(module: &Bound<'_, PyAny>, name: &str, fields: &[&str]) -> PyResult<Self> {
        let class = module.getattr(name)?;
        let set = |field: &&str| Ok(class.getattr(*field)?.getattr("__set__")?.unbind());
        let set = fields.iter().map(set).collect::<PyResult<_>>()?;
        let new = module.py().get_type::<PyAny>().getattr("__new__")?.unbind();
        Ok(Self { class: class.unbind(), new, set })
    }

    fn make<'py, const N: usize>(
        &self,
        py: Python<'py>,
        values: [Bound<'py, PyAny>; N],
    ) -> PyResult<Bound<'py, PyAny>> {
        let made = self.new.bind(py).call1((&self.class,))?;
        for (set, value) in self.set.iter().zip(values) {
            set.bind(py).call1((&made, value))?;
        }
        Ok(made)
    }
}

/// A named tuple, in the same way.
struct Named {
    class: Py<PyAny>,
    new: Py<PyAny>,
}

impl Named {
    fn of(module: &Bound<'_, PyAny>, name: &str) -> PyResult<Self> {
        let new = module.py().get_type::<PyTuple>().getattr("__new__")?.unbind();
        Ok(Self { class: module.getattr(name)?.unbind(), new })
    }

    fn make<'py>(
        &self,
        py: Python<'py>,
        values: impl IntoPyObject<'py, Target = PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.new.bind(py).call1((&self.class, values))
    }
}

/// A field's value.
fn value<'py>(py: Python<'py>, value: impl IntoPyObjectExt<'py>) -> PyResult<Bound<'py, PyAny>> {
    value.into_bound_py_any(py)
}

static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();

impl Classes {
    fn get(py: Python<'_>) -> PyResult<&Self> {
        CLASSES.get_or_try_init(py, || {
            let module = py.import("anasazi._events")?.into_any();
            let class = |name: &str, fields: &[&str]| Class::of(&module, name, fields);
            const VIEW: [&str; 8] =
                ["members", "id", "cause", "joined", "left", "together", "sets", "reason"];
            Ok(Self {
                member: Named::of(&module, "Member")?,
                view_id: Named::of(&module, "ViewId")?,
                view: class("View", &VIEW)?,
                transitional: class("Transitional", &VIEW)?,
                left: class("Left", &["status", "reason"])?,
                suspended: class("Suspended", &["reason"])?,
                resumed: class("Resumed", &["member"])?,
                closed: class("Closed", &["status", "reason"])?,
                receipt: class("Receipt", &["tag", "status"])?,
                gap: class("Gap", &["skipped"])?,
            })
        })
    }
}

/// What receives for a session.
pub(crate) struct Receiving {
    receiver: Receiver,
    members: HashMap<Member, Py<PyAny>>,
    holdings: Holdings,
    ring_len: usize,
}

impl Receiving {
    pub(crate) fn new(session: &anasazi_sys::Session) -> Self {
        Self {
            receiver: Receiver::new(session, EVENTS_MAX),
            members: HashMap::new(),
            holdings: Holdings::default(),
            ring_len: session.stats().map_or(0, |stats| stats.receive_ring_size as usize),
        }
    }

    pub(crate) fn receive(&mut self, into: &Bound<'_, PyList>) -> PyResult<()> {
        let py = into.py();
        let Self { receiver, members, holdings, ring_len } = self;
        let classes = Classes::get(py)?;
        let mut batch = receiver.receive().map_err(|status| explained(py, status, "receiving"))?;
        let bytes = batch.iter().map(|event| event.data().len() + EVENT_LEN).sum();
        holdings.begin(bytes, *ring_len);
        let mut objects = Objects { py, classes, members, holdings, following: bytes };
        let mut sorted = Sorted::new(py);
        for at in 0..batch.len() {
            objects.following -= batch.event(at).data().len() + EVENT_LEN;
            sorted.take(&mut objects, &mut batch, at)?;
        }
        into.append(sorted.finish(batch.len())?)
    }
}

/// A batch, sorted by groups.
struct Sorted<'py> {
    py: Python<'py>,
    runs: Bound<'py, PyList>,
    settled: Bound<'py, PyList>,
    writable: Bound<'py, PyList>,
    replies: Bound<'py, PyList>,
    run: Run<'py>,
}

/// Events in succession for one group.
#[derive(Default)]
struct Run<'py> {
    key: usize,
    bytes: usize,
    has_others: bool,
    events: Vec<Bound<'py, PyAny>>,
}

impl<'py> Sorted<'py> {
    fn new(py: Python<'py>) -> Self {
        let list = || PyList::empty(py);
        let run = Run::default();
        Self { py, runs: list(), settled: list(), writable: list(), replies: list(), run }
    }

    fn take(
        &mut self,
        objects: &mut Objects<'py, '_>,
        batch: &mut Batch<'_>,
        at: usize,
    ) -> PyResult<()> {
        let event = batch.event(at);
        let (kind, tag, key) = (event.kind(), event.tag(), event.group().unwrap_or(0));
        match kind {
            Kind::Message => {
                if tag & OWN_TAG != 0 {
                    self.settled.append((tag, 0, event.sequence()))?;
                }
                let (keys, len) =
                    (event.is_to_several().then(|| event.groups()), event.data().len());
                let message = objects.message(batch, at)?;
                for key in keys.unwrap_or_else(|| vec![key]) {
                    self.push(key, len, false, message.clone())?;
                }
            }
            Kind::Receipt if tag & OWN_TAG != 0 => {
                let status = event.outcome().map_or(0, |outcome| outcome.0);
                self.settled.append((tag, status, 0))?;
            }
            Kind::Writable => self.writable.append(key)?,
            Kind::Reply => {
                self.replies.append((
                    tag,
                    PyBytes::new(self.py, event.data()),
                    event.has_more(),
                ))?;
            }
            _ => {
                if let Some(object) = objects.other(&event)? {
                    self.push(key, 0, true, object)?;
                }
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        key: usize,
        len: usize,
        is_other: bool,
        event: Bound<'py, PyAny>,
    ) -> PyResult<()> {
        if self.run.key != key {
            self.end_run()?;
            self.run.key = key;
        }
        self.run.bytes += len;
        self.run.has_others |= is_other;
        self.run.events.push(event);
        Ok(())
    }

    fn end_run(&mut self) -> PyResult<()> {
        let Run { key, bytes, has_others, events } = std::mem::take(&mut self.run);
        if events.is_empty() {
            return Ok(());
        }
        self.runs.append((key, bytes, !has_others, PyList::new(self.py, events)?))
    }

    fn finish(mut self, count: usize) -> PyResult<Bound<'py, PyTuple>> {
        self.end_run()?;
        (count, self.runs, self.settled, self.writable, self.replies).into_pyobject(self.py)
    }
}

/// Makes objects of events.
struct Objects<'py, 'a> {
    py: Python<'py>,
    classes: &'a Classes,
    members: &'a mut HashMap<Member, Py<PyAny>>,
    holdings: &'a mut Holdings,
    /// So many bytes of the batch are not looked at yet.
    following: usize,
}

impl<'py> Objects<'py, '_> {
    fn message(&mut self, batch: &mut Batch<'_>, at: usize) -> PyResult<Bound<'py, PyAny>> {
        let event = batch.event(at);
        let sender = self.member(event.sender())?;
        let (sequence, service, tag) = (event.sequence(), event.service(), event.tag());
        let tag = if tag & OWN_TAG == 0 { tag } else { 0 };
        let to_hold = event.data().len() >= HOLD_LEN_MIN && self.holdings.has_room(self.following);
        let message = match to_hold.then(|| batch.hold(at)).flatten() {
            Some(held) => {
                let held = self.holdings.add(held, self.following);
                Message::of_held(sender.unbind(), held, sequence, service, tag)
            }
            None => {
                let data = PyBytes::new(self.py, batch.event(at).data());
                Message::of_bytes(sender.unbind(), data, sequence, service, tag)
            }
        };
        Ok(Bound::new(self.py, message)?.into_any())
    }

    fn other(&mut self, event: &Event<'_>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, classes) = (self.py, self.classes);
        let status = || value(py, event.status().0);
        let made = match event.kind() {
            Kind::View => self.view(&classes.view, event.view())?,
            Kind::Transitional => self.view(&classes.transitional, event.view())?,
            Kind::Left => classes.left.make(py, [status()?, value(py, event.reason())?])?,
            Kind::Closed => classes.closed.make(py, [status()?, value(py, event.reason())?])?,
            Kind::Suspended => classes.suspended.make(py, [value(py, event.reason())?])?,
            Kind::Resumed => classes.resumed.make(py, [self.member(event.sender())?])?,
            Kind::Gap => classes.gap.make(py, [value(py, event.skipped())?])?,
            Kind::Receipt => {
                let status = event.outcome().map_or(0, |outcome| outcome.0);
                classes.receipt.make(py, [value(py, event.tag())?, value(py, status)?])?
            }
            _ => return Ok(None),
        };
        Ok(Some(made))
    }

    fn view(&mut self, class: &Class, view: Option<View<'_>>) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        let Some(view) = view else {
            return Ok(py.None().into_bound(py));
        };
        let values = [
            self.all(view.members())?,
            self.classes.view_id.make(py, view.id())?,
            value(py, view.cause())?,
            self.all(view.joined())?,
            self.all(view.left())?,
            self.all(view.together())?,
            PyTuple::new(py, view.sets())?.into_any(),
            value(py, view.reason())?,
        ];
        class.make(py, values)
    }

    fn all(&mut self, members: Vec<Member>) -> PyResult<Bound<'py, PyAny>> {
        let members: Vec<_> =
            members.into_iter().map(|member| self.member(member)).collect::<PyResult<_>>()?;
        Ok(PyTuple::new(self.py, members)?.into_any())
    }

    fn member(&mut self, member: Member) -> PyResult<Bound<'py, PyAny>> {
        if let Some(known) = self.members.get(&member) {
            return Ok(known.bind(self.py).clone());
        }
        if self.members.len() >= MEMBERS_MAX {
            self.members.clear();
        }
        let made = as_member(member, self.py)?;
        self.members.insert(member, made.clone().unbind());
        Ok(made)
    }
}

/// As an object.
pub(crate) fn as_member(member: Member, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Classes::get(py)?.member.make(py, (member.node, member.session))
}
