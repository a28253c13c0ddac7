//! Five daemons and their clients on a network of their own.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::clients::Client;
use crate::daemon::Daemon;
use crate::network::{Network, address};
use crate::pace::Pace;
use crate::place::Place;
use crate::random::Random;
use crate::trouble::Trouble;

/// Daemons of a cluster.
pub(crate) const NODES: usize = 5;
/// Clients of each daemon.
const CLIENTS_PER_NODE: usize = 2;
/// Where a daemon's sessions come in over TCP: every host has a loopback of its own.
pub(crate) const STREAM_ADDRESS: &str = "127.0.0.1:7799";
/// Until all daemons are in one ring, once nothing is in the way.
const ONE_RING_MAX: Duration = Duration::from_secs(5);
/// Until every client has got all that was sent.
const REST_MAX: Duration = Duration::from_secs(5);
/// Between two looks at daemons that should form a ring.
const LOOK: Duration = Duration::from_millis(20);
const PORT: u16 = 7_745;

/// How a cluster is set up.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) multicast: bool,
    /// Socket buffers as small as the daemon allows.
    pub(crate) tiny_buffers: bool,
    /// `seal.mode` of all daemons.
    pub(crate) seal: &'static str,
    /// Messages a second of each client.
    pub(crate) rate: u64,
    /// Whether clients join and leave all the time.
    pub(crate) churn: bool,
}

impl Setup {
    /// By chance.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            seed,
            multicast: random.percent(70),
            tiny_buffers: random.percent(30),
            rate: random.between(10..=40),
            seal: ["checksum", "aead", "integrity"][random.between(0..=2) as usize],
            churn: true,
        }
    }

    fn config(&self, node: usize, place: &Place) -> String {
        let peers: Vec<_> = (0..NODES)
            .filter(|other| *other != node)
            .map(|other| format!("\"{}:{PORT}\"", address(other)))
            .collect();
        let (multicast, peers) = if self.multicast {
            (format!("239.192.77.1:{}", PORT + 1), String::new())
        } else {
            ("off".to_owned(), peers.join(", "))
        };
        let buffers = if self.tiny_buffers {
            "receive_buffer_len = \"64 KiB\"\nsend_buffer_len = \"64 KiB\"\n"
        } else {
            ""
        };
        let keys = match self.seal {
            "checksum" => String::new(),
            _ => format!("key_file = \"{}\"\n", place.key_file(node).display()),
        };
        format!(
            "cluster = \"chaos-{}\"\n[node]\nid = {}\n[state]\ndir = \"{}\"\n[transport]\n\
             bind = \"{}:{PORT}\"\nmulticast = \"{multicast}\"\npeers = [{peers}]\n{buffers}\
             [seal]\nmode = \"{}\"\n{keys}\
             [message]\nlen_max = \"64 KiB\"\n[client]\nlisten = \"{}\"\n\
             listen_streams = [\"unix:{}\", \"tcp://{STREAM_ADDRESS}\"]\n[log]\n\
             level = \"info,anasazi::protocol=debug\"\n",
            self.seed,
            node + 1,
            place.disk(node).display(),
            address(node),
            self.seal,
            place.file(&format!("node{}.sock", node + 1)).display(),
            place.file(&format!("node{}.stream", node + 1)).display(),
        )
    }
}

/// The cluster. Dropping it ends and removes all of it.
pub(crate) struct Cluster {
    // In this order they go.
    pub(crate) clients: Vec<Client>,
    pub(crate) daemons: Vec<Daemon>,
    pub(crate) network: Network,
    pub(crate) place: Place,
    pace: Pace,
}

impl Cluster {
    /// Starts daemons and clients, and waits until they are together.
    pub(crate) fn start(setup: &Setup, program: &Path, pace: &Pace) -> Result<Self, Trouble> {
        let place = Place::create(&format!("seed{}", setup.seed), NODES)?;
        let network = Network::create(NODES)?;
        let mut daemons = Vec::new();
        for node in 0..NODES {
            let config = setup.config(node, &place);
            daemons.push(Daemon::new(node, program.to_path_buf(), &network, &place, &config)?);
        }
        let clients = (0..NODES * CLIENTS_PER_NODE)
            .map(|number| Client::new(number, number / CLIENTS_PER_NODE, setup, &network, &place))
            .collect();
        let mut cluster = Self { clients, daemons, network, place, pace: pace.clone() };
        cluster.start_all()?;
        cluster.await_one_ring()?;
        Ok(cluster)
    }

    /// Whoever does not run is started.
    pub(crate) fn start_all(&mut self) -> Result<(), Trouble> {
        self.daemons.iter_mut().try_for_each(Daemon::start)?;
        self.clients.iter_mut().try_for_each(Client::start)
    }

