//! Sessions and groups.

use std::collections::HashSet;
use std::ffi::c_char;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::Config;
use crate::generated::{
    ANZ_ECLOSED, ANZ_EFORKED, anz_conn, anz_conn_close, anz_conn_fd, anz_conn_self, anz_conn_stats,
    anz_conn_stats_t, anz_conn_wait, anz_conn_wake, anz_connect, anz_group, anz_group_name,
    anz_group_wait_writable, anz_join, anz_leave, anz_mcast, anz_mcast_groups, anz_member,
    anz_member_name, anz_peer, anz_query,
};
use crate::status::{Failure, Status, c_text, explained, text};

/// A member of a group; unique for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// Its node.
    pub node: u64,
    /// Its session there.
    pub session: u64,
}

impl From<anz_member> for Member {
    fn from(of: anz_member) -> Self {
        Self { node: of.node, session: of.session }
    }
}

impl From<Member> for anz_member {
    fn from(of: Member) -> Self {
        Self { node: of.node, session: of.session }
    }
}

/// Figures of a session: `anz_conn_stats_t`.
pub type Stats = anz_conn_stats_t;

/// A session with an engine. Clones are the same session, which closes with the last one, or with
/// [`close`](Self::close).
#[derive(Clone, Debug)]
pub struct Session(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    conn: *mut anz_conn,
    /// How many batches and held messages there are; and [`CLOSING`].
    borrows: AtomicUsize,
    /// Bytes of held messages.
    held_bytes: AtomicUsize,
    /// Bytes that may be held; 0: not known yet.
    held_bytes_max: AtomicUsize,
    /// Handles of groups that have not ended, to be left if closing has to wait.
    groups: Mutex<HashSet<usize>>,
}

/// To be closed with the last borrow.
const CLOSING: usize = 1 << (usize::BITS - 1);
/// Messages held without a copy may take up this part of the receive ring: what is held is not
/// there for the engine.
const HELD_PART: usize = 4;

