//! Tests only: the client's side of a session by hand, honest or not, and an epoll set for the
//! engine's side.

use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use anasazi_queue::hello::{Hello, MAGIC, Welcome, slow};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{DoneRecord, SESSION_VERSION, TakenEntry, TakenRecord, event};
use anasazi_queue::ring::{CAPACITY_MIN, Consumer, Direction, Layout, Producer, PushError};
use anasazi_queue::wake;

use super::socket;
use crate::session::Readiness;

/// What every honest client has sealed.
pub const SEALS: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

/// A client without any of the client library's comforts.
pub struct RawClient {
    /// `None` once it hung up.
    pub socket: Option<OwnedFd>,
    pub memory: OwnedFd,
    pub wake_engine: OwnedFd,
    pub wake_client: OwnedFd,
    pub layout: Layout,
    pub producer: Producer,
    pub consumer: Consumer,
    pub name: String,
    base: *mut u8,
    /// Records taken, and not released while this is true.
    pub hoards: Cell<bool>,
    /// Tags of messages that the engine said it has taken, and of those that it said are done.
    pub told: RefCell<(Vec<u64>, Vec<u64>)>,
    /// Places of messages that the engine said it has taken ahead of others.
    pub ahead: RefCell<Vec<u64>>,
}

impl RawClient {
    /// With rings of the smallest size, over a connected socket.
    pub fn new(socket: OwnedFd) -> Self {
        Self::with_capacity(socket, CAPACITY_MIN)
    }

    pub fn with_capacity(socket: OwnedFd, capacity: u32) -> Self {
        let layout = Layout::new(capacity, capacity).expect("valid");
        let (memory, name) = memfd(layout.len(), 0);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let (anywhere, fd) = (std::ptr::null_mut(), memory.as_raw_fd());
        // SAFETY: a fresh mapping.
        let base = unsafe { libc::mmap(anywhere, layout.len(), access, libc::MAP_SHARED, fd, 0) };
        assert_ne!(base, libc::MAP_FAILED);
        let base = base.cast();
        // SAFETY: mapped until this is dropped; the only ends on this side.
        let (producer, consumer) = unsafe {
            (
                Producer::attach(base, layout, Direction::Send),
                Consumer::attach(base, layout, Direction::Receive),
            )
        };
        Self {
            socket: Some(socket),
            memory,
            wake_engine: eventfd(libc::EFD_NONBLOCK),
            wake_client: eventfd(libc::EFD_NONBLOCK),
            layout,
            producer,
            consumer,
            name,
            base,
            hoards: Cell::new(false),
            told: RefCell::default(),
            ahead: RefCell::default(),
        }
    }

    pub fn hello(&self) -> Hello {
        Hello {
            magic: MAGIC,
            version_min: SESSION_VERSION,
            version_max: SESSION_VERSION,
            send_capacity: self.layout.capacity(Direction::Send),
            receive_capacity: self.layout.capacity(Direction::Receive),
            slow: slow::DISCONNECT,
            ..Hello::default()
        }
    }

    pub fn fds(&self) -> [RawFd; 3] {
        [&self.memory, &self.wake_engine, &self.wake_client].map(AsRawFd::as_raw_fd)
    }

    /// Says hello as it should be said.
    pub fn greet(&self) {
        self.say(self.hello().as_bytes(), &self.fds());
    }

    /// Says anything.
    pub fn say(&self, bytes: &[u8], fds: &[RawFd]) {
        let socket = self.socket.as_ref().expect("not hung up");
        socket::send_with(socket.as_fd(), bytes, fds).expect("sent");
    }

    /// The engine's answer, or `None` if it hung up or has said nothing.
    pub fn welcome(&self) -> Option<Welcome> {
        let mut buffer = [0; size_of::<Welcome>()];
        let socket = self.socket.as_ref().expect("not hung up");
        let received = socket::receive(socket.as_fd(), &mut buffer).ok()?;
        Welcome::split_from(&buffer[..received.len]).map(|(welcome, _)| welcome)
    }

