//! The send path. Nothing here or below allocates, locks, waits, panics or touches a thread-local:
//! a signal handler may call it at any moment, also one that interrupts another call of it. It
//! costs four uncontended atomic additions beside the ring's own work, and a system call only if
//! the engine sleeps.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anasazi_queue::plain::Plain;
use anasazi_queue::record::{
    GROUPS_PER_MESSAGE_MAX, GroupRecord, PRIO_BULK, PRIO_HIGH, SendRecord, UNRELIABLE_GROUP_LEN,
    UNRELIABLE_LEN_MAX,
};
use anasazi_queue::ring::{Claim, PushError};
use anasazi_queue::status::Status;

use crate::core::{Core, Phase};
use crate::group::{Group, GroupHandle, GroupStage};
use crate::sys::link::{Link, OpenClaim};
use crate::sys::table::Pinned;

impl GroupHandle {
    /// Sends a message, whose parts are put together, to the group. `service` is a level from 0
    /// (unreliable) to 5 (safe) with `NO_SELF` (0x100), `SAME_VIEW` (0x400) and one of `PRIO_HIGH`
    /// (0x1000) and `PRIO_BULK` (0x2000) or-ed in if wanted; `tag` comes back with this session's
    /// own delivery, or with a receipt. Any thread; safe in a signal handler; never blocks; keeps
    /// errno. The iterator is gone through twice.
    ///
    /// # Errors
    /// `EAGAIN`: no room now; one `Writable` event of this group tells when there is. `EMSGSIZE`:
    /// over the engine's limit, or over [`UNRELIABLE_LEN_MAX`] for an unreliable one. `ECLOSED`:
    /// the handle is stale. `ENOTMEMBER`: it is being left. `EINVAL`, `ENOTSUP`: the service.
    /// `EFORKED`.
    pub fn send<'a>(
        self,
        service: u32,
        tag: u64,
        parts: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Result<(), Status> {
        let len = parts.clone().fold(0, |len: usize, part| len.saturating_add(part.len()));
        with_link(self, service, len, |core, link| {
            link.send(self.head(service, tag), len, parts)?;
            core.counters.sent_messages.fetch_add(1, Ordering::Relaxed);
            core.counters.sent_bytes.fetch_add(len as u64, Ordering::Relaxed);
            Ok(())
        })
    }

    /// Sends one message to several groups of one session: ordered once, and delivered once to each
    /// session that is in any of them. As [`Self::send`].
    ///
    /// # Errors
    /// As [`Self::send`]. `EINVAL`: no group, too many, one twice, one that is a peer, or groups of
    /// different sessions or domains.
    pub fn send_to_all(
        groups: impl Iterator<Item = Self> + Clone,
        service: u32,
        tag: u64,
        message: &[u8],
    ) -> Result<(), Status> {
        let further = Self::check_all(groups.clone(), service)?;
        let mut handles = groups;
        let first = handles.next().ok_or(Status::EINVAL)?;
        if further == 0 {
            return first.send(service, tag, std::iter::once(message));
        }
        let len = message.len();
        let room = UNRELIABLE_LEN_MAX.saturating_sub((further + 1) * UNRELIABLE_GROUP_LEN);
        if service & SERVICE_MASK == UNRELIABLE && len > room {
            return Err(Status::EMSGSIZE);
        }
        with_link(first, service, len, |core, link| {
            let head = SendRecord { groups: further as u32, ..first.head(service, tag) };
            let len_in_all = len.saturating_add(further * size_of::<GroupRecord>());
            link.send_by(head, len_in_all, |writing| {
                handles.for_each(|handle| writing.put_few(handle.record()));
                writing.put(message);
            })?;
            core.counters.sent_messages.fetch_add(1, Ordering::Relaxed);
            core.counters.sent_bytes.fetch_add(len as u64, Ordering::Relaxed);
            Ok(())
        })
    }

    /// Checks the groups of a message; how many there are beside the first. Its frame is gone when
    /// the message is sent.
    #[inline(never)]
    fn check_all(
        groups: impl Iterator<Item = Self> + Clone,
        service: u32,
    ) -> Result<usize, Status> {
        let mut handles = groups.clone();
        let first = handles.next().ok_or(Status::EINVAL)?;
        let mut further = 0;
        for handle in handles {
            if further + 1 == GROUPS_PER_MESSAGE_MAX
                || groups.clone().take(further + 1).any(|earlier| earlier == handle)
            {
                return Err(Status::EINVAL);
            }
            handle.check_further(first, service)?;
            further += 1;
        }
        Ok(further)
    }