    /// Undoes every fault: whoever is paused goes on, whoever is gone comes back.
    pub(crate) fn heal(&mut self) -> Result<(), Trouble> {
        self.network.heal()?;
        for node in 0..NODES {
            self.place.free_disk(node);
            let daemon = &mut self.daemons[node];
            daemon.disk_is_full(false);
            daemon.signal(libc::SIGCONT);
            daemon.await_end(&self.pace)?;
        }
        // Those that did not start on a full disk are started below.
        self.check()?;
        self.clients.iter().for_each(|client| client.signal(libc::SIGCONT));
        self.start_all()
    }

    /// Waits until all daemons say that they are in one ring of all; how long it took.
    pub(crate) fn await_one_ring(&mut self) -> Result<Duration, Trouble> {
        let started = Instant::now();
        loop {
            self.check()?;
            let seen: Vec<_> = self.daemons.iter_mut().map(|d| Ring::of(d.ask("status"))).collect();
            if seen.iter().all(|ring| ring.is_whole() && *ring == seen[0]) {
                return Ok(started.elapsed());
            }
            if started.elapsed() > ONE_RING_MAX {
                let text = format!("no ring of {NODES} within {ONE_RING_MAX:?} after healing");
                return Err(Trouble::Stuck(format!("{text}\n{}", self.describe(&seen))));
            }
            self.pace.wait(LOOK)?;
        }
    }

    fn describe(&mut self, seen: &[Ring]) -> String {
        let mut text = String::new();
        for (daemon, ring) in self.daemons.iter().zip(seen) {
            let _ = write!(text, "  {ring:?}; its log:\n{}", daemon.last_words());
        }
        text
    }

    /// Whether everybody lives who should.
    pub(crate) fn check(&mut self) -> Result<(), Trouble> {
        let daemons = self.daemons.iter_mut().filter_map(Daemon::has_ended);
        let clients = self.clients.iter_mut().filter_map(Client::has_ended);
        match daemons.chain(clients).next() {
            Some(text) => Err(Trouble::Stuck(text)),
            None => Ok(()),
        }
    }

    /// Clients stop sending; waits until everybody has got everything.
    pub(crate) fn rest(&mut self, round: u64) -> Result<(), Trouble> {
        let started = Instant::now();
        self.clients.iter_mut().for_each(|client| client.tell(&format!("rest {round}")));
        let waited = format!("rested {round}");
        loop {
            self.check()?;
            let mut restless = Vec::new();
            for client in &mut self.clients {
                if !client.has_said(&waited) {
                    restless.push(client.describe());
                }
            }
            if restless.is_empty() {
                return Ok(());
            }
            if started.elapsed() > REST_MAX {
                let text = format!("not everything is delivered {REST_MAX:?} after the last send");
                return Err(Trouble::Stuck(format!("{text}:\n{}", restless.join("\n"))));
            }
            self.pace.wait(LOOK)?;
        }
    }

    /// Clients send again.
    pub(crate) fn go(&mut self) {
        self.clients.iter_mut().for_each(|client| client.tell("go"));
    }

    /// All daemons leave at the same time, and must be able to.
    pub(crate) fn stop(&mut self) -> Result<(), Trouble> {
        self.clients.clear();
        self.daemons.iter_mut().for_each(Daemon::ask_to_leave);
        self.daemons.iter_mut().try_for_each(|daemon| daemon.await_end(&self.pace))
    }

    /// How many configurations each daemon has installed since it was started.
    pub(crate) fn changes(&mut self) -> BTreeMap<usize, u64> {
        let mut changes = BTreeMap::new();
        for (node, daemon) in self.daemons.iter_mut().enumerate() {
            let stats = daemon.ask("stats");
            let count = stats.and_then(|s| s["protocol"]["configurations_installed"].as_u64());
            changes.extend(count.map(|count| (node, count)));
        }
        changes
    }
}

/// What a daemon says of its ring.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ring {
    Silent,
    Known { state: String, id: String, nodes: Vec<u64> },
}

impl Ring {
    fn of(status: Option<Value>) -> Self {
        let Some(status) = status else { return Self::Silent };
        let members = status["ring"]["members"].as_array().into_iter().flatten();
        Self::Known {
            state: status["state"].as_str().unwrap_or_default().to_owned(),
            id: status["ring"]["id"].as_str().unwrap_or_default().to_owned(),
            nodes: members.filter_map(|member| member["node"].as_u64()).collect(),
        }
    }

    fn is_whole(&self) -> bool {
        matches!(self, Self::Known { state, nodes, .. }
            if state == "operational" && nodes.len() == NODES)
    }
}
