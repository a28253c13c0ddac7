//! One turn: what an engine does each time something has happened, without knowing where datagrams,
//! time and readiness come from. The daemon turns it in an epoll loop, the simulator in virtual
//! time.

use std::any::Any;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anasazi_protocol::planted::planted;
use anasazi_protocol::{Boot, Core, CoreConfig, Instant, NodeId};
use anasazi_queue::status::Status;
use anasazi_transport::Transport;

use crate::admin::Admin;
use crate::config::ValidConfig;
use crate::domain::{Domain, Upward};
use crate::domains::{DEFAULT_NAME, DOMAINS_MAX, DomainGroup, DomainId, DomainSet};
use crate::error::EngineError;
use crate::journal::Journal;
use crate::recorder::Recorder;
use crate::session::{Readiness, Request, SessionLimits, Sessions};
use crate::storage::Storage;
use crate::sys::socket::Peer;
use crate::witness::Witness;

/// Keys from here on are those of sessions, see [`Turn::session_ready`].
pub const SESSION_KEYS: u64 = 1 << 32;
/// Keys of the descriptors of transports, one for each domain.
pub(crate) const TRANSPORT_KEYS: u64 = 1 << 20;
/// Requests of sessions taken in per turn, if the caller does not say.
const BUDGET_DEFAULT: usize = 1_024;
/// Rounds of receiving per turn, so that a flood cannot keep the timers and the sessions from their
/// turn.
const RECEIVE_ROUNDS_MAX: usize = 4;

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
    /// Settings of the core.
    pub core: CoreConfig,
    /// Who this is; durable already.
    pub boot: Boot,
    /// What sessions may cost.
    pub limits: SessionLimits,
    /// The network.
    pub transport: T,
    /// The disk.
    pub storage: S,
    /// Where the flight record goes if not where the configuration says.
    pub temporary: Option<PathBuf>,
    /// Who watches the core, if anybody does.
    pub witness: Option<Box<dyn Witness>>,
}