    /// Checks a group that a message goes to beside the first.
    fn check_further(self, first: Self, service: u32) -> Result<(), Status> {
        let group = self.pin().ok_or(Status::ECLOSED)?;
        group.core.check_fork()?;
        let leader = first.pin().ok_or(Status::ECLOSED)?;
        let is_peer = group.peer.is_some() || leader.peer.is_some();
        let is_beside = Arc::ptr_eq(&group.core, &leader.core) && group.domain == leader.domain;
        if is_peer || !is_beside {
            return Err(Status::EINVAL);
        }
        check_stage(&group)?;
        check_service(&group, service, 0)?;
        let in_use = group.core.links.enter();
        if in_use.current(group.lane()).filter(|l| group.is_joined_on(l.serial())).is_none() {
            return Err(refuse(&group.core, &group, None, 0));
        }
        Ok(())
    }

    /// How it is named as one of several groups of a message. If it has ended since it was checked,
    /// the engine knows that, too.
    fn record(self) -> [u8; size_of::<GroupRecord>()] {
        let views = self.pin_removed().map_or(0, |group| group.views.load(Ordering::SeqCst));
        let record = GroupRecord { handle: self.number(), views };
        record.as_bytes().try_into().unwrap_or_default()
    }

    /// What stands before a message to this group.
    fn head(self, service: u32, tag: u64) -> SendRecord {
        let same_view = service & SAME_VIEW != 0;
        let group = if same_view { self.pin_removed() } else { None };
        let views = group.map_or(0, |group| group.views.load(Ordering::SeqCst));
        SendRecord { handle: self.number(), service, tag, views, groups: 0 }
    }

    /// Claims room for a message of `len` bytes in the ring, for its sender to fill in: a send
    /// without a copy. Messages that are claimed later wait until this one is
    /// [committed](Self::commit) or [aborted](Self::abort). Safe in a signal handler.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn claim(self, len: usize) -> Result<OpenClaim, Status> {
        with_link(self, AGREED, len, |core, link| {
            let claim = link.claim_open(self.number(), len)?;
            // The connection's memory and the group stay until the claim ends, whatever happens
            // meanwhile.
            core.links.enter().keep();
            if let Some(group) = self.pin_removed() {
                group.keep();
            }
            Ok(claim)
        })
    }

    /// Sends what was put into a claim. The claim ends in any case but `EINVAL`. Safe in a signal
    /// handler.
    ///
    /// # Errors
    /// `EINVAL`: the service, or it is no open claim of this group. `ECLOSED`: the group has ended
    /// meanwhile. `ELOST`: the engine was lost meanwhile. `ENOTSUP`, `EFORKED`.
    pub fn commit(self, claim: &OpenClaim, service: u32, tag: u64) -> Result<(), Status> {
        let checked = match self.pin_removed() {
            Some(group) => check_service(&group, service, claim.len),
            None => Err(Status::ECLOSED),
        };
        match checked {
            Err(Status::EINVAL) => return Err(Status::EINVAL),
            Err(status) => return self.abort(claim).and(Err(status)),
            Ok(()) => {}
        }
        self.end_claim(claim, |core, link, ring_claim| {
            link.commit_open(ring_claim, self.head(service, tag));
            core.counters.sent_messages.fetch_add(1, Ordering::Relaxed);
            core.counters.sent_bytes.fetch_add(claim.len as u64, Ordering::Relaxed);
        })
    }

    /// Gives a claim up. Safe in a signal handler.
    ///
    /// # Errors
    /// `EINVAL`: it is no open claim of this group. `EFORKED`.
    pub fn abort(self, claim: &OpenClaim) -> Result<(), Status> {
        self.end_claim(claim, |_, link, claim| link.abort(claim))
    }

    /// Finds the claim again, wherever it is by now, and ends it: by `end` if it can still be sent.
    fn end_claim(
        self,
        claim: &OpenClaim,
        end: impl FnOnce(&Core, &Link, Claim),
    ) -> Result<(), Status> {
        let group = self.pin_removed().ok_or(Status::ECLOSED)?;
        group.core.check_fork()?;
        let in_use = group.core.links.enter();
        let found = in_use.all().find_map(|link| Some((link, link.reclaim(self.number(), claim)?)));
        let stale = || if self.pin().is_some() { Status::EINVAL } else { Status::ECLOSED };
        let (link, ring_claim) = found.ok_or_else(stale)?;
        let present = in_use.current(link.lane()).is_some_and(|p| p.serial() == link.serial());
        let is_over = group.stage() != GroupStage::Live || group.core.phase() != Phase::Open;
        let result = match (is_over, present) {
            (true, _) => Err(Status::ECLOSED),
            (false, true) => Ok(()),
            (false, false) => Err(Status::ELOST),
        };
        match result {
            Ok(()) => end(&group.core, link, ring_claim),
            Err(_) => link.abort(ring_claim),
        }
        look_again_if_lost(&group.core, link);
        in_use.unkeep();
        group.unkeep();
        result
    }
}

