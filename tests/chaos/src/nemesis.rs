//! Makes faults happen, and undoes them; several at the same time.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, NODES};
use crate::faults::{Fault, Timed};
use crate::network::{Filter, Link, MTU};
use crate::pace::Pace;
use crate::trouble::Trouble;

/// Between two SIGHUPs.
const HANGUP_EVERY: Duration = Duration::from_millis(2);

/// What goes on.
pub(crate) struct Nemesis {
    active: Vec<Fault>,
    filters: Vec<Filter>,
    busy: Busy,
    /// SIGKILLs so far, of daemons and clients.
    pub(crate) kills: u64,
}

enum Step {
    Begin(Fault),
    End(Fault),
}

impl Nemesis {
    pub(crate) fn new() -> Self {
        let filters = vec![Filter::default(); NODES];
        Self { active: Vec::new(), filters, busy: Busy::default(), kills: 0 }
    }

    /// All of it, in its time.
    pub(crate) fn run(
        &mut self,
        cluster: &mut Cluster,
        faults: &[Timed],
        pace: &Pace,
    ) -> Result<(), Trouble> {
        let mut steps: Vec<(u64, Step)> = Vec::new();
        for timed in faults {
            steps.push((timed.from_ms, Step::Begin(timed.fault.clone())));
            steps.push((timed.until_ms, Step::End(timed.fault.clone())));
        }
        steps.sort_by_key(|(at_ms, _)| *at_ms);
        let started = Instant::now();
        for (at_ms, step) in steps {
            self.pass_time(cluster, started + Duration::from_millis(at_ms), pace)?;
            match step {
                Step::Begin(fault) => self.begin(cluster, fault)?,
                Step::End(fault) => self.end(cluster, &fault, pace)?,
            }
        }
        Ok(())
    }

    fn pass_time(&self, cluster: &mut Cluster, until: Instant, pace: &Pace) -> Result<(), Trouble> {
        let stormy: Vec<usize> = self
            .active
            .iter()
            .filter_map(|fault| match fault {
                Fault::Hangups { node } => Some(*node),
                _ => None,
            })
            .collect();
        while !stormy.is_empty() && Instant::now() < until {
            for node in &stormy {
                cluster.daemons[*node].hang_up();
            }
            pace.wait(HANGUP_EVERY)?;
        }
        pace.until(until)?;
        cluster.check()
    }

    fn begin(&mut self, cluster: &mut Cluster, fault: Fault) -> Result<(), Trouble> {
        let network = &cluster.network;
        match &fault {
            Fault::Kill { nodes, wiped } => {
                for node in nodes {
                    self.kills += u64::from(cluster.daemons[*node].kill());
                    if *wiped {
                        cluster.place.wipe_disk(*node)?;
                    }
                }
            }
            Fault::Pause { node } => cluster.daemons[*node].signal(libc::SIGSTOP),
            Fault::Restart { node } => cluster.daemons[*node].ask_to_leave(),
            Fault::Cut { .. } | Fault::Loss { .. } | Fault::Hangups { .. } => {}
            Fault::Unlink { node, link } => network.link(*node, *link)?,
            Fault::Slow { node, kbit } => network.speed(*node, Some(*kbit))?,
            Fault::SmallMtu { node, mtu } => network.mtu(*node, *mtu)?,
            Fault::FullDisk { node } => {
                cluster.place.fill_disk(*node)?;
                cluster.daemons[*node].disk_is_full(true);
            }
            Fault::Busy { loops } => self.busy.start(*loops)?,
            Fault::KillClients { clients } => {
                for client in clients {
                    self.kills += u64::from(cluster.clients[*client].kill());
                }
            }
            Fault::PauseClient { client } => cluster.clients[*client].signal(libc::SIGSTOP),
        }
        self.active.push(fault);
        self.apply_filters(cluster)
    }

    fn end(&mut self, cluster: &mut Cluster, fault: &Fault, pace: &Pace) -> Result<(), Trouble> {
        if let Some(at) = self.active.iter().position(|active| active == fault) {
            self.active.remove(at);
        }
        // A like fault may still go on: then this one's end waits for the other's.
        let network = &cluster.network;
        match fault {
            Fault::Kill { nodes, .. } => {
                nodes.iter().try_for_each(|node| cluster.daemons[*node].start())?;
            }
            Fault::Pause { node } => cluster.daemons[*node].signal(libc::SIGCONT),
            Fault::Restart { node } => {
                let daemon = &mut cluster.daemons[*node];
                // It may be paused by another fault, and could not leave.
                daemon.signal(libc::SIGCONT);
                daemon.await_end(pace)?;
                daemon.start()?;
            }
            Fault::Cut { .. } | Fault::Loss { .. } | Fault::Hangups { .. } => {}
            Fault::Unlink { node, .. } => network.link(*node, Link::Up)?,
            Fault::Slow { node, .. } => network.speed(*node, None)?,
            Fault::SmallMtu { node, .. } => network.mtu(*node, MTU)?,
            Fault::FullDisk { node } => {
                cluster.place.free_disk(*node);
                cluster.daemons[*node].disk_is_full(false);
            }
            Fault::Busy { .. } => self.busy.stop(),
            Fault::KillClients { clients } => {
                clients.iter().try_for_each(|client| cluster.clients[*client].start())?;
            }
            Fault::PauseClient { client } => cluster.clients[*client].signal(libc::SIGCONT),
        }
        self.apply_filters(cluster)
    }

    /// What nodes do not hear follows from all cuts and losses together.
    fn apply_filters(&mut self, cluster: &Cluster) -> Result<(), Trouble> {
        let mut wanted = vec![Filter::default(); NODES];
        for fault in &self.active {
            match fault {
                Fault::Cut { pairs, .. } => {
                    for (deaf, to) in pairs {
                        wanted[*deaf].deaf_to.insert(*to);
                    }
                }
                Fault::Loss { nodes, percent } => {
                    for node in nodes {
                        let lost = &mut wanted[*node].lost_percent;
                        *lost = (*lost).max(*percent);
                    }
                }
                _ => {}
            }
        }
        for (node, filter) in wanted.into_iter().enumerate() {
            if self.filters[node] != filter {
                cluster.network.filter(node, &filter)?;
                self.filters[node] = filter;
            }
        }
        Ok(())
    }
}

/// Processes that only compute.
#[derive(Default)]
pub(crate) struct Busy(Vec<Child>);

impl Busy {
    pub(crate) fn start(&mut self, loops: usize) -> Result<(), Trouble> {
        let own = std::env::current_exe().map_err(Trouble::io("which program is this"))?;
        for _ in 0..loops {
            let child = Command::new(&own).arg("spin").stdin(Stdio::piped()).spawn();
            self.0.push(child.map_err(Trouble::io("cannot start a busy loop"))?);
        }
        Ok(())
    }

    pub(crate) fn stop(&mut self) {
        for mut child in self.0.drain(..) {
            // Both fail only if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The busy loop itself; it ends with whoever started it.
pub(crate) fn spin() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    loop {
        std::hint::spin_loop();
    }
}
