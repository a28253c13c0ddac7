//! Many datagrams in one system call, runs of equal-sized ones as one (UDP_SEGMENT), without
//! copying.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use bytes::Bytes;
use socket2::SockAddr;

use crate::transport::Target;

/// Consecutive datagrams of a batch that go to one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) to: SocketAddr,
    /// One, or several of which all have the length of the first but the last, which may be
    /// shorter.
    pub(crate) count: usize,
}

/// Sends the first datagrams of `batch` as `runs` says, in order, as many runs as one call can
/// take. Returns how many runs were sent: at least one, or the error of the first.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    batch: &[(Target, Bytes)],
    runs: &[Run],
) -> io::Result<usize> {
    let mut addresses: [Option<SockAddr>; RUNS_MAX] = [const { None }; RUNS_MAX];
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; VECTORS_MAX];
    let mut controls = [const { MaybeUninit::<Control>::uninit() }; RUNS_MAX];
    // SAFETY: plain old data, for which all zeroes is a value.
    let mut headers: [libc::mmsghdr; RUNS_MAX] = unsafe { std::mem::zeroed() };
    let (mut batch, mut free, mut used) = (batch, &mut vectors[..], 0);
    let slots = headers.iter_mut().zip(&mut addresses).zip(&mut controls);
    for (run, ((header, address), control)) in runs.iter().zip(slots) {
        if run.count > free.len() {
            break;
        }
        let (datagrams, batch_rest) = batch.split_at(run.count);
        let (own, free_rest) = free.split_at_mut(run.count);
        (batch, free) = (batch_rest, free_rest);
        for (vector, (_, bytes)) in own.iter_mut().zip(datagrams) {
            // The kernel only reads.
            let iov_base = bytes.as_ptr().cast_mut().cast();
            vector.write(libc::iovec { iov_base, iov_len: bytes.len() });
        }
        let address = address.insert(run.to.into());
        header.msg_hdr.msg_name = address.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = address.len();
        header.msg_hdr.msg_iov = own.as_mut_ptr().cast();
        header.msg_hdr.msg_iovlen = run.count as _;
        if run.count > 1 {
            let control = control.write(Control::segment(datagrams[0].1.len() as u16));
            header.msg_hdr.msg_control = (&raw mut *control).cast();
            header.msg_hdr.msg_controllen = size_of::<Control>() as _;
        }
        used += 1;
    }
    let (count, flags) = (used as libc::c_uint, libc::MSG_DONTWAIT as _);
    // SAFETY: the first `used` headers are filled, and what they point at outlives the call.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, flags) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}

/// One control message that says how long the parts of a run are.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    segment_len: u16,
    _padding: [u8; 6],
}

impl Control {
    fn segment(segment_len: u16) -> Self {
        // SAFETY: plain old data, for which all zeroes is a value.
        let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
        header.cmsg_level = libc::SOL_UDP;
        header.cmsg_type = libc::UDP_SEGMENT;
        // SAFETY: only computes.
        header.cmsg_len = unsafe { libc::CMSG_LEN(size_of::<u16>() as u32) } as _;
        Self { header, segment_len, _padding: [0; 6] }
    }
}

/// Runs per system call.
pub(crate) const RUNS_MAX: usize = 64;
/// Datagrams per run: what every kernel takes that knows runs.
pub(crate) const RUN_COUNT_MAX: usize = 64;
/// Bytes per run: below what IPv4 and IPv6 can carry in one datagram.
pub(crate) const RUN_LEN_MAX: usize = 65_000;
/// Datagrams per system call.
const VECTORS_MAX: usize = 512;

const _: () = assert!(RUN_COUNT_MAX <= VECTORS_MAX);
const _: () = assert!(RUN_LEN_MAX <= u16::MAX as usize);
// SAFETY: CMSG_SPACE only computes.
const _: () = assert!(size_of::<Control>() == unsafe { libc::CMSG_SPACE(2) } as usize);
// SAFETY: CMSG_LEN only computes.
const _: () =
    assert!(std::mem::offset_of!(Control, segment_len) == unsafe { libc::CMSG_LEN(0) } as usize);
