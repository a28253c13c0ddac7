//! What [`Session::receive`](crate::Session::receive) shows.

use std::ffi::CStr;

use anasazi_queue::record::Member;
use anasazi_queue::status::Status;

use crate::group::GroupHandle;
use crate::sys::frame::View;

/// One event of a session's one ordered stream.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// What it is.
    pub kind: EventKind,
    /// Why, for the kinds that end something; else `OK`.
    pub status: Status,
    /// Further parts follow.
    pub more: bool,
    /// A message to several groups of this session: see [`GroupHandle::groups_of`].
    pub multi: bool,
    /// The group, for events of a group; of several the first. A message to this session alone has
    /// none.
    pub group: Option<GroupHandle>,
    /// What was given when the group was joined.
    pub user_data: usize,
    /// `Message`: who sent it. `Resumed`: this session's new identity.
    pub sender: Member,
    /// `Message`: its service level.
    pub service: u32,
    /// `Message`: its place in the group's order within the view, from 1; 0 if it has none.
    pub sequence: u64,
    /// Own messages, receipts and replies: the tag given to the call.
    pub tag: u64,
    /// `Message`: the message. `Reply`: JSON. `Receipt`: a [`Receipt`](crate::Receipt) as bytes.
    /// `Gap`: how many messages, a `u64`. `Left`, `Suspended`, `Closed`: the reason in words,
    /// UTF-8.
    pub data: &'a [u8],
    /// `View` and `Transitional`.
    pub view: Option<&'a View>,
    /// The domain that it is of; `None` for events of the whole session.
    pub domain: Option<&'a CStr>,
    /// For [`Session::release`](crate::Session::release) if the event is kept; 0 if there is
    /// nothing to release.
    pub token: u64,
}

/// The kinds of events, numbered as in the C header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum EventKind {
    /// A message, at its place in the order.
    Message = 1,
    /// A regular configuration of the group was installed.
    View = 2,
    /// Guarantees narrow to `together` until the next view.
    Transitional = 3,
    /// After `EAGAIN` from a send to this group: there is room.
    Writable = 4,
    /// The group handle ends; the last event with it.
    Left = 5,
    /// The engine was lost; the session tries to reach it again.
    Suspended = 6,
    /// The engine is back; groups are being rejoined.
    Resumed = 7,
    /// The session ends; the last event of all.
    Closed = 8,
    /// The fate of one own message that was not delivered.
    Receipt = 9,
    /// A part of the answer to a query.
    Reply = 10,
    /// Messages of the group were skipped here, as the session wanted for the case that it reads
    /// too slowly.
    Gap = 11,
}

/// What becomes of an event's bytes after the sink has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Give them back to the engine.
    Release,
    /// They stay readable until [`Session::release`](crate::Session::release) gets the event's
    /// token.
    Keep,
}

impl<'a> Event<'a> {
    /// An event without content.
    pub(crate) fn bare(kind: EventKind) -> Self {
        Self {
            kind,
            status: Status::OK,
            more: false,
            multi: false,
            group: None,
            user_data: 0,
            sender: Member::default(),
            service: 0,
            sequence: 0,
            tag: 0,
            data: &[],
            view: None,
            domain: None,
            token: 0,
        }
    }

    /// The name of its domain; empty for events of the whole session.
    pub fn domain_name(&self) -> &'a str {
        self.domain.and_then(|name| name.to_str().ok()).unwrap_or_default()
    }

    /// The words in `data`, for the kinds that carry words.
    pub fn text(&self) -> &'a str {
        std::str::from_utf8(self.data).unwrap_or_default()
    }
}