/// Domains, sessions and administration, and what one turn does to them, in order. It never waits
/// and reads no clock: `now` never decreases from call to call.
pub struct Turn<T, S> {
    /// The first is `default`.
    domains: Vec<Domain<T, S>>,
    sessions: Sessions,
    admin: Admin,
    /// Clients find another engine at the same place, so that a clean stop only hangs up on them.
    clients_return: bool,
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
        let Parts { config, warnings, core, boot, limits, transport, storage, .. } = parts;
        let (temporary, witness) = (parts.temporary, parts.witness);
        let mut journal = Journal::default();
        warnings.into_iter().for_each(|warning| journal.warn(warning));
        let clients_return =
            config.client.listen.is_some() || !config.client.listen_streams.is_empty();
        let records = [config.recorder.dir.clone(), temporary];
        let sessions = Sessions::new(limits, boot.process, SESSION_KEYS);
        let name = DEFAULT_NAME.to_owned();
        let default = DomainParts { name, core, boot, transport, storage, witness };
        Self {
            domains: vec![begin(default, records.clone(), now)],
            sessions,
            admin: Admin::new(config, journal, now),
            clients_return,
            stop: Stop::No,
            ended: None,
            fault: Arc::default(),
            records,
        }
    }

    /// One more domain begins; what it has to say leaves with the next [`run`](Self::run).
    ///
    /// # Panics
    /// There are [`DOMAINS_MAX`] already.
    pub fn add_domain(&mut self, parts: DomainParts<T, S>, now: Instant) -> DomainId {
        assert!(self.domains.len() < DOMAINS_MAX, "more domains than an engine may have");
        let domain = self.sessions.add_domain(&parts.name);
        self.domains.push(begin(parts, self.records.clone(), now));
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
        let index = key.checked_sub(TRANSPORT_KEYS).map(|index| index as usize);
        if let Some(domain) = index.and_then(|index| self.domains.get_mut(index)) {
            domain.set_arrived();
        }
    }

    /// The transport of this domain may have something.
    pub fn arrived_in(&mut self, domain: DomainId) {
        if let Some(domain) = self.domains.get_mut(domain.index()) {
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
            self.domains.iter_mut().for_each(Domain::set_arrived);
        }
        let mut more = self.receive(now, readiness);
        self.domains.iter_mut().for_each(|domain| domain.tick(now));
        if self.stop == Stop::Asked {
            self.stop = Stop::Leaving;
            self.sessions.begin_to_stop();
            self.domains.iter_mut().for_each(|domain| domain.shutdown(now));
        }
        self.hand_up(now, readiness);
        self.sessions.expire_holds(now);
        let budget = if budget == 0 { BUDGET_DEFAULT } else { budget as usize };
        more |= self.take_requests(now, budget, readiness);
        self.domains.iter_mut().for_each(Domain::flush);
        self.hand_up(now, readiness);
        self.sessions.expire(readiness, now);
        for text in self.sessions.watch(now) {
            self.admin.journal.of_session(now.0, text);
        }
        self.sessions.flush(readiness);
        self.say_holds(now, readiness);
        match &self.ended {
            Some(result) => result.clone().map(|()| false),
            // The end of a hold may have given somebody a turn, or the end of a session be new.
            None => {
                more |= self.sessions.has_turns(self.full());
                Ok(more || self.stop == Stop::Asked)
            }
        }
    }

    /// The host caught a panic outside the core: of sessions, say. As with the core's, whatever
    /// comes next could be wrong. Writes the flight record, tells all sessions, and ends.
    pub fn broke(&mut self, panic: &(dyn Any + Send), readiness: &dyn Readiness) {
        if self.ended.is_none() {
            let fault = self.domains[0].recorder.broke(panic);
            // What panicked may do so again; then the end of their sockets tells the sessions.
            let end = || self.end(Some(EngineError::Broken(fault)), readiness);
            _ = catch_unwind(AssertUnwindSafe(end));
        }
    }

    /// When the next turn is due, if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        let of_domains = self.domains.iter().filter_map(|domain| domain.core.deadline());
        of_domains.chain(self.sessions.deadline()).min()
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
    pub fn core(&self) -> &Core {
        &self.domains[0].core
    }

    /// The node's number, and the address at which the others reach it in `default`.
    pub(crate) fn identity(&self) -> (NodeId, SocketAddr) {
        (self.domains[0].process.node, self.domains[0].transport.local_address())
    }

    /// The sessions, to be looked at.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The network that `default` was made with.
    pub fn transport_mut(&mut self) -> &mut T {
        self.domains[0].transport.inner_mut()
    }

    /// The disk that `default` was made with.
    pub fn storage_mut(&mut self) -> &mut S {
        &mut self.domains[0].storage
    }

    /// Descriptors that are readable while there are datagrams, with the keys to watch them under:
    /// these say whose they are.
    pub(crate) fn transport_fds(&self) -> impl Iterator<Item = (RawFd, u64)> {
        let keys = (TRANSPORT_KEYS..).zip(&self.domains);
        keys.flat_map(|(key, domain)| domain.transport.fds().into_iter().map(move |fd| (fd, key)))
    }

    /// A batch of each domain in turn, so that none waits for all that another one has.
    fn receive(&mut self, now: Instant, readiness: &dyn Readiness) -> bool {
        let mut more = true;
        for _ in 0..RECEIVE_ROUNDS_MAX {
            if !core::mem::take(&mut more) {
                break;
            }
            for index in 0..self.domains.len() {
                let domain = &mut self.domains[index];
                if !domain.has_arrivals() {
                    continue;
                }
                more |= domain.receive(now);
                // What the token allows leaves at once: everybody waits for it.
                domain.flush();
                self.hand_up_of(index, now, readiness);
            }
        }
        more
    }

    /// Has the senders of groups wait for own sessions that chose that.
    fn say_holds(&mut self, now: Instant, readiness: &dyn Readiness) {
        let commands = self.sessions.say_holds(now);
        if commands.is_empty() {
            return;
        }
        for (domain, command) in commands {
            self.domains[domain.index()].command(now, command);
        }
        self.domains.iter_mut().for_each(Domain::flush);
        self.hand_up(now, readiness);
    }

    /// Domains that have no room for commands.
    fn full(&self) -> DomainSet {
        let is_full = |domain: &Domain<T, S>| !domain.core.accepts_sends();
        let all = planted!("one_full_all_wait") && self.domains.iter().any(is_full);
        let full = self.domains.iter().enumerate().filter(|(_, domain)| all || is_full(domain));
        full.map(|(index, _)| DomainId::at(index)).collect()
    }

    /// Gives sessions' requests to the cores, as long as these have room, and answers their queries
    /// even if they have none: then they are needed most. True if more can be taken right now.
    fn take_requests(&mut self, now: Instant, budget: usize, readiness: &dyn Readiness) -> bool {
        let full = self.full();
        let Self { sessions, domains, .. } = self;
        let mut queries = Vec::new();
        let more = sessions.poll(budget, full, &mut |request| match request {
            Request::Command(domain, command) => {
                let domain = &mut domains[domain.index()];
                domain.command(now, command);
                domain.core.accepts_sends()
            }
            Request::Query { session, tag, trusted, json } => {
                queries.push((session, tag, trusted, json));
                true
            }
        });
        self.hand_up(now, readiness);
        for (session, tag, trusted, json) in queries {
            let (domains, sessions) = (&mut self.domains[..], &self.sessions);
            let answer = self.admin.answer(now, json.as_bytes(), trusted, domains, sessions);
            if answer.shutdown {
                self.stop();
            }
            self.sessions.reply(session, tag, answer.status, &answer.json, false);
        }
        more
    }

    /// What the domains have for sessions and for the operator, in order.
    fn hand_up(&mut self, now: Instant, readiness: &dyn Readiness) {
        (0..self.domains.len()).for_each(|index| self.hand_up_of(index, now, readiness));
    }

    fn hand_up_of(&mut self, index: usize, now: Instant, readiness: &dyn Readiness) {
        let domain = DomainId::at(index);
        let mut up = self.domains[index].take_up();
        for item in up.drain(..) {
            match item {
                Upward::Message(message) => self.sessions.message(domain, &message),
                Upward::View(view) => self.sessions.view(domain, &view),
                Upward::Receipt { session, to, tag, fate } => {
                    self.sessions.receipt(domain, session, &to, tag, fate);
                }
                Upward::JoinRefused { session, group, reason } => {
                    self.sessions.join_refused(session, domain.group(group), reason);
                }
                Upward::Held { by, groups, for_ms } => {
                    let told = self.sessions.hold((domain, by), &groups, for_ms, now);
                    if let Some((group, count)) = told {
                        self.tell_hold(now, by, domain.group(group), count);
                    }
                }
                Upward::Event(event) => {
                    self.admin.journal.record(now.0, &self.domains[index].place(), &event);
                }
                Upward::Stopped { fault: Some(fault) } => {
                    let fault = format!("{}{fault}", self.domains[index].place());
                    self.end(Some(EngineError::Protocol(fault)), readiness);
                }
                Upward::Stopped { fault: None } => {
                    self.domains[index].is_stopped = true;
                    if self.domains.iter().all(|domain| domain.is_stopped) {
                        self.end(None, readiness);
                    }
                }
                Upward::Outdated { known } => {
                    self.end(Some(EngineError::Outdated(known)), readiness);
                }
                Upward::Broken { fault } => {
                    let fault = format!("{}{fault}", self.domains[index].place());
                    self.end(Some(EngineError::Broken(fault)), readiness);
                }
            }
        }
        self.domains[index].give_back(up);
    }

    fn tell_hold(&mut self, now: Instant, by: NodeId, group: DomainGroup, count: usize) {
        let DomainGroup { domain, group } = group;
        let name = self.domains[domain.index()].full_name(group);
        let name = name.map_or_else(|| format!("{:016x}", group.0), |name| format!("{name:?}"));
        let others = match count {
            1 => String::new(),
            _ => format!(" and {} others", count - 1),
        };
        self.admin.journal.of_session(
            now.0,
            format!(
                "the senders to group {name}{others} wait: a session at node {by} does not read \
                 as fast, and chose this (session.slow_policy = throttle)"
            ),
        );
    }

    /// What breaks, is outdated or may not have its number in one domain ends all of them: they
    /// have one process, and are one node in one incarnation.
    fn end(&mut self, fault: Option<EngineError>, readiness: &dyn Readiness) {
        if self.ended.is_some() {
            return;
        }
        let reason =
            fault.as_ref().map_or_else(|| "the engine was stopped".to_owned(), ToString::to_string);
        let returns = self.clients_return && matches!(fault, None | Some(EngineError::Outdated(_)));
        let status = match &fault {
            None => Status::ECLOSED,
            // An engine of this process does not come back; a daemon does.
            Some(EngineError::Broken(_)) if !self.clients_return => Status::EINTERNAL,
            Some(_) => Status::ESTATE,
        };
        if let Some(fault) = fault.as_ref().filter(|f| !matches!(f, EngineError::Outdated(_))) {
            // Who is outdated begins again.
            _ = self.fault.set(fault.clone());
        }
        self.ended = Some(fault.map_or(Ok(()), Err));
        // A daemon that stops cleanly is likely to come back, one that is outdated does so at once:
        // its clients' connections just end, and they try again.
        if returns {
            self.sessions.hang_up_on_all(readiness);
        } else {
            self.sessions.close_all(status, &reason, readiness);
        }
    }
}

