//! One turn: what an engine does each time something has happened, without knowing where datagrams,
//! time and readiness come from. The daemon turns it in an epoll loop, the simulator in virtual
//! time.

mod access;
mod addition;
mod batch;
mod ending;
mod hand_up;
mod keys;
mod place;
mod removal;
mod share;
mod table;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anasazi_protocol::{Boot, Core, CoreConfig, Incarnation, Instant, NodeId};
use anasazi_seal::Seal;
use anasazi_transport::Transport;

use crate::admin::{Admin, By, Then};
use crate::bridges::Bridges;
use crate::config::ValidConfig;
use crate::domain::Domain;
use crate::domains::{DEFAULT_NAME, DomainId};
use crate::error::EngineError;
use crate::journal::Journal;
use crate::recorder::Recorder;
use crate::session::{Readiness, Request, SessionLimits, Sessions};
use crate::storage::Storage;
use crate::sys::socket::Peer;
use crate::witness::Witness;
use access::Rereading;
use addition::Adding;
pub(crate) use addition::{Opened, Order, Ready};
use batch::Batch;
pub(crate) use keys::{KeyOrder, KeysRead};
pub(crate) use place::Place;
pub(crate) use removal::Removal;
pub(crate) use share::Share;
pub(crate) use table::{TRANSPORT_KEYS, Table};

/// Keys from here on are those of sessions, see [`Turn::session_ready`].
pub const SESSION_KEYS: u64 = 1 << 32;

/// What a domain is made of.
pub struct DomainParts<T, S> {
    /// What it is called; of no two the same.
    pub name: String,
    /// Settings of its core.
    pub core: CoreConfig,
    /// Who this is in it: the same node in all of them.
    pub boot: Boot,
    /// The network.
    pub transport: T,
    /// What its datagrams are sealed with, if they are.
    pub seal: Option<Seal>,
    /// Batches of datagrams that it takes in before it is another domain's turn; at least 1.
    pub weight: u32,
    /// Bytes that are kept for all its sessions that do not read; `None`: no bound of its own.
    pub backlog_len_max: Option<usize>,
    /// The disk.
    pub storage: S,
    /// Who watches the core, if anybody does.
    pub witness: Option<Box<dyn Witness>>,
}

/// What a turn is made of: itself, and `default`, the domain that there always is.
pub struct Parts<T, S> {
    /// For administration: what was configured.
    pub config: ValidConfig,
    /// What the operator should know from the start.
    pub warnings: Vec<String>,
    /// What sessions may cost.
    pub limits: SessionLimits,
    /// Where the flight record goes if not where the configuration says.
    pub temporary: Option<PathBuf>,
    /// The first domain, whatever it is called.
    pub default: DomainParts<T, S>,
}

/// Domains, sessions and administration, and what one turn does to them, in order. It never waits
/// and reads no clock: `now` never decreases from call to call.
pub struct Turn<T, S> {
    domains: Table<T, S>,
    sessions: Sessions,
    bridges: Bridges,
    admin: Admin,
    /// Clients find another engine at the same place, so that a clean stop only hangs up on them.
    clients_return: bool,
    /// Domains that are not there yet.
    adding: Vec<Adding>,
    /// Key files that are to be read.
    key_orders: Vec<KeyOrder>,
    /// Of the rules of access.
    rereading: Rereading,
    /// The latest incarnation that this process has in any domain.
    newest: Incarnation,
    stop: Stop,
    ended: Option<Result<(), EngineError>>,
    fault: Arc<OnceLock<EngineError>>,
    /// Where the flight record goes, and where it goes if it cannot.
    records: [Option<PathBuf>; 2],
}

/// How far a clean stop has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    Asked,
    Leaving,
}

