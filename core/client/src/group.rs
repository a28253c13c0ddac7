//! Group handles: one table for the whole process, so that a handle alone, of whatever session,
//! finds its group.

use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use anasazi_queue::record::{JOIN_SEND_ONLY, Member};

use crate::core::Core;
use crate::sys::table::{Pinned, Table};

/// This session's membership of a group, or address for it. A value: any copy of it goes stale when
/// the group's `Left` event has been seen and the next `receive` begins, and is then answered with
/// `ECLOSED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupHandle(pub u64);

/// What a handle stands for.
pub(crate) struct Group {
    pub(crate) core: Arc<Core>,
    /// As it was asked for.
    pub(crate) name: Box<str>,
    pub(crate) domain: Arc<CStr>,
    /// Which lane it goes over, as far as is known; [`NO_LANE`] until one was found.
    lane: AtomicU8,
    /// `JOIN_*` of the C header.
    pub(crate) flags: u32,
    /// An address for this one session, not of a group.
    pub(crate) peer: Option<Member>,
    /// Regular views shown since the present connection joined it.
    pub(crate) views: AtomicU32,
    pub(crate) user_data: usize,
    /// The serial of the connection on which someone has undertaken to join it.
    joining_on: AtomicU64,
    /// The serial of the connection on which the engine was told to join it: sends may go there,
    /// and there only.
    joined_on: AtomicU64,
    /// A send was refused for want of room, and no `Writable` event has said yet that there is
    /// room.
    pub(crate) saw_full: AtomicBool,
    stage: AtomicU8,
}

/// How far the group is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(crate) enum GroupStage {
    /// Joined or being joined.
    Live,
    /// To be left; the engine does not know yet.
    LeaveWanted,
    /// The engine was told.
    Leaving,
    /// The `Left` event is out.
    Ended,
}

impl Group {
    /// `name` is as it was asked for, with its domain or without.
    pub(crate) fn new(
        core: Arc<Core>,
        (domain, name): (Arc<CStr>, &str),
        (flags, peer): (u32, Option<Member>),
        user_data: usize,
    ) -> Self {
        Self {
            core,
            name: name.into(),
            lane: AtomicU8::new(if *domain == *DEFAULT_DOMAIN { 0 } else { NO_LANE }),
            domain,
            flags,
            peer,
            views: AtomicU32::new(0),
            user_data,
            joining_on: AtomicU64::new(0),
            joined_on: AtomicU64::new(0),
            saw_full: AtomicBool::new(false),
            stage: AtomicU8::new(GroupStage::Live as u8),
        }
    }

    /// It stands for the same as one of this kind and name in that domain does.
    pub(crate) fn is_same(&self, domain: &CStr, name: &str, peer: Option<Member>) -> bool {
        let within = |name| split_name(name).map_or(name, |(_, within)| within);
        let is_same_name = || within(&self.name) == within(name);
        *self.domain == *domain && self.peer == peer && (peer.is_some() || is_same_name())
    }

    pub(crate) fn stage(&self) -> GroupStage {
        match self.stage.load(Ordering::SeqCst) {
            0 => GroupStage::Live,
            1 => GroupStage::LeaveWanted,
            2 => GroupStage::Leaving,
            _ => GroupStage::Ended,
        }
    }