fn begin<T: Transport, S: Storage>(
    parts: DomainParts<T, S>,
    [directory, temporary]: [Option<PathBuf>; 2],
    now: Instant,
) -> Domain<T, S> {
    let DomainParts { name, core, boot, transport, storage, witness } = parts;
    let recorder = Recorder::new(boot.process, directory, temporary);
    let mut domain = Domain::new(name, (core, boot), (transport, storage), recorder, witness, now);
    domain.begin(now);
    domain
}

#[cfg(test)]
mod tests {
    use anasazi_protocol::trace::Trace;
    use anasazi_protocol::{Incarnation, Process};
    use anasazi_transport::MemoryNetwork;

    use super::*;
    use crate::config::Settings;
    use crate::writer::Writer;

    /// Breaks when something leaves for the first time.
    #[derive(Default)]
    struct Breaks(bool);

    impl Witness for Breaks {
        fn trace(&mut self, _: Instant, _: &Trace) {}

        fn flush(&mut self) {
            assert!(core::mem::replace(&mut self.0, true), "the first word is wrong");
        }
    }

    struct NoSessions;

    impl Readiness for NoSessions {
        fn add(&self, _: RawFd, _: u64) -> std::io::Result<()> {
            Ok(())
        }

        fn add_edge(&self, _: RawFd, _: u64) -> std::io::Result<()> {
            Ok(())
        }

