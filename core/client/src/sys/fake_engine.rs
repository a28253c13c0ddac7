//! The other end of a session for tests: takes the greeting and then does exactly what the test
//! says, right or wrong.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;
use std::time::Duration;
use std::{mem, ptr, slice};

use anasazi_queue::hello::{Hello, MAGIC, Welcome};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{
    ClosedRecord, LeftRecord, Member, MessageRecord, ReplyRecord, ViewRecord, event,
};
use anasazi_queue::ring::{Consumer, Direction, Layout, Producer};
use anasazi_queue::status::Status;
use anasazi_queue::wake;

use crate::connector::Connector;
use crate::failure::Failure;

/// Hands out one end of fresh socket pairs and keeps the others for the test.
#[derive(Default)]
pub(crate) struct Listener {
    waiting: Mutex<Vec<OwnedFd>>,
    /// What `open` fails with, if anything.
    pub(crate) refuse_with: Mutex<Option<Status>>,
    /// Answers greetings inside `turn`, as an engine does that the caller drives.
    pub(crate) welcome_in_turn: Mutex<Option<Welcome>>,
    pub(crate) accepted: Mutex<Vec<FakeEngine>>,
}

/// An engine with one session.
pub(crate) struct FakeEngine {
    socket: OwnedFd,
    pub(crate) hello: Hello,
    pub(crate) requests: Consumer,
    pub(crate) events: Producer,
    wake_engine: OwnedFd,
    wake_client: OwnedFd,
    base: *mut u8,
    layout: Layout,
}

// SAFETY: it owns what it points to.
unsafe impl Send for FakeEngine {}
// SAFETY: its ends are made for many threads, and nothing else changes.
unsafe impl Sync for FakeEngine {}

impl Connector for Listener {
    fn open(&self) -> Result<OwnedFd, Failure> {
        if let Some(status) = *self.refuse_with.lock().unwrap() {
            return Err(Failure::new(status, "the test refuses"));
        }
        let mut fds = [0; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        // SAFETY: room for two descriptors, which are ours alone.
        unsafe {
            assert_eq!(libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()), 0);
            self.waiting.lock().unwrap().push(OwnedFd::from_raw_fd(fds[0]));
            Ok(OwnedFd::from_raw_fd(fds[1]))
        }
    }

    fn turn(&self) {
        if let Some(welcome) = *self.welcome_in_turn.lock().unwrap()
            && let Some(engine) = self.accept(&welcome)
        {
            self.accepted.lock().unwrap().push(engine);
        }
    }
}

impl Listener {
    /// Takes the next greeting, if one came, and answers it.
    pub(crate) fn accept(&self, welcome: &Welcome) -> Option<FakeEngine> {
        let mut waiting = self.waiting.lock().unwrap();
        if waiting.is_empty() {
            return None;
        }
        let socket = waiting.remove(0);
        let (hello, fds) = receive_hello(socket.as_raw_fd()).expect("a greeting");
        assert_eq!(hello.magic, MAGIC);
        let [memory, wake_engine, wake_client] = fds;
        let layout = Layout::new(hello.send_capacity, hello.receive_capacity).unwrap();
        check_seals(memory.as_raw_fd(), layout.len());
        // SAFETY: maps what the client sent; the ends live as long as the mapping; welcome is plain
        // bytes.
        let engine = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let fd = memory.as_raw_fd();
            let base =
                libc::mmap(ptr::null_mut(), layout.len(), protection, libc::MAP_SHARED, fd, 0);
            assert_ne!(base, libc::MAP_FAILED);
            let base = base.cast::<u8>();
            let bytes = welcome.as_bytes();
            let sent = libc::send(
                socket.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
            );
            assert_eq!(sent, bytes.len() as isize);
            FakeEngine {
                socket,
                hello,
                requests: Consumer::attach(base, layout, Direction::Send),
                events: Producer::attach(base, layout, Direction::Receive),
                wake_engine,
                wake_client,
                base,
                layout,
            }
        };
        Some(engine)
    }

    /// Drops connections whose greeting was not taken.
    pub(crate) fn hang_up(&self) {
        self.waiting.lock().unwrap().clear();
    }

    pub(crate) fn has_caller(&self) -> bool {
        !self.waiting.lock().unwrap().is_empty()
    }
}

/// A record that the client put in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) kind: u16,
    pub(crate) bytes: Vec<u8>,
}

impl FakeEngine {
    /// The client's next record; waits for it, but not for ever.
    #[track_caller]
    pub(crate) fn request(&self) -> Request {
        loop {
            if let Some(request) = self.poll_request() {
                return request;
            }
            // A wake-up may be in vain: a record that was claimed first may be committed last.
            if self.requests.prepare_sleep() {
                wait_readable(self.wake_engine.as_raw_fd());
                wake::clear(self.wake_engine.as_raw_fd());
            }
        }
    }

    pub(crate) fn poll_request(&self) -> Option<Request> {
        let record = self.requests.next().expect("a sound ring")?;
        // SAFETY: the ring says that these bytes are there until the release.
        let bytes = unsafe { slice::from_raw_parts(record.data, record.len) }.to_vec();
        self.requests.release(record.position);
        if self.requests.room_wanted() {
            wake::wake(self.wake_client.as_raw_fd());
        }
        Some(Request { kind: record.kind, bytes })
    }

    pub(crate) fn push(&self, kind: u16, parts: &[&[u8]]) {
        self.events.push(kind, 0, parts).expect("room in the receive ring");
        if self.events.wake_needed() {
            wake::wake(self.wake_client.as_raw_fd());
        }
    }