    /// The engine closed the connection.
    pub fn is_hung_up(&self) -> bool {
        let socket = self.socket.as_ref().expect("not hung up");
        match socket::receive(socket.as_fd(), &mut [0; 512]) {
            Ok(received) => received.len == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Puts a record into the send ring, and wakes the engine if it sleeps.
    pub fn push(&self, kind: u16, record: &[u8], rest: &[u8]) -> Result<(), PushError> {
        self.producer.push(kind, 0, &[record, rest])?;
        if self.producer.wake_needed() {
            self.wake_engine();
        }
        Ok(())
    }

    pub fn wake_engine(&self) {
        wake::wake(self.wake_engine.as_raw_fd());
    }

    /// The next record from the receive ring that is for an application.
    pub fn next(&self) -> Option<(u16, Vec<u8>)> {
        loop {
            let (kind, bytes) = self.next_of_all()?;
            let mut told = self.told.borrow_mut();
            match kind {
                event::TAKEN => {
                    let (head, mut rest) = TakenRecord::split_from(&bytes).expect("long enough");
                    while let Some((entry, after)) = TakenEntry::split_from(rest) {
                        told.0.push(entry.tag);
                        let units = entry.ahead.checked_sub(1);
                        let place = units.map(|units| head.up_to + 8 * u64::from(units));
                        self.ahead.borrow_mut().extend(place);
                        rest = after;
                    }
                }
                event::DONE => {
                    told.1.push(DoneRecord::split_from(&bytes).expect("long enough").0.tag);
                }
                _ => return Some((kind, bytes)),
            }
        }
    }

    fn next_of_all(&self) -> Option<(u16, Vec<u8>)> {
        let record = self.consumer.next().expect("an honest engine")?;
        // SAFETY: not released yet.
        let bytes = unsafe { record.bytes() }.to_vec();
        if !self.hoards.get() {
            self.consumer.release(record.position);
            if self.consumer.room_wanted() {
                self.wake_engine();
            }
        }
        Some((record.kind, bytes))
    }

    /// Every record that is there.
    pub fn drain(&self) -> Vec<(u16, Vec<u8>)> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// The last record with its status and reason, if it is a CLOSED.
    pub fn closed(&self) -> Option<(i32, String)> {
        let (kind, bytes) = self.drain().pop()?;
        let status = i32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?);
        let reason = String::from_utf8(bytes.get(8..)?.to_vec()).ok()?;
        (kind == event::CLOSED).then_some((status, reason))
    }

    /// Whether the client was woken since the last time.
    pub fn was_woken(&self) -> bool {
        count(&self.wake_client) > 0
    }

    /// Any word of the memory.
    pub fn word(&self, index: usize) -> &AtomicU64 {
        let index = index % (self.layout.len() / 8);
        // SAFETY: aligned and inside the mapping.
        unsafe { AtomicU64::from_ptr(self.base.add(index * 8).cast()) }
    }

    /// Descriptors and mappings of this process that lead to the client's memory.
    pub fn traces(&self) -> (usize, usize) {
        let fds = std::fs::read_dir("/proc/self/fd").expect("proc").filter(|entry| {
            let link = entry.as_ref().ok().and_then(|entry| entry.path().read_link().ok());
            link.is_some_and(|link| link.to_string_lossy().contains(&self.name))
        });
        let maps = std::fs::read_to_string("/proc/self/maps").expect("proc");
        (fds.count(), maps.lines().filter(|line| line.contains(&self.name)).count())
    }
}

impl Drop for RawClient {
    fn drop(&mut self) {
        // SAFETY: our own mapping.
        unsafe { libc::munmap(self.base.cast(), self.layout.len()) };
    }
}

/// A memfd of that size, sealed but for `unsealed`, and the name that it has in /proc.
pub fn memfd(len: usize, unsealed: i32) -> (OwnedFd, String) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!("raw-client-{}-", COUNT.fetch_add(1, Ordering::Relaxed));
    let c_name = CString::new(name.as_bytes()).expect("no NUL");
    // SAFETY: a C string.
    let fd =
        unsafe { libc::memfd_create(c_name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    assert!(fd >= 0);
    // SAFETY: just made.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: no pointers.
    unsafe {
        assert_eq!(libc::ftruncate(fd.as_raw_fd(), len as i64), 0);
        assert_eq!(libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, SEALS & !unsealed), 0);
    }
    (fd, name)
}

pub fn eventfd(flags: i32) -> OwnedFd {
    // SAFETY: no pointers.
    let fd = unsafe { libc::eventfd(0, flags | libc::EFD_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: just made.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Reads a non-empty eventfd, or says 0.
pub fn count(fd: &OwnedFd) -> u64 {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut count = 0_u64;
    // SAFETY: one entry; room for 8 bytes.
    unsafe {
        if libc::poll(&raw mut entry, 1, 0) == 1 {
            libc::read(fd.as_raw_fd(), (&raw mut count).cast(), 8);
        }
    }
    count
}

/// Adds to an eventfd.
pub fn add(fd: &OwnedFd, value: u64) {
    // SAFETY: 8 bytes.
    let written = unsafe { libc::write(fd.as_raw_fd(), (&raw const value).cast(), 8) };
    assert_eq!(written, 8);
}

/// Takes the non-blocking mode away, as any holder of a descriptor can.
pub fn make_blocking(fd: &OwnedFd) {
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, 0) }, 0);
}

/// An epoll set.
pub struct Epoll(OwnedFd);

#[allow(clippy::new_without_default, reason = "tests only, and it can fail")]
impl Epoll {
    pub fn new() -> Self {
        // SAFETY: no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(fd >= 0);
        // SAFETY: just made.
        Self(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// The keys of what is ready within that time.
    pub fn wait(&self, timeout_ms: i32) -> Vec<u64> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        // SAFETY: room for 64 events.
        let count =
            unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), 64, timeout_ms) };
        events[..usize::try_from(count).unwrap_or(0)].iter().map(|event| event.u64).collect()
    }

    fn control(&self, operation: i32, fd: RawFd, events: i32, key: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: key };
        // SAFETY: one event.
        let done = unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &raw mut event) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Readiness for Epoll {
    fn add(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN, key)
    }

    fn add_edge(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN | libc::EPOLLET, key)
    }

    fn remove(&self, fd: RawFd) {
        let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
    }
}