/// Checks everything that can be checked, then lets `work` use the connection. In the frame of its
/// caller, since handlers may run on small stacks.
#[inline(always)]
fn with_link<R>(
    handle: GroupHandle,
    service: u32,
    len: usize,
    work: impl FnOnce(&Core, &Link) -> Result<R, PushError>,
) -> Result<R, Status> {
    let group = checked(handle, service, len)?;
    let core = &*group.core;
    let in_use = core.links.enter();
    let link = in_use.current(group.lane());
    let Some(link) = link.filter(|link| group.is_joined_on(link.serial())) else {
        return Err(refuse(core, &group, None, len));
    };
    if len > link.message_len_max() {
        return Err(Status::EMSGSIZE);
    }
    let done = work(core, link).map_err(|error| failed(core, &group, (link, error), len));
    look_again_if_lost(core, link);
    done
}

/// What was put in after its receiver looked what the engine had left is lost as well: it looks
/// again.
fn look_again_if_lost(core: &Core, link: &Link) {
    if link.is_lost() {
        core.poll.nudge();
    }
}

/// Nothing was put in. Apart, and without a table of jumps: the test that reads from the code what
/// signal handlers can reach could not follow it.
#[cold]
#[inline(never)]
fn failed(core: &Core, group: &Group, (link, error): (&Link, PushError), len: usize) -> Status {
    if error == PushError::TooLong {
        return Status::EMSGSIZE;
    }
    // Else the engine broke its own ring; the receiver will see it too.
    let is_full = error == PushError::Full;
    refuse(core, group, is_full.then_some(link), len)
}

/// The group, if this can be sent to it. Its frame is gone when the message is sent.
#[inline(never)]
fn checked(
    handle: GroupHandle,
    service: u32,
    len: usize,
) -> Result<Pinned<'static, Group>, Status> {
    let group = handle.pin().ok_or(Status::ECLOSED)?;
    group.core.check_fork()?;
    check_service(&group, service, len)?;
    check_stage(&group)?;
    let limit = group.core.message_len_max.load(Ordering::Relaxed) as usize;
    if limit != 0 && len > limit {
        return Err(Status::EMSGSIZE);
    }
    Ok(group)
}

/// There is no room, or nobody to send to: the group is owed a `Writable`.
#[cold]
#[inline(never)]
fn refuse(core: &Core, group: &Group, link: Option<&Link>, len: usize) -> Status {
    if core.phase() != Phase::Open {
        return Status::ECLOSED;
    }
    group.saw_full.store(true, Ordering::SeqCst);
    // Only now: whoever gives it a lane looks at what was just said.
    core.note_full(group.lane(), link, len);
    Status::EAGAIN
}

fn check_stage(group: &Group) -> Result<(), Status> {
    match group.stage() {
        GroupStage::Live => Ok(()),
        GroupStage::LeaveWanted | GroupStage::Leaving => Err(Status::ENOTMEMBER),
        GroupStage::Ended => Err(Status::ECLOSED),
    }
}

/// Whether a message of `len` bytes to the group can be had so.
fn check_service(group: &Group, service: u32, len: usize) -> Result<(), Status> {
    let (level, flags) = (service & SERVICE_MASK, service & !SERVICE_MASK);
    if level > SAFE || flags & !FLAGS_KNOWN != 0 {
        return Err(Status::EINVAL);
    }
    if flags & RECEIPT != 0 {
        return Err(Status::ENOTSUP);
    }
    // One or the other.
    if flags & (PRIO_HIGH | PRIO_BULK) == PRIO_HIGH | PRIO_BULK {
        return Err(Status::EINVAL);
    }
    // Only a member has a view, and nobody learns what became of a message without order.
    let no_view = level == UNRELIABLE || !group.is_membership();
    if flags & SAME_VIEW != 0 && no_view {
        return Err(Status::EINVAL);
    }
    if level == UNRELIABLE && len > UNRELIABLE_LEN_MAX {
        return Err(Status::EMSGSIZE);
    }
    Ok(())
}

/// The lowest service level: no order, no repair of loss.
const UNRELIABLE: u32 = 0;
const AGREED: u32 = 4;
/// The highest: total order, and held by every member before delivery.
const SAFE: u32 = 5;
/// Or-ed into a service: not delivered to the sending session.
const NO_SELF: u32 = 0x100;
/// Or-ed into a service: delivered in the view that the session was shown last, or not at all.
const SAME_VIEW: u32 = 0x400;
const SERVICE_MASK: u32 = 0xFF;
/// Or-ed into a service: a receipt for each delivery; not built yet.
const RECEIPT: u32 = 0x200;
const FLAGS_KNOWN: u32 = NO_SELF | RECEIPT | SAME_VIEW | PRIO_HIGH | PRIO_BULK;
