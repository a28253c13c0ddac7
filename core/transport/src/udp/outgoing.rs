//! Sending: runs of equal-sized datagrams as one, and a bounded queue for what finds no room in the
//! network.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};

use bytes::Bytes;

use crate::counters::TransportCounters;
use crate::sys::options::{self, TooLarge};
use crate::sys::send::{self, RUN_COUNT_MAX, RUN_LEN_MAX, RUNS_MAX, Run};
use crate::transport::Target;
use crate::udp::room::RoomWatch;

/// The sending half of a transport.
pub(crate) struct Outgoing {
    group: Option<SocketAddr>,
    /// The kernel knows runs.
    runs_known: bool,
    ipv6: bool,
    /// Where the path does not take them, the network device or its MTU: and from which length of
    /// their datagrams on.
    runs_refused: BTreeMap<SocketAddr, usize>,
    /// The plan of one call; kept for its memory.
    runs: Vec<Run>,
    /// In order; nothing is sent past it.
    waiting: VecDeque<(Target, Bytes)>,
    waiting_len: usize,
    room: RoomWatch,
    /// A send failed, perhaps for what the network answered to an earlier one.
    suspicion: bool,
}

impl Outgoing {
    pub(crate) fn new(
        group: Option<SocketAddr>,
        runs_known: bool,
        ipv6: bool,
        room: RoomWatch,
    ) -> Self {
        Self {
            group,
            runs_known,
            ipv6,
            runs_refused: BTreeMap::new(),
            runs: Vec::with_capacity(RUNS_MAX),
            waiting: VecDeque::new(),
            waiting_len: 0,
            room,
            suspicion: false,
        }
    }

    /// Readable while something waits and there is room for it.
    pub(crate) fn room_fd(&self) -> RawFd {
        self.room.fd()
    }

    /// Whether a failure since the last call suggests a look at the error queue.
    pub(crate) fn take_suspicion(&mut self) -> bool {
        std::mem::take(&mut self.suspicion)
    }

    /// See [`Transport::send`](crate::Transport::send).
    pub(crate) fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        batch: &[(Target, Bytes)],
        counters: &mut TransportCounters,
    ) {
        self.flush(socket, counters);
        let done = match self.waiting.is_empty() {
            true => self.transmit(socket, batch, counters),
            false => 0,
        };
        for (target, bytes) in &batch[done..] {
            if self.waiting_len + bytes.len() > WAITING_LEN_MAX
                || self.waiting.len() == WAITING_COUNT_MAX
            {
                counters.send_lost += 1;
                continue;
            }
            counters.send_waited += 1;
            self.waiting_len += bytes.len();
            self.waiting.push_back((*target, bytes.clone()));
        }
        self.room.watch(socket, !self.waiting.is_empty());
    }

    /// Sends what waited, as far as there is room.
    pub(crate) fn flush(&mut self, socket: BorrowedFd<'_>, counters: &mut TransportCounters) {
        if self.waiting.is_empty() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        let done = self.transmit(socket, waiting.make_contiguous(), counters);
        self.waiting_len -= waiting.drain(..done).map(|(_, bytes)| bytes.len()).sum::<usize>();
        self.waiting = waiting;
        self.room.watch(socket, !self.waiting.is_empty());
    }

    /// Sends until the end or until there is no room; returns how many datagrams were sent or lost.
    fn transmit(
        &mut self,
        socket: BorrowedFd<'_>,
        batch: &[(Target, Bytes)],
        counters: &mut TransportCounters,
    ) -> usize {
        let mut done = 0;
        let mut failures = 0;
        while done < batch.len() {
            let rest = &batch[done..];
            self.plan(rest);
            let Some(first) = self.runs.first().copied() else {
                // A multicast without a group.
                counters.send_lost += 1;
                done += 1;
                continue;
            };
            counters.sent_calls += 1;
            if let (Target::Probe(_), bytes) = &rest[0] {
                match self.probe(socket, (first.to, bytes), counters) {
                    true => done += 1,
                    false => return done,
                }
                continue;
            }
            let error = match send::send(socket, rest, &self.runs) {
                Ok(sent) => {
                    failures = 0;
                    done += count_sent(rest, &self.runs[..sent], counters);
                    continue;
                }
                Err(error) => error,
            };
            failures += 1;
            match judge(&error, first, failures) {
                Verdict::Wait => return done,
                Verdict::Again => self.suspicion = true,
                Verdict::Singly => {
                    failures = 0;
                    counters.runs_refused += 1;
                    if self.runs_refused.len() == RUNS_REFUSED_MAX {
                        self.runs_refused.clear();
                    }
                    let len = rest[0].1.len();
                    let least = self.runs_refused.entry(first.to).or_insert(len);
                    *least = len.min(*least);
                }
                Verdict::Lost => {
                    failures = 0;
                    counters.send_lost += first.count as u64;
                    done += first.count;
                }
            }
        }
        done
    }

    /// Sends a probe; `false` if there is no room for it now. One that does not fit, or that the
    /// network has answered, is no loss: that is what it was to find out.
    fn probe(
        &mut self,
        socket: BorrowedFd<'_>,
        (to, bytes): (SocketAddr, &Bytes),
        counters: &mut TransportCounters,
    ) -> bool {
        let batch = [(Target::Probe(to), bytes.clone())];
        let run = [Run { to, count: 1 }];
        let result = options::set_too_large(socket, self.ipv6, TooLarge::Lose)
            .and_then(|()| send::send(socket, &batch, &run));
        let restored = options::set_too_large(socket, self.ipv6, TooLarge::Fragment);
        debug_assert!(restored.is_ok(), "an option that was set once: {restored:?}");
        match result {
            Ok(_) => {
                counters.sent_datagrams += 1;
                counters.sent_bytes += bytes.len() as u64;
                // The device takes this length, perhaps since lately.
                self.runs_refused.retain(|_, least| *least > bytes.len());
            }
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => return false,
            Err(_) => {
                counters.probes_refused += 1;
                self.suspicion = true;
            }
        }
        true
    }

    /// Cuts the start of a batch into runs, as many as one call can take; none if its first has
    /// nowhere to go.
    fn plan(&mut self, batch: &[(Target, Bytes)]) {
        self.runs.clear();
        let mut rest = batch;
        while let Some((target, bytes)) = rest.first()
            && self.runs.len() < RUNS_MAX
        {
            let Some(to) = self.address_of(*target) else { return };
            // A probe needs a call of its own.
            let probe = matches!(target, Target::Probe(_));
            if probe && !self.runs.is_empty() {
                return;
            }
            let refused = self.runs_refused.get(&to).is_some_and(|least| bytes.len() >= *least);
            let together = self.runs_known && !refused && !probe;
            let count = if together { run_count(rest) } else { 1 };
            self.runs.push(Run { to, count });
            rest = &rest[count..];
            if probe {
                return;
            }
        }
    }

    fn address_of(&self, target: Target) -> Option<SocketAddr> {
        match target {
            Target::Multicast => self.group,
            Target::Unicast(address) | Target::Probe(address) => Some(address),
        }
    }
}