    /// Goes on from one stage to a later one; `false` if somebody else was first.
    pub(crate) fn advance(&self, from: GroupStage, to: GroupStage) -> bool {
        let (from, to) = (from as u8, to as u8);
        self.stage.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Ends it; `true` for exactly one caller.
    pub(crate) fn end(&self) -> bool {
        let ended = GroupStage::Ended as u8;
        self.stage.swap(ended, Ordering::SeqCst) != ended
    }

    /// The number of its lane; no lane has it as long as none was found.
    pub(crate) fn lane(&self) -> usize {
        self.lane.load(Ordering::SeqCst).into()
    }

    /// Its lane, if that is known and it is in this domain.
    pub(crate) fn lane_for(&self, domain: &CStr) -> Option<usize> {
        let is_known = self.lane() != NO_LANE.into();
        (is_known && *self.domain == *domain).then(|| self.lane())
    }

    /// It goes over this lane.
    pub(crate) fn set_lane(&self, lane: usize) {
        self.lane.store(lane as u8, Ordering::SeqCst);
    }

    /// Undertakes to join on the connection with this serial; `false` if that is in good hands
    /// already, or if there is a later connection.
    pub(crate) fn undertake_join(&self, serial: u64) -> bool {
        self.joining_on.fetch_max(serial, Ordering::SeqCst) < serial
    }

    /// Gives the undertaking up: there was no room.
    pub(crate) fn put_join_off(&self, serial: u64) {
        let (order, lax) = (Ordering::SeqCst, Ordering::Relaxed);
        // If it fails there is a later connection, and its business is not ours.
        _ = self.joining_on.compare_exchange(serial, 0, order, lax);
    }

    /// Whether somebody has undertaken to join on that connection.
    pub(crate) fn is_join_undertaken(&self, serial: u64) -> bool {
        self.joining_on.load(Ordering::SeqCst) == serial
    }

    pub(crate) fn set_joined(&self, serial: u64) {
        self.joined_on.fetch_max(serial, Ordering::SeqCst);
    }

    /// It has views.
    pub(crate) fn is_membership(&self) -> bool {
        self.peer.is_none() && self.flags & JOIN_SEND_ONLY == 0
    }

    pub(crate) fn is_joined_on(&self, serial: u64) -> bool {
        self.joined_on.load(Ordering::SeqCst) == serial
    }
}

impl GroupHandle {
    /// The group, unless the handle is stale. Safe in a signal handler.
    pub(crate) fn pin(self) -> Option<Pinned<'static, Group>> {
        GROUPS.pin(self.0)
    }

    /// The group, also if the handle is stale, as long as something else keeps the group. Safe in a
    /// signal handler.
    pub(crate) fn pin_removed(self) -> Option<Pinned<'static, Group>> {
        GROUPS.pin_removed(self.0)
    }

    /// The groups of this session that a message was sent to: of an event that is not released yet,
    /// with its group. More than one only if the event says that it is `multi`.
    pub fn groups_of(self, token: u64) -> Box<[Self]> {
        let groups = self.pin().and_then(|group| {
            group.core.check_fork().ok()?;
            let in_use = group.core.links.enter();
            in_use.of_token(token)?.groups_of(token)
        });
        groups.unwrap_or_else(|| Box::new([self]))
    }

    /// The number by which the engine knows it: index and the low bits of the generation, so that a
    /// late send to a handle that ended does not go to the next group in the same place.
    pub(crate) fn number(self) -> u32 {
        ((self.0 >> 32) as u32) << NUMBER_GENERATION_BITS | self.0 as u32 & NUMBER_GENERATION_MASK
    }

    /// The group of this session that the engine means by a number.
    pub(crate) fn of_number(
        number: u32,
        core: &Arc<Core>,
    ) -> Option<(Self, Pinned<'static, Group>)> {
        let handle = Self(GROUPS.handle_at(number >> NUMBER_GENERATION_BITS)?);
        let group = handle.pin()?;
        let ours = handle.number() == number && Arc::ptr_eq(&group.core, core);
        ours.then_some((handle, group))
    }

    /// Every group of a session.
    pub(crate) fn each_of(core: &Arc<Core>, mut show: impl FnMut(Self, &Group)) {
        GROUPS.each(|handle, group| {
            if Arc::ptr_eq(&group.core, core) {
                show(Self(handle), group);
            }
        });
    }

    pub(crate) fn insert(group: Group) -> Option<Self> {
        GROUPS.insert(group).map(Self)
    }

    /// Makes all handles of a session stale.
    pub(crate) fn remove_all_of(core: &Arc<Core>) {
        Self::each_of(core, |handle, _| handle.remove());
        // Shown means pinned: now they are not any more.
        GROUPS.drop_pending();
    }

    pub(crate) fn remove(self) {
        GROUPS.remove(self.0);
    }
}

/// The domain in a group's name, and what the group is called there; `None`: it is in `default`.
pub(crate) fn split_name(name: &str) -> Option<(&str, &str)> {
    name.split_once('/')
}

/// The domain of groups whose names have none.
pub(crate) const DEFAULT_DOMAIN: &CStr = c"default";
/// The lane of a group that has none yet.
pub(crate) const NO_LANE: u8 = u8::MAX;
static GROUPS: Table<Group> = Table::new(GROUP_TAG);
/// First byte of every group handle.
const GROUP_TAG: u8 = 0xA3;
const NUMBER_GENERATION_BITS: u32 = 8;
const NUMBER_GENERATION_MASK: u32 = (1 << NUMBER_GENERATION_BITS) - 1;