// SAFETY: a handle, which the library looks up; calls that are for one thread at a time answer
// ANZ_EBUSY to others.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Session {
    pub(crate) fn of(conn: *mut anz_conn) -> Self {
        Self(Arc::new(Inner {
            conn,
            borrows: AtomicUsize::new(0),
            held_bytes: AtomicUsize::new(0),
            held_bytes_max: AtomicUsize::new(0),
            groups: Mutex::default(),
        }))
    }

    /// A session with the engine that the URL names; see `anz_connect()`. Blocks.
    ///
    /// # Errors
    /// As `anz_connect()`.
    pub fn connect(url: Option<&str>, config: Option<&Config>) -> Result<Self, Failure> {
        let url = url.map(|url| c_text("URL", url)).transpose()?;
        let url = url.as_ref().map_or(ptr::null(), |url| url.as_ptr());
        let mut made = ptr::null_mut();
        // SAFETY: texts or NULL, a configuration or NULL, places for the handle and the reason.
        explained(|error| unsafe {
            anz_connect(url, Config::handle(config), &raw mut made, error)
        })?;
        Ok(Self::of(made))
    }

    /// Readable when there is something to receive. Constant.
    ///
    /// # Errors
    /// `ANZ_ECLOSED`, `ANZ_EFORKED`.
    pub fn fd(&self) -> Result<i32, Status> {
        // SAFETY: a handle.
        Status::check(unsafe { anz_conn_fd(self.conn()?) })
    }

    /// This session's identity; `None` before its first connection.
    ///
    /// # Errors
    /// `ANZ_ECLOSED`, `ANZ_EFORKED`.
    pub fn member(&self) -> Result<Option<Member>, Status> {
        let mut member = anz_member { node: 0, session: 0 };
        // SAFETY: a handle and a place.
        Status::check(unsafe { anz_conn_self(self.conn()?, &raw mut member) })?;
        Ok(Some(Member::from(member)).filter(|member| *member != Member::default()))
    }

    /// "node/session", for people.
    ///
    /// # Errors
    /// `ANZ_ECLOSED`, `ANZ_EFORKED`.
    pub fn name_of(&self, member: Member) -> Result<String, Status> {
        let (member, mut name) = (member.into(), [0 as c_char; 64]);
        let conn = self.conn()?;
        // SAFETY: a handle, a member, and a place of this length; the name ends with 0.
        unsafe {
            Status::check(anz_member_name(conn, &raw const member, name.as_mut_ptr(), name.len()))?;
            Ok(text(name.as_ptr()))
        }
    }

    /// Blocks until there is something to receive, at most so long.
    ///
    /// # Errors
    /// `ANZ_ETIMEDOUT`; `ANZ_EINTR`: a signal, or [`wake`](Self::wake).
    pub fn wait(&self, at_most: Option<Duration>) -> Result<(), Status> {
        // SAFETY: a handle.
        Status::check(unsafe { anz_conn_wait(self.conn()?, deadline_ns(at_most)) }).map(drop)
    }

    /// Ends another thread's wait, or the next one.
    ///
    /// # Errors
    /// `ANZ_ECLOSED`, `ANZ_EFORKED`.
    pub fn wake(&self) -> Result<(), Status> {
        // SAFETY: a handle.
        Status::check(unsafe { anz_conn_wake(self.conn()?) }).map(drop)
    }

    /// Figures.
    ///
    /// # Errors
    /// `ANZ_ECLOSED`, `ANZ_EFORKED`.
    pub fn stats(&self) -> Result<Stats, Status> {
        // SAFETY: all of it is numbers, for which 0 is one.
        let mut stats: Stats = unsafe { std::mem::zeroed() };
        stats.struct_size = size_of::<Stats>() as u32;
        // SAFETY: a handle and a place that says how large it is.
        Status::check(unsafe { anz_conn_stats(self.conn()?, &raw mut stats) })?;
        Ok(stats)
    }

    /// Asks to join a group; done at the view that has us.
    ///
    /// # Errors
    /// As `anz_join()`.
    pub fn join(&self, name: &str, flags: u32) -> Result<Group, Failure> {
        let c_name = c_text("group name", name)?;
        let mut made = ptr::null_mut();
        // SAFETY: a handle, text, and a place for the handle.
        let status = unsafe {
            anz_join(self.conn()?, c_name.as_ptr(), flags, ptr::null_mut(), &raw mut made)
        };
        Status::check(status)?;
        Ok(self.group(made))
    }

    /// An address for one member.
    ///
    /// # Errors
    /// As `anz_peer()`.
    pub fn peer(&self, domain: Option<&str>, to: Member) -> Result<Group, Failure> {
        let domain = domain.map(|domain| c_text("domain", domain)).transpose()?;
        let domain = domain.as_ref().map_or(ptr::null(), |domain| domain.as_ptr());
        let mut made = ptr::null_mut();
        // SAFETY: a handle, text or NULL, a member, and a place for the handle.
        Status::check(unsafe { anz_peer(self.conn()?, domain, to.into(), &raw mut made) })?;
        Ok(self.group(made))
    }

    fn group(&self, handle: *mut anz_group) -> Group {
        self.groups().insert(handle.addr());
        Group { session: self.clone(), handle }
    }

    /// Forgets a group that has ended.
    pub(crate) fn forget(&self, handle: usize) {
        self.groups().remove(&handle);
    }

    fn groups(&self) -> std::sync::MutexGuard<'_, HashSet<usize>> {
        self.0.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message to several groups of this session, ordered across them.
    ///
    /// # Errors
    /// As `anz_mcast_groups()`.
    pub fn mcast_groups(
        groups: &[&Group],
        service: u32,
        data: &[u8],
        tag: u64,
    ) -> Result<(), Status> {
        for group in groups {
            group.session.conn()?;
        }
        let handles: Vec<*mut anz_group> = groups.iter().map(|group| group.handle).collect();
        // SAFETY: so many handles, and so much data.
        let status = unsafe {
            anz_mcast_groups(
                handles.as_ptr(),
                handles.len(),
                service,
                data.as_ptr().cast(),
                data.len(),
                tag,
            )
        };
        Status::check(status).map(drop)
    }

    /// A request as JSON, answered by events of the kind `Reply`.
    ///
    /// # Errors
    /// As `anz_query()`.
    pub fn query(&self, json: &str, tag: u64) -> Result<(), Status> {
        let conn = self.conn()?;
        // SAFETY: a handle, and text of this length.
        Status::check(unsafe { anz_query(conn, json.as_ptr().cast(), json.len(), tag) }).map(drop)
    }

    /// Leaves all groups and ends the session; what it is asked from then on answers
    /// `ANZ_ECLOSED`. Messages that are held keep what is below it until the last of them goes.
    pub fn close(&self) {
        let before = self.0.borrows.fetch_or(CLOSING, Ordering::AcqRel);
        if before & CLOSING != 0 {
            return;
        }
        if before == 0 || self.is_inherited() {
            self.0.close();
            return;
        }
        for handle in self.groups().drain() {
            // SAFETY: a handle, which may be stale.
            unsafe { anz_leave(ptr::with_exposed_provenance_mut(handle)) };
        }
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.0.borrows.load(Ordering::Acquire) & CLOSING != 0
    }

    /// Whether this is a child, forked since the session was opened.
    pub fn is_inherited(&self) -> bool {
        // SAFETY: a handle.
        unsafe { anz_conn_fd(self.0.conn) == ANZ_EFORKED }
    }

    pub(crate) fn conn(&self) -> Result<*mut anz_conn, Status> {
        if self.is_closed() { Err(Status(ANZ_ECLOSED)) } else { Ok(self.0.conn) }
    }

    /// From now until [`give_back`](Self::give_back) what was received stays where it is.
    pub(crate) fn borrow(&self) -> Result<*mut anz_conn, Status> {
        let more = |borrows: usize| (borrows & CLOSING == 0).then_some(borrows + 1);
        match self.0.borrows.fetch_update(Ordering::AcqRel, Ordering::Acquire, more) {
            Ok(_) => Ok(self.0.conn),
            Err(_) => Err(Status(ANZ_ECLOSED)),
        }
    }

    pub(crate) fn give_back(&self) {
        if self.0.borrows.fetch_sub(1, Ordering::AcqRel) == CLOSING | 1 {
            self.0.close();
        }
    }

    /// Whether so much more may be held; counted if so. The session is borrowed.
    pub(crate) fn hold(&self, len: usize) -> bool {
        let mut most = self.0.held_bytes_max.load(Ordering::Relaxed);
        if most == 0 {
            most = self.stats().map_or(0, |stats| stats.receive_ring_size as usize / HELD_PART);
            self.0.held_bytes_max.store(most, Ordering::Relaxed);
        }
        let more = |held: usize| held.checked_add(len).filter(|held| *held <= most);
        self.0.held_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(crate) fn unhold(&self, len: usize) {
        self.0.held_bytes.fetch_sub(len, Ordering::Relaxed);
    }

    /// The handle, also while closing waits; only for who has borrowed.
    pub(crate) fn borrowed(&self) -> *mut anz_conn {
        self.0.conn
    }
}