/// How many of the first datagrams can go out as one: one target, one length, and perhaps a shorter
/// one at the end.
fn run_count(batch: &[(Target, Bytes)]) -> usize {
    let (target, first) = &batch[0];
    let len = first.len();
    if len == 0 {
        return 1;
    }
    let count_max = RUN_COUNT_MAX.min(RUN_LEN_MAX / len).max(1).min(batch.len());
    let same = batch[..count_max].iter().take_while(|(t, b)| t == target && b.len() == len);
    let count = same.count();
    let shorter = |(t, b): &(Target, Bytes)| t == target && (1..len).contains(&b.len());
    count + usize::from(count < count_max && shorter(&batch[count]))
}

/// Counts what `runs` sent; returns how many datagrams that were.
fn count_sent(batch: &[(Target, Bytes)], runs: &[Run], counters: &mut TransportCounters) -> usize {
    let count = runs.iter().map(|run| run.count).sum();
    let bytes: usize = batch[..count].iter().map(|(_, bytes)| bytes.len()).sum();
    counters.sent_datagrams += count as u64;
    counters.sent_bytes += bytes as u64;
    counters.sent_runs += runs.iter().filter(|run| run.count > 1).count() as u64;
    count
}

/// What to do when the first run of a call could not be sent.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The send buffer is full.
    Wait,
    /// Try once more.
    Again,
    /// The path does not take runs.
    Singly,
    /// Go on without it.
    Lost,
}

fn judge(error: &io::Error, run: Run, failures: u32) -> Verdict {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => Verdict::Wait,
        Some(libc::EINTR) => Verdict::Again,
        // The network device's queue is full; a second try would find it as full.
        Some(libc::ENOBUFS) => Verdict::Lost,
        // No checksum offload, or a datagram is larger than the MTU and must be fragmented.
        Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE) if run.count > 1 => Verdict::Singly,
        // The network's answer to an earlier datagram makes the next send fail once, wherever that
        // goes.
        _ if failures == 1 => Verdict::Again,
        _ => Verdict::Lost,
    }
}

/// What may wait for room: two full windows of the largest datagrams.
const WAITING_LEN_MAX: usize = 16 << 20;
const WAITING_COUNT_MAX: usize = 1 << 14;
/// Addresses remembered for not taking runs; beyond that all are tried again.
const RUNS_REFUSED_MAX: usize = 1_024;

#[cfg(test)]
mod tests;