impl<T: Transport, S: Storage> Turn<T, S> {
    /// The protocol begins; what it has to say leaves with the first [`run`](Self::run).
    pub fn new(parts: Parts<T, S>, now: Instant) -> Self {
        let Parts { config, warnings, limits, temporary, default } = parts;
        let process = default.boot.process;
        let mut journal = Journal::default();
        warnings.into_iter().for_each(|warning| journal.warn(warning));
        let clients_return =
            config.client.listen.is_some() || !config.client.listen_streams.is_empty();
        let records = [config.recorder.dir.clone(), temporary];
        let mut sessions = Sessions::new(limits, process, SESSION_KEYS);
        sessions.set_budget(DomainId::DEFAULT, default.backlog_len_max);
        let default = DomainParts { name: DEFAULT_NAME.to_owned(), ..default };
        Self {
            domains: Table::new(begin(default, records.clone(), now)),
            sessions,
            bridges: Bridges::new(&config),
            admin: Admin::new(config, journal, now),
            clients_return,
            adding: Vec::new(),
            key_orders: Vec::new(),
            rereading: Rereading::default(),
            newest: process.incarnation,
            stop: Stop::No,
            ended: None,
            fault: Arc::default(),
            records,
        }
    }

    /// One more domain begins; what it has to say leaves with the next [`run`](Self::run).
    ///
    /// # Panics
    /// There are [`DOMAINS_MAX`](crate::domains::DOMAINS_MAX) already.
    pub fn add_domain(&mut self, parts: DomainParts<T, S>, now: Instant) -> DomainId {
        let domain = self.sessions.add_domain(&parts.name, parts.backlog_len_max);
        self.domains.put(domain, begin(parts, self.records.clone(), now));
        self.bridges.look_again();
        domain
    }

    /// A connection of a client came in.
    pub fn accept(&mut self, socket: OwnedFd, readiness: &dyn Readiness, now: Instant) {
        self.sessions.accept(socket, readiness, now);
    }

    /// The same, of a client of whom the kernel does not know by this socket.
    pub fn accept_of(
        &mut self,
        peer: Peer,
        socket: OwnedFd,
        readiness: &dyn Readiness,
        now: Instant,
    ) {
        self.sessions.accept_of(peer, socket, readiness, now);
    }

    /// A descriptor is ready that sessions asked `readiness` to watch under this key.
    pub fn session_ready(&mut self, key: u64, readiness: &dyn Readiness) {
        self.sessions.ready(key, readiness);
    }

    /// A descriptor of a domain's transport is ready, watched under this key.
    pub(crate) fn transport_ready(&mut self, key: u64) {
        if let Some(domain) = self.domains.watched(key) {
            domain.set_arrived();
        }
    }

    /// The transport of this domain may have something.
    pub fn arrived_in(&mut self, domain: DomainId) {
        if let Some(domain) = self.domains.get_mut(domain).and_then(Place::here_mut) {
            domain.set_arrived();
        }
    }

    /// Asks for a clean leave at the next turn.
    pub fn stop(&mut self) {
        if self.stop == Stop::No {
            self.stop = Stop::Asked;
        }
    }

    /// The turn itself. `arrived`: every transport may have something. `budget`: requests of
    /// sessions taken in; 0 for the default. True: more can be done right now.
    ///
    /// # Errors
    /// It has ended with a fault; `Ok(false)` for ever after a clean stop.
    pub fn run(
        &mut self,
        now: Instant,
        arrived: bool,
        budget: u32,
        readiness: &dyn Readiness,
    ) -> Result<bool, EngineError> {
        if let Some(result) = &self.ended {
            return result.clone().map(|()| false);
        }
        if arrived {
            self.domains.here().for_each(Domain::set_arrived);
        }
        let share = self.domains.share_of_turn();
        let mut more = self.receive(share, now, readiness);
        self.domains.here().for_each(|domain| domain.tick(now));
        if self.stop == Stop::Asked {
            self.stop = Stop::Leaving;
            self.sessions.begin_to_stop();
            self.domains.iter_mut().for_each(|place| place.work().shutdown(now));
        }
        self.hand_up(now, readiness);
        self.sessions.expire_holds(now);
        let budget = if budget == 0 { share.requests } else { budget as usize };
        more |= self.take_requests(now, budget, readiness);
        self.run_bridges(now);
        self.domains.here().for_each(Domain::flush);
        self.hand_up(now, readiness);
        self.sessions.expire(readiness, now);
        for text in self.sessions.watch(now) {
            self.admin.journal.of_session(now.0, text);
        }
        self.sessions.flush(readiness);
        self.say_holds(now, readiness);
        more |= self.remove_some(now) || self.has_orders() || self.rereading.is_due();
        match &self.ended {
            Some(result) => result.clone().map(|()| false),
            // The end of a hold may have given somebody a turn, or the end of a session be new.
            None => {
                more |= self.sessions.has_turns(self.domains.full()) || self.domains.have_said();
                more |= self.stop == Stop::No && self.bridges.has_more(&self.domains, now);
                Ok(more || self.stop == Stop::Asked)
            }
        }
    }