        fn remove(&self, _: RawFd) {}
    }

    #[test]
    fn what_breaks_before_any_input_is_recorded_and_ends_the_turn() {
        let directory = tempfile::tempdir().expect("a directory");
        let process = Process { node: NodeId(3), incarnation: Incarnation(9) };
        let address = "127.0.0.1:1".parse().expect("an address");
        let limits = SessionLimits {
            sessions_max: 1,
            backlog_len_max: 1 << 20,
            backlog_total_max: 1 << 30,
            hold_max: std::time::Duration::from_secs(1),
            message_len_max: 1 << 20,
            allow_uids: Vec::new(),
            allow_gids: Vec::new(),
        };
        let parts = Parts {
            config: Settings::new().validate().expect("defaults"),
            warnings: Vec::new(),
            // To so many that what it says first leaves at once.
            core: CoreConfig {
                peers: vec![address; 64],
                multicast: false,
                ..CoreConfig::default()
            },
            boot: Boot { process, ring_sequence_floor: 0, ring_sequence_reserved: u64::MAX },
            limits,
            transport: MemoryNetwork::new().attach(address, true).expect("a transport"),
            storage: None::<Writer>,
            temporary: Some(directory.path().to_owned()),
            witness: Some(Box::<Breaks>::default()),
        };
        let mut turn = Turn::new(parts, Instant(1));
        let up = turn.domains[0].take_up();
        assert!(matches!(up[..], [Upward::Broken { .. }]));
        turn.domains[0].give_back(up);
        let error = turn.run(Instant(2), true, 0, &NoSessions).expect_err("it is broken");
        let EngineError::Broken(text) = &error else { panic!("{error:?}") };
        assert!(text.contains("the first word is wrong"), "{text}");
        assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 1);
        assert_eq!(turn.run(Instant(3), true, 0, &NoSessions), Err(error));
    }
}
