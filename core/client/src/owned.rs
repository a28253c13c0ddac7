//! Events as copies, and calls that wait: for Rust programs that would rather not think of rings.

use std::time::Duration;

use anasazi_queue::record::{Member, ViewId};
use anasazi_queue::status::Status;

use crate::event::{Event, EventKind, Hold};
use crate::failure::Failure;
use crate::group::GroupHandle;
use crate::session::Session;
use crate::sys::frame::View;
use crate::sys::poll::now_ns;

/// An event with everything in it copied.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "fields as in `Event`")]
pub enum OwnedEvent {
    /// The session ends; the last event.
    Closed { status: Status, reason: String },
    /// So many messages of the group were skipped here, or to this session alone.
    Gap { group: GroupHandle, count: u64 },
    /// The group handle ends.
    Left { group: GroupHandle, status: Status, reason: String },
    /// A message at its place in the order. `groups`: those of this session that it was sent to,
    /// of which `group` is the first; none if it is for this session alone.
    Message {
        group: GroupHandle,
        groups: Vec<GroupHandle>,
        sender: Member,
        service: u32,
        sequence: u64,
        tag: u64,
        data: Vec<u8>,
    },
    /// The fate of an own message that was not delivered.
    Receipt { group: GroupHandle, status: Status, tag: u64 },
    /// A part of the answer to a query.
    Reply { tag: u64, status: Status, more: bool, json: String },
    /// The engine is back, under a new identity of this session.
    Resumed { identity: Member },
    /// The engine was lost.
    Suspended { reason: String },
    /// Guarantees narrow to `together`.
    Transitional { group: GroupHandle, view: OwnedView },
    /// A regular configuration of the group.
    View { group: GroupHandle, view: OwnedView },
    /// There is room to send to the group again.
    Writable { group: GroupHandle },
}

/// A view, copied.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "fields as in `View`")]
pub struct OwnedView {
    pub id: ViewId,
    /// `ANZ_CAUSE_*` of the C header.
    pub cause: u32,
    pub members: Vec<Member>,
    pub joined: Vec<Member>,
    pub left: Vec<Member>,
    pub together: Vec<Member>,
    pub sets: Vec<u32>,
    pub reason: String,
}

impl Session {
    /// The next event; `None` when `timeout` is over (no timeout: never). One thread at a time.
    ///
    /// # Errors
    /// `ECLOSED` after the last event; `EINTR` after [`wake`](Self::wake); `EBUSY`, `EFORKED`.
    pub fn next_event(&self, timeout: Option<Duration>) -> Result<Option<OwnedEvent>, Status> {
        if let Some(event) = self.core().own(|receiver| receiver.put_aside.pop_front())? {
            return Ok(Some(event));
        }
        self.next_fresh_event(deadline_ns(timeout))
    }

    /// Asks the engine something, in JSON, and waits for the whole answer. Other events that come
    /// meanwhile are put aside for [`next_event`](Self::next_event).
    ///
    /// # Errors
    /// The answer's status with the engine's words; `ETIMEDOUT`; `ECONNREFUSED` if the engine is
    /// lost meanwhile.
    pub fn query_blocking(&self, json: &str, timeout: Duration) -> Result<String, Failure> {
        let deadline_ns = deadline_ns(Some(timeout));
        let plain =
            |status: Status| Failure::new(status, format!("asking the engine: {}", status.text()));
        self.query(json.as_bytes(), QUERY_TAG).map_err(plain)?;
        let mut answer = String::new();
        loop {
            let event = self.next_fresh_event(deadline_ns).map_err(plain)?;
            match event.ok_or_else(|| plain(Status::ETIMEDOUT))? {
                OwnedEvent::Reply { tag: QUERY_TAG, status, more, json } => {
                    answer.push_str(&json);
                    if status != Status::OK {
                        return Err(Failure::new(status, answer));
                    }
                    if !more {
                        return Ok(answer);
                    }
                }
                other => {
                    let lost = matches!(other, OwnedEvent::Suspended { .. });
                    self.core()
                        .own(|receiver| receiver.put_aside.push_back(other))
                        .map_err(plain)?;
                    if lost {
                        return Err(plain(Status::ECONNREFUSED));
                    }
                }
            }
        }
    }

    fn next_fresh_event(&self, deadline_ns: i64) -> Result<Option<OwnedEvent>, Status> {
        let mut owned = None;
        loop {
            self.receive(1, &mut |event| {
                owned = OwnedEvent::of(event);
                Hold::Release
            })?;
            if owned.is_some() {
                return Ok(owned);
            }
            match self.wait(deadline_ns) {
                Err(Status::ETIMEDOUT) => return Ok(None),
                other => other?,
            }
        }
    }
}

impl OwnedEvent {
    fn of(event: &Event<'_>) -> Option<Self> {
        let group = event.group.unwrap_or(GroupHandle(0));
        let (status, tag) = (event.status, event.tag);
        Some(match event.kind {
            EventKind::Closed => Self::Closed { status, reason: event.text().to_owned() },
            EventKind::Gap => {
                let count = event.data.first_chunk().copied().map_or(0, u64::from_ne_bytes);
                Self::Gap { group, count }
            }
            EventKind::Left => Self::Left { group, status, reason: event.text().to_owned() },
            EventKind::Message => Self::Message {
                group,
                groups: groups(event),
                sender: event.sender,
                service: event.service,
                sequence: event.sequence,
                tag,
                data: event.data.to_vec(),
            },
            EventKind::Receipt => Self::Receipt { group, status, tag },
            EventKind::Reply => {
                Self::Reply { tag, status, more: event.more, json: event.text().to_owned() }
            }
            EventKind::Resumed => Self::Resumed { identity: event.sender },
            EventKind::Suspended => Self::Suspended { reason: event.text().to_owned() },
            EventKind::Transitional => {
                Self::Transitional { group, view: OwnedView::of(event.view?) }
            }
            EventKind::View => Self::View { group, view: OwnedView::of(event.view?) },
            EventKind::Writable => Self::Writable { group },
        })
    }
}

fn groups(event: &Event<'_>) -> Vec<GroupHandle> {
    match event.group {
        None => Vec::new(),
        Some(first) if event.multi => first.groups_of(event.token).into_vec(),
        Some(first) => vec![first],
    }
}

impl OwnedView {
    fn of(view: &View) -> Self {
        Self {
            id: view.id(),
            cause: view.cause(),
            members: view.members().to_vec(),
            joined: view.joined().to_vec(),
            left: view.left().to_vec(),
            together: view.together().to_vec(),
            sets: view.sets().to_vec(),
            reason: view.reason().to_owned(),
        }
    }
}

fn deadline_ns(timeout: Option<Duration>) -> i64 {
    timeout.map_or(-1, |timeout| {
        now_ns().saturating_add(i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX))
    })
}

/// The tag of queries that are waited for.
const QUERY_TAG: u64 = u64::MAX;