    /// When the next turn is due, if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        let bridges = self.bridges.deadline(&self.domains).filter(|_| self.stop == Stop::No);
        self.domains.deadline().into_iter().chain(self.sessions.deadline()).chain(bridges).min()
    }

    /// It was stopped and has left, or has ended with a fault.
    pub fn ended(&self) -> Option<&Result<(), EngineError>> {
        self.ended.as_ref()
    }

    /// The fault that it ends with, for other threads: there before any session hears of it, so
    /// that whoever is turned away can be told why.
    pub fn fault(&self) -> Arc<OnceLock<EngineError>> {
        Arc::clone(&self.fault)
    }

    /// Where to put that fault, if this turn takes another one's place.
    pub fn put_fault_into(&mut self, fault: Arc<OnceLock<EngineError>>) {
        self.fault = fault;
    }

    /// The protocol of `default`, to be looked at.
    ///
    /// # Panics
    /// A thread of its own turns it, as can be with [`Engine`](crate::Engine) only.
    pub fn core(&self) -> &Core {
        &self.default_here().core
    }

    /// What the node is doing in `default`, in a word.
    pub(crate) fn state(&self) -> &'static str {
        self.domains[DomainId::DEFAULT].look().core.status().state
    }

    /// The domain whose own thread is late the most, and for how long.
    pub(crate) fn latest_domain(&self) -> Option<(&str, Duration)> {
        self.domains.latest()
    }

    /// The node's number, and the address at which the others reach it in `default`.
    pub(crate) fn identity(&self) -> (NodeId, SocketAddr) {
        let default = &self.domains[DomainId::DEFAULT];
        (default.process.node, default.look().transport.local_address())
    }

    /// The sessions, to be looked at.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The network that `default` was made with.
    ///
    /// # Panics
    /// As for [`core`](Self::core).
    pub fn transport_mut(&mut self) -> &mut T {
        self.default_here_mut().transport.inner_mut().inner_mut()
    }

    /// The disk that `default` was made with.
    ///
    /// # Panics
    /// As for [`core`](Self::core).
    pub fn storage_mut(&mut self) -> &mut S {
        &mut self.default_here_mut().storage
    }

    fn default_here(&self) -> &Domain<T, S> {
        let here = self.domains[DomainId::DEFAULT].here();
        here.unwrap_or_else(|| panic!("a thread of its own turns default"))
    }

    fn default_here_mut(&mut self) -> &mut Domain<T, S> {
        let here = self.domains.get_mut(DomainId::DEFAULT).and_then(Place::here_mut);
        here.unwrap_or_else(|| panic!("a thread of its own turns default"))
    }

    /// The domains, for whoever watches their descriptors or starts their threads.
    pub(crate) fn domains_mut(&mut self) -> &mut Table<T, S> {
        &mut self.domains
    }

    /// See [`Table::transport_fds`].
    pub(crate) fn transport_fds(&self) -> impl Iterator<Item = (RawFd, u64)> {
        self.domains.transport_fds()
    }

    /// As many batches as it weighs of each domain in turn, so that none waits for all that another
    /// one has.
    fn receive(&mut self, share: &Share, now: Instant, readiness: &dyn Readiness) -> bool {
        let mut more = true;
        for _ in 0..share.rounds {
            if !core::mem::take(&mut more) {
                break;
            }
            for id in self.domains.ids() {
                more |= self.receive_in(id, share.batch, now, readiness);
            }
        }
        more
    }

    /// True if there is certainly more.
    fn receive_in(
        &mut self,
        id: DomainId,
        batch: usize,
        now: Instant,
        readiness: &dyn Readiness,
    ) -> bool {
        for _ in 0..self.domains[id].weight {
            let Some(domain) = self.domains[id].here_mut().filter(|of| of.has_arrivals()) else {
                return false;
            };
            domain.receive(batch, now);
            // What the token allows leaves at once: everybody waits for it.
            domain.flush();
            self.hand_up_of(id, now, readiness);
        }
        self.domains[id].here().is_some_and(Domain::has_arrivals)
    }

    /// What came over bridges, or is to go over them.
    fn run_bridges(&mut self, now: Instant) {
        if self.stop == Stop::No {
            self.bridges.run(&mut self.domains, now);
            for text in self.bridges.words() {
                self.admin.journal.of_domain(now.0, text);
            }
        }
    }

    /// Has the senders of groups wait for own sessions that chose that.
    fn say_holds(&mut self, now: Instant, readiness: &dyn Readiness) {
        let commands = self.sessions.say_holds(now);
        if commands.is_empty() {
            return;
        }
        for (domain, command) in commands {
            if self.domains[domain].removal.is_none() {
                self.domains[domain].work().command(now, command);
            }
        }
        self.domains.here().for_each(Domain::flush);
        self.hand_up(now, readiness);
    }

    /// Gives sessions' requests to the cores, as long as these have room, and answers their queries
    /// even if they have none: then they are needed most. True if more can be taken right now.
    fn take_requests(&mut self, now: Instant, budget: usize, readiness: &dyn Readiness) -> bool {
        let full = self.domains.full();
        let Self { sessions, domains, .. } = self;
        let (mut queries, mut batch) = (Vec::new(), Batch::default());
        let more = sessions.poll(budget, full, &mut |request| match request {
            Request::Command(domain, command) => {
                let place = &mut domains[domain];
                // Of one that is being removed nothing more is asked, and nobody waits for it.
                place.removal.is_some()
                    || match place.here_mut() {
                        Some(here) => {
                            here.command(now, command);
                            here.core.accepts_sends()
                        }
                        None => batch.add(domains, (domain, command), now),
                    }
            }
            Request::Query { session, tag, trusted, json } => {
                queries.push((session, tag, trusted, json));
                true
            }
        });
        batch.carry_out(domains, now);
        self.hand_up(now, readiness);
        for (session, tag, trusted, json) in queries {
            let (domains, sessions) = (&mut self.domains, &self.sessions);
            let by = By { session, trusted };
            let shown = (sessions, &self.bridges);
            let answer = self.admin.answer(now, json.as_bytes(), by, domains, shown);
            match answer.then {
                Then::Add(addition) => self.add_for(*addition, (session, tag)),
                Then::Remove(id) => self.remove_for(id, (session, tag), now),
                Then::Keys(id, change) => {
                    self.change_keys(id, change, (session, tag), now, readiness);
                }
                Then::Reread => self.reread_for((session, tag)),
                Then::Nothing | Then::Stop => {
                    if matches!(answer.then, Then::Stop) {
                        self.stop();
                    }
                    self.sessions.reply(session, tag, answer.status, &answer.json, false);
                }
            }
        }
        more
    }
}

fn begin<T: Transport, S: Storage>(
    parts: DomainParts<T, S>,
    [directory, temporary]: [Option<PathBuf>; 2],
    now: Instant,
) -> Place<T, S> {
    let DomainParts { name, core, boot, transport, seal, weight, storage, witness, .. } = parts;
    let recorder = Recorder::new(boot.process, directory, temporary);
    let outside = (transport, seal, storage);
    let mut domain = Domain::new((core, boot), outside, recorder, witness, now);
    domain.begin(now);
    let mut place = Place::new(name, domain);
    place.weight = weight.max(1);
    place
}
