//! Many datagrams in one system call, also when the kernel has put several of one sender together.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::sys::address;

/// Room for one arrival: [`ARRIVAL_LEN_MAX`] bytes.
pub(crate) type Buffer = Box<[u8]>;

/// Buffers for one call. A sink may take one of them away if it puts another in its place.
pub(crate) struct ReceiveBatch {
    buffers: Vec<Buffer>,
    addresses: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
}

/// A datagram, or several of one sender that the kernel has put together.
pub(crate) struct Arrival<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) buffer: &'a mut Buffer,
    /// Bytes that arrived.
    pub(crate) len: usize,
    /// All datagrams have this length but the last one, which may be shorter; at least 1, and
    /// `len` at least for a single one.
    pub(crate) part_len: usize,
}

/// What one call brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Everything that had arrived was taken.
    pub(crate) drained: bool,
    /// The kernel's count of dropped arrivals on this socket, if it said anything; it wraps.
    pub(crate) dropped: Option<u32>,
}

/// Room for the control messages of one arrival: two numbers (the length of a part and the drop
/// counter).
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

impl ReceiveBatch {
    pub(crate) fn new() -> Self {
        Self {
            buffers: (0..ARRIVALS_MAX).map(|_| new_buffer()).collect(),
            addresses: vec![address::empty(); ARRIVALS_MAX],
            controls: vec![Control([0; CONTROL_LEN]); ARRIVALS_MAX],
        }
    }

    /// Takes up to [`ARRIVALS_MAX`] arrivals from a socket and gives them to `sink`, in order. An
    /// error may be one that the network reported for an earlier send; then nothing was taken.
    pub(crate) fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        mut sink: impl FnMut(Arrival<'_>),
    ) -> io::Result<Outcome> {
        let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; ARRIVALS_MAX];
        // SAFETY: plain old data, for which all zeroes is a value.
        let mut headers: [libc::mmsghdr; ARRIVALS_MAX] = unsafe { std::mem::zeroed() };
        let slots = self.buffers.iter_mut().zip(&mut self.addresses).zip(&mut self.controls);
        for ((slot, vector), header) in slots.zip(&mut vectors).zip(&mut headers) {
            let ((buffer, address), control) = slot;
            let header = &mut header.msg_hdr;
            let iov_base = buffer.as_mut_ptr().cast();
            header.msg_iov = vector.write(libc::iovec { iov_base, iov_len: ARRIVAL_LEN_MAX });
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut *address).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_LEN as _;
        }
        let (room, flags) = (ARRIVALS_MAX as libc::c_uint, libc::MSG_DONTWAIT as _);
        let none = std::ptr::null_mut();
        // SAFETY: every header points at memory of ours that outlives the call, as long as it says.
        let count =
            unsafe { libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), room, flags, none) };
        if count < 0 {
            return nothing(io::Error::last_os_error());
        }
        let count = count as usize;
        let mut dropped = None;
        let arrivals = self.buffers.iter_mut().zip(&self.addresses);
        for (header, (buffer, from)) in headers[..count].iter().zip(arrivals) {
            let (part_len, drops) = read_control(&header.msg_hdr);
            dropped = drops.or(dropped);
            // Always an internet address; were it not, nobody could be answered.
            let Some(from) = address::decode(from, header.msg_hdr.msg_namelen) else { continue };
            let len = (header.msg_len as usize).min(buffer.len());
            let part_len = part_len.filter(|part_len| *part_len > 0).unwrap_or_else(|| len.max(1));
            sink(Arrival { from, buffer, len, part_len });
        }
        Ok(Outcome { drained: count < ARRIVALS_MAX, dropped })
    }
}

/// The result when no arrival was taken.
fn nothing(error: io::Error) -> io::Result<Outcome> {
    match error.kind() {
        io::ErrorKind::WouldBlock => Ok(Outcome { drained: true, dropped: None }),
        io::ErrorKind::Interrupted => Ok(Outcome::default()),
        _ => Err(error),
    }
}

pub(crate) fn new_buffer() -> Buffer {
    vec![0; ARRIVAL_LEN_MAX].into_boxed_slice()
}

/// The length of the parts, if the arrival is a run, and the drop counter, if it was sent along.
fn read_control(header: &libc::msghdr) -> (Option<usize>, Option<u32>) {
    let (mut part_len, mut dropped) = (None, None);
    // SAFETY: the kernel filled the control buffer of this header, and set its length to what it
    // filled.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return null or a whole control message within the
    // buffer.
    while let Some(message) = unsafe { next.as_ref() } {
        // SAFETY: the data of both messages below is four bytes; they may not be aligned.
        let data = unsafe { libc::CMSG_DATA(message) };
        match (message.cmsg_level, message.cmsg_type) {
            (libc::SOL_UDP, libc::UDP_GRO) => {
                // SAFETY: an int, of which only the lower half is used.
                part_len = usize::try_from(unsafe { data.cast::<i32>().read_unaligned() }).ok();
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                // SAFETY: an unsigned int.
                dropped = Some(unsafe { data.cast::<u32>().read_unaligned() });
            }
            _ => {}
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        next = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    (part_len, dropped)
}

/// Arrivals per system call; each may be a run of datagrams.
pub(crate) const ARRIVALS_MAX: usize = 32;
/// No UDP payload, and no run, is longer.
const ARRIVAL_LEN_MAX: usize = 1 << 16;
const CONTROL_LEN: usize = 64;

// SAFETY: CMSG_SPACE only computes.
const _: () = assert!(2 * unsafe { libc::CMSG_SPACE(4) } as usize <= CONTROL_LEN);
