//! A batch of events, as Python objects, sorted into the queues that they are for.
//!
//! No code that is written in Python runs meanwhile, so that no handler of a signal can end it
//! halfway. What is to be told of a batch needs such code: `Session.receive()` appends
//! `(count, touched, notes, settled, replies, writable)` to a list. All but the count are lists of
//! what is still to be done, the first at the end, so that whoever has done it removes it.
//!
//! - count: how many events there were; 0: none.
//! - touched: those into whose queues something came.
//! - notes: `[target, event, place, None]` of what is no message; place: the event's in its queue.
//!   The last one is for who tells it.
//! - settled: `(tag, status, sequence)` of own messages with a tag that is one of the package's.
//! - replies: `(tag, part, has_more)`.
//! - writable: keys of groups that have room again.

use std::collections::HashMap;

use anasazi_sys::{Batch, Event, Kind, Member, Receiver, View};
use pyo3::IntoPyObjectExt;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::errors::explained;
use crate::queue::Queue;
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
    causes: HashMap<u32, Py<PyAny>>,
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
            let causes = module.getattr("Cause")?.try_iter()?.map(|cause| {
                let cause = cause?;
                Ok((cause.extract()?, cause.unbind()))
            });
            Ok(Self {
                causes: causes.collect::<PyResult<_>>()?,
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

    pub(crate) fn receive(&mut self, into: &Into<'_, '_>) -> PyResult<()> {
        let py = into.told.py();
        let Self { receiver, members, holdings, ring_len } = self;
        let classes = Classes::get(py)?;
        let mut batch = receiver.receive().map_err(|status| explained(py, status, "receiving"))?;
        let bytes = batch.iter().map(|event| event.data().len() + EVENT_LEN).sum();
        holdings.begin(bytes, *ring_len);
        let mut objects = Objects { py, classes, members, holdings, following: bytes };
        let mut sorting = Sorting::new(into);
        for at in 0..batch.len() {
            objects.following -= batch.event(at).data().len() + EVENT_LEN;
            sorting.take(&mut objects, &mut batch, at)?;
        }
        sorting.finish(batch.len())
    }
}

/// Where events go.
pub(crate) struct Into<'a, 'py> {
    /// The connection as a whole. It and the targets have a `queue`.
    pub(crate) own: &'a Bound<'py, PyAny>,
    /// Groups and addresses, by key.
    pub(crate) targets: &'a Bound<'py, PyDict>,
    /// Whether the first `Resumed` is the connection's being there, which is no event.
    pub(crate) is_opening: bool,
    /// What is to be told.
    pub(crate) told: &'a Bound<'py, PyList>,
}

/// A batch that is being sorted.
struct Sorting<'a, 'py> {
    into: &'a Into<'a, 'py>,
    is_opening: bool,
    run: Run<'py>,
    touched: Vec<Bound<'py, PyAny>>,
    notes: Vec<Bound<'py, PyAny>>,
    settled: Vec<Bound<'py, PyAny>>,
    replies: Vec<Bound<'py, PyAny>>,
    writable: Vec<Bound<'py, PyAny>>,
}

/// Events in succession for one group, each with how much it counts for.
#[derive(Default)]
struct Run<'py> {
    key: usize,
    events: Vec<(Bound<'py, PyAny>, usize)>,
}

/// A target, its queue, and how many events were ever pushed there.
type Pushed<'py> = (Bound<'py, PyAny>, Bound<'py, Queue>, usize);

impl<'a, 'py> Sorting<'a, 'py> {
    fn new(into: &'a Into<'a, 'py>) -> Self {
        Self {
            into,
            is_opening: into.is_opening,
            run: Run::default(),
            touched: Vec::new(),
            notes: Vec::new(),
            settled: Vec::new(),
            replies: Vec::new(),
            writable: Vec::new(),
        }
    }

    fn take(
        &mut self,
        objects: &mut Objects<'py, '_>,
        batch: &mut Batch<'_>,
        at: usize,
    ) -> PyResult<()> {
        let (py, event) = (objects.py, batch.event(at));
        let (kind, tag, key) = (event.kind(), event.tag(), event.group().unwrap_or(0));
        match kind {
            Kind::Message => {
                if tag & OWN_TAG != 0 {
                    self.settled.push(value(py, (tag, 0, event.sequence()))?);
                }
                let (keys, len) =
                    (event.is_to_several().then(|| event.groups()), event.data().len());
                let message = objects.message(batch, at)?;
                let Some(keys) = keys else { return self.push(key, message, len) };
                keys.into_iter().try_for_each(|key| self.push(key, message.clone(), len))
            }
            Kind::Receipt if tag & OWN_TAG != 0 => {
                let status = event.outcome().map_or(0, |outcome| outcome.0);
                self.settled.push(value(py, (tag, status, 0))?);
                Ok(())
            }
            Kind::Writable => {
                self.writable.push(value(py, key)?);
                Ok(())
            }
            Kind::Reply => {
                let part = PyBytes::new(py, event.data());
                self.replies.push(value(py, (tag, part, event.has_more()))?);
                Ok(())
            }
            _ => match objects.other(&event)? {
                Some(object) if key == 0 => self.push_own(kind, object),
                Some(object) => self.push_other(kind, key, object),
                None => Ok(()),
            },
        }
    }

    fn push(&mut self, key: usize, event: Bound<'py, PyAny>, len: usize) -> PyResult<()> {
        if self.run.key != key {
            self.end_run()?;
            self.run.key = key;
        }
        self.run.events.push((event, len));
        Ok(())
    }

    /// What is no message, for a group.
    fn push_other(&mut self, kind: Kind, key: usize, event: Bound<'py, PyAny>) -> PyResult<()> {
        self.push(key, event.clone(), 0)?;
        if let Some((target, queue, place)) = self.end_run()? {
            if kind == Kind::Left {
                queue.get().finish();
            }
            self.note(target, event, place)?;
        }
        Ok(())
    }

    /// What is no message, for the connection: its life is told at its place in every group, too.
    fn push_own(&mut self, kind: Kind, event: Bound<'py, PyAny>) -> PyResult<()> {
        let is_life = matches!(kind, Kind::Suspended | Kind::Resumed);
        if !is_life && kind != Kind::Closed {
            return self.push(0, event, 0);
        }
        self.end_run()?;
        let own = self.into.own.clone();
        if kind == Kind::Resumed && std::mem::take(&mut self.is_opening) {
            return self.note(own, event, 0);
        }
        let queue = queue_of(&own)?;
        if is_life {
            queue.get().push_life(&event);
        } else {
            queue.get().push(vec![(event.clone(), 0)]);
        }
        self.touch(&own, &queue);
        for target in self.into.targets.values() {
            let queue = queue_of(&target)?;
            if !queue.get().is_address {
                queue.get().push(vec![(event.clone(), 0)]);
                self.touch(&target, &queue);
            }
        }
        self.note(own, event, 0)
    }

    fn note(
        &mut self,
        target: Bound<'py, PyAny>,
        event: Bound<'py, PyAny>,
        place: usize,
    ) -> PyResult<()> {
        let py = target.py();
        let rest = [target, event, value(py, place)?, py.None().into_bound(py)];
        self.notes.push(PyList::new(py, rest)?.into_any());
        Ok(())
    }

    fn touch(&mut self, target: &Bound<'py, PyAny>, queue: &Bound<'py, Queue>) {
        if queue.get().touch() {
            self.touched.push(target.clone());
        }
    }

    /// `None`: there was nothing to push, or its group has ended here already.
    fn end_run(&mut self) -> PyResult<Option<Pushed<'py>>> {
        let Run { key, events } = std::mem::take(&mut self.run);
        if events.is_empty() {
            return Ok(None);
        }
        let target = match key {
            0 => Some(self.into.own.clone()),
            key => self.into.targets.get_item(key)?,
        };
        let Some(target) = target else { return Ok(None) };
        let queue = queue_of(&target)?;
        let place = queue.get().push(events);
        self.touch(&target, &queue);
        Ok(Some((target, queue, place)))
    }

    fn finish(mut self, count: usize) -> PyResult<()> {
        self.end_run()?;
        for target in &self.touched {
            queue_of(target)?.get().told();
        }
        let py = self.into.told.py();
        let list = |mut all: Vec<_>| {
            all.reverse();
            PyList::new(py, all)
        };
        let batch = (
            count,
            list(self.touched)?,
            list(self.notes)?,
            list(self.settled)?,
            list(self.replies)?,
            list(self.writable)?,
        );
        self.into.told.append(batch)
    }
}

fn queue_of<'py>(target: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Queue>> {
    Ok(target.getattr(intern!(target.py(), "queue"))?.cast_into()?)
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
            self.cause(view.cause())?,
            self.all(view.joined())?,
            self.all(view.left())?,
            self.all(view.together())?,
            PyTuple::new(py, view.sets())?.into_any(),
            value(py, view.reason())?,
        ];
        class.make(py, values)
    }

    /// One that a newer library has is its number.
    fn cause(&self, number: u32) -> PyResult<Bound<'py, PyAny>> {
        match self.classes.causes.get(&number) {
            Some(cause) => Ok(cause.bind(self.py).clone()),
            None => value(self.py, number),
        }
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