impl Inner {
    fn close(&self) {
        // SAFETY: a handle, not used again: who borrowed is done, and all others ask first.
        unsafe { anz_conn_close(self.conn) };
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.borrows.load(Ordering::Acquire) & CLOSING == 0 {
            self.close();
        }
    }
}

/// A group, or the address of a member. It ends with the event `Left`; dropping it does nothing.
#[derive(Clone, Debug)]
pub struct Group {
    session: Session,
    handle: *mut anz_group,
}

// SAFETY: a handle, which the library looks up.
unsafe impl Send for Group {}
// SAFETY: as above.
unsafe impl Sync for Group {}

impl Group {
    /// What [`Event::group`](crate::Event::group) says for its events; never given out twice.
    pub fn key(&self) -> usize {
        self.handle.addr()
    }

    /// Its session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Its name.
    ///
    /// # Errors
    /// `ANZ_ECLOSED`: it has ended.
    pub fn name(&self) -> Result<String, Status> {
        self.session.conn()?;
        let mut name = [0 as c_char; 512];
        // SAFETY: a handle and a place of this length; the name ends with 0.
        unsafe {
            Status::check(anz_group_name(self.handle, name.as_mut_ptr(), name.len()))?;
            Ok(text(name.as_ptr()))
        }
    }

    /// Sends a message, which is copied.
    ///
    /// # Errors
    /// `ANZ_EAGAIN`: wait for the event `Writable` of this group; else as `anz_mcast()`.
    pub fn mcast(&self, service: u32, data: &[u8], tag: u64) -> Result<(), Status> {
        self.session.conn()?;
        // SAFETY: a handle, and so much data.
        let status =
            unsafe { anz_mcast(self.handle, service, data.as_ptr().cast(), data.len(), tag) };
        Status::check(status).map(drop)
    }

    /// Asks to leave; done at the event `Left`.
    ///
    /// # Errors
    /// `ANZ_ECLOSED`: it has ended.
    pub fn leave(&self) -> Result<(), Status> {
        self.session.conn()?;
        // SAFETY: a handle.
        Status::check(unsafe { anz_leave(self.handle) }).map(drop)
    }

    /// Blocks until there is room to send, at most so long.
    ///
    /// # Errors
    /// `ANZ_ETIMEDOUT`; `ANZ_EINTR`: a signal, or [`Session::wake`].
    pub fn wait_writable(&self, at_most: Option<Duration>) -> Result<(), Status> {
        self.session.conn()?;
        // SAFETY: a handle.
        let status = unsafe { anz_group_wait_writable(self.handle, deadline_ns(at_most)) };
        Status::check(status).map(drop)
    }
}

/// For deadlines: so long from now on CLOCK_MONOTONIC; -1, for ever, for none.
fn deadline_ns(after: Option<Duration>) -> i64 {
    let Some(after) = after else { return -1 };
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for the time.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let now_ns = now.tv_sec * 1_000_000_000 + now.tv_nsec;
    now_ns.saturating_add(i64::try_from(after.as_nanos()).unwrap_or(i64::MAX))
}