    pub(crate) fn message(&self, handle: u32, sequence: u64, data: &[u8]) {
        let sender = Member { node: 1, session: 77 };
        let record = MessageRecord { handle, service: 4, sender, sequence, tag: sequence * 10 };
        self.push(event::MESSAGE, &[record.as_bytes(), data]);
    }

    /// As `message`; false if there is no room.
    pub(crate) fn try_message(&self, handle: u32, sequence: u64, data: &[u8]) -> bool {
        let record = MessageRecord { handle, sequence, ..MessageRecord::default() };
        let pushed = self.events.push(event::MESSAGE, 0, &[record.as_bytes(), data]).is_ok();
        if self.events.wake_needed() {
            wake::wake(self.wake_client.as_raw_fd());
        }
        pushed
    }

    pub(crate) fn view(&self, handle: u32, members: &[Member], reason: &str) {
        let record = ViewRecord {
            handle,
            cause: 1,
            members: members.len() as u32,
            reason_len: reason.len() as u32,
            ..ViewRecord::default()
        };
        let mut tail: Vec<u8> = members.iter().flat_map(|m| m.as_bytes().to_vec()).collect();
        tail.extend(std::iter::repeat_n(0, (members.len() * 4).next_multiple_of(8)));
        tail.extend_from_slice(reason.as_bytes());
        tail.push(0);
        self.push(event::VIEW, &[record.as_bytes(), &tail]);
    }

    pub(crate) fn left(&self, handle: u32, status: Status, reason: &str) {
        let record = LeftRecord { handle, status: status.0 };
        self.push(event::LEFT, &[record.as_bytes(), reason.as_bytes()]);
    }

    pub(crate) fn reply(&self, tag: u64, status: Status, more: bool, json: &str) {
        let record = ReplyRecord { tag, status: status.0, more: more.into() };
        self.push(event::REPLY, &[record.as_bytes(), json.as_bytes()]);
    }

    pub(crate) fn closed(&self, status: Status, reason: &str) {
        let record = ClosedRecord { status: status.0, reserved: 0 };
        self.push(event::CLOSED, &[record.as_bytes(), reason.as_bytes()]);
    }

    /// Waits until the client has closed the socket.
    pub(crate) fn await_end(&self) {
        wait_readable(self.socket.as_raw_fd());
        let mut byte = 0_u8;
        // SAFETY: room for one byte.
        let got = unsafe { libc::recv(self.socket.as_raw_fd(), (&raw mut byte).cast(), 1, 0) };
        assert!(got <= 0, "a session's socket carries nothing after the greeting");
    }

    /// Writes over the whole block, as no engine would.
    pub(crate) fn scribble(&self, byte: u8) {
        // SAFETY: inside the mapping; that the client gets nonsense is the point.
        unsafe { ptr::write_bytes(self.base, byte, self.layout.len()) };
        wake::wake(self.wake_client.as_raw_fd());
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        // SAFETY: mapped by `accept`, and the ends go with it.
        unsafe { libc::munmap(self.base.cast(), self.layout.len()) };
    }
}

/// A friendly answer.
pub(crate) fn welcome(session: u64) -> Welcome {
    Welcome {
        magic: MAGIC,
        version: anasazi_queue::record::SESSION_VERSION,
        reason_len: 0,
        status: 0,
        message_len_max: 10_000,
        node: 1,
        session,
        reason: [0; _],
        lane_key: 77,
    }
}

/// An unfriendly one.
pub(crate) fn refusal(status: Status, reason: &str) -> Welcome {
    let mut welcome = Welcome { version: 0, status: status.0, ..welcome(0) };
    welcome.reason_len = reason.len() as u16;
    welcome.reason[..reason.len()].copy_from_slice(reason.as_bytes());
    welcome
}

pub(crate) fn is_readable(fd: RawFd) -> bool {
    poll(fd, Duration::ZERO)
}

#[track_caller]
fn wait_readable(fd: RawFd) {
    assert!(poll(fd, Duration::from_secs(10)), "nothing came for 10 s");
}

fn poll(fd: RawFd, timeout: Duration) -> bool {
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry is given as one.
    unsafe { libc::poll(&raw mut entry, 1, timeout.as_millis() as i32) == 1 }
}

fn check_seals(memory: RawFd, len: usize) {
    // SAFETY: asks the kernel about a descriptor.
    unsafe {
        let seals = libc::fcntl(memory, libc::F_GET_SEALS);
        let wanted = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        assert_eq!(seals & wanted, wanted);
        let mut stat: libc::stat = mem::zeroed();
        assert_eq!(libc::fstat(memory, &raw mut stat), 0);
        assert_eq!(stat.st_size as usize, len);
    }
}

fn receive_hello(socket: RawFd) -> io::Result<(Hello, [OwnedFd; 3])> {
    #[repr(align(8))]
    struct Control([u8; 64]);
    let mut bytes = [0_u8; size_of::<Hello>()];
    let mut control = Control([0; 64]);
    wait_readable(socket);
    // SAFETY: the header points to what lives through the call; the kernel puts three descriptors
    // in, ours alone.
    unsafe {
        let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = control.0.len() as _;
        let got = libc::recvmsg(socket, &raw mut message, libc::MSG_CMSG_CLOEXEC);
        if got != bytes.len() as isize {
            return Err(io::Error::last_os_error());
        }
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        assert_eq!((*header).cmsg_len as usize, libc::CMSG_LEN(12) as usize);
        let fds = libc::CMSG_DATA(header).cast::<[RawFd; 3]>().read_unaligned();
        let (hello, _) = Hello::split_from(&bytes).unwrap();
        Ok((hello, fds.map(|fd| OwnedFd::from_raw_fd(fd))))
    }
}
