//! Threads that turn one domain each. What is done in them is in [`Shared`]; here is what they wait
//! for, and as what they run.

use std::io;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use anasazi_protocol::Instant;
use anasazi_stream::thread::spawn_without_signals;
use anasazi_transport::Udp;

use crate::config::ThreadConfig;
use crate::domain::{Shared, Wakers};
use crate::domains::DomainId;
use crate::error::EngineError;
use crate::jumps::Jumps;
use crate::sys::poll::{Poller, Waker};
use crate::sys::schedule;
use crate::turn::Table;
use crate::watches::Watches;
use crate::writer::Writer;

type RealShared = Shared<Udp, Option<Writer>>;
type RealTable = Table<Udp, Option<Writer>>;

/// Of all descriptors of a domain's transport: they are read together.
const KEY: u64 = 0;

/// A thread that waits for its domain; without one, it ends.
pub(crate) struct OwnThread {
    poller: Poller,
    begin: Sender<(Poller, Arc<RealShared>, Vec<RawFd>)>,
}

impl OwnThread {
    /// Starts it, with all signals blocked. Waits until it runs as `thread.*` says.
    ///
    /// # Errors
    /// The system has no room for it, or it cannot run like that.
    pub(crate) fn start(domain: &str, config: &ThreadConfig) -> Result<Self, EngineError> {
        let refused =
            |error| EngineError::System(format!("no thread for the domain {domain:?}: {error}"));
        let poller = Poller::new().map_err(refused)?;
        let (begin, given) = channel::<(Poller, Arc<RealShared>, Vec<RawFd>)>();
        let (tell, told) = channel();
        let config = config.clone();
        let work = move || {
            let settled = settle(&config);
            let is_settled = settled.is_ok();
            _ = tell.send(settled);
            if is_settled && let Ok((poller, shared, fds)) = given.recv() {
                run(poller, &shared, &fds);
            }
        };
        spawn_without_signals(&format!("anasazi:{domain}"), work).map_err(refused)?;
        told.recv().map_err(|_| refused(io::Error::other("it has ended")))??;
        Ok(Self { poller, begin })
    }

    /// Wakes it.
    pub(crate) fn waker(&self) -> Waker {
        self.poller.waker()
    }

    /// From now on it turns the domain at this place.
    fn take(self, domains: &mut RealTable, id: DomainId, engine: Waker) -> io::Result<()> {
        let fds: Vec<_> = domains.fds_of(id).map(|(fd, _)| fd).collect();
        hear(&self.poller, &fds)?;
        let wakers = Wakers { own: self.poller.waker(), engine };
        if let Some(shared) = domains.share(id, wakers) {
            // It waits for nothing else.
            _ = self.begin.send((self.poller, shared, fds));
        }
        Ok(())
    }
}

/// Has the domain at this place turned: by its thread, if it has one, or by whoever waits for these
/// `watches`.
///
/// # Errors
/// Its descriptors cannot be watched; none of them is.
pub(crate) fn attend(
    domains: &mut RealTable,
    id: DomainId,
    thread: Option<OwnThread>,
    watches: &mut Watches,
) -> io::Result<()> {
    if let Some(thread) = thread {
        return thread.take(domains, id, watches.waker());
    }
    let added = domains.fds_of(id).try_for_each(|(fd, key)| watches.add_transport(fd, key));
    if added.is_err() {
        // While they are open.
        domains.fds_of(id).for_each(|(fd, _)| watches.remove_transport(fd));
    }
    added
}

/// Its thread is told when there are datagrams.
fn hear(poller: &Poller, fds: &[RawFd]) -> io::Result<()> {
    fds.iter().try_for_each(|fd| poller.add(*fd, KEY))
}

/// It is not, until it has room again.
fn ignore(poller: &Poller, fds: &[RawFd]) -> io::Result<()> {
    fds.iter().try_for_each(|fd| poller.remove(*fd))
}

/// The calling thread becomes what is configured for those of the engine.
pub(crate) fn settle(config: &ThreadConfig) -> Result<(), EngineError> {
    let ThreadConfig { cpus, realtime_priority, .. } = config;
    let refused = |key, error, remedy| {
        EngineError::Config(format!("{key} cannot be had ({error}): {remedy}"))
    };
    if *realtime_priority > 0 {
        let key = format!("thread.realtime_priority = {realtime_priority}");
        let remedy = "give this process CAP_SYS_NICE or raise its RLIMIT_RTPRIO \
                      (LimitRTPRIO in a systemd unit), or set it to 0";
        schedule::be_urgent(*realtime_priority).map_err(|error| refused(key, error, remedy))?;
    }
    if !cpus.is_empty() {
        let remedy = "name processors that this machine has and this process may use";
        schedule::run_on(cpus)
            .map_err(|error| refused(format!("thread.cpus = {cpus:?}"), error, remedy))?;
    }
    Ok(())
}

/// Turns a domain until the engine takes it back, or a bug shows.
fn run(mut poller: Poller, shared: &RealShared, fds: &[RawFd]) {
    let turned = catch_unwind(AssertUnwindSafe(|| turn(&mut poller, shared, fds)));
    let panic = match turned {
        Ok(Ok(())) => return,
        Ok(Err(error)) => Box::new(format!("polling failed: {error}")),
        Err(panic) => panic,
    };
    // What panicked may do so again; then the domain is silent, as it would be without a thread.
    _ = catch_unwind(AssertUnwindSafe(|| shared.broke(&*panic)));
}

fn turn(poller: &mut Poller, shared: &RealShared, fds: &[RawFd]) -> io::Result<()> {
    let mut jumps = Jumps::new();
    let mut ready = Vec::new();
    let (mut arrived, mut is_deaf) = (true, false);
    while let Some(step) = shared.step(arrived, jumps.look()) {
        arrived = false;
        if step.more {
            continue;
        }
        if step.is_deaf != is_deaf {
            is_deaf = step.is_deaf;
            // Those of a domain that was taken back just now may be closed: nobody is told then.
            if is_deaf { ignore(poller, fds) } else { hear(poller, fds) }?;
        }
        poller.set_timer(step.deadline.map(|Instant(ns)| ns))?;
        poller.wait(&mut ready, None)?;
        arrived = !ready.is_empty();
        ready.clear();
    }
    Ok(())
}
