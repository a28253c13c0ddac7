//! One domain: its protocol core with the transport and the storage that it needs. Time is an
//! argument; nothing here is shared with another domain, not even room for what it has to say.

mod limits;
mod mismatches;
mod notices;
mod sealing;
mod shared;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anasazi_protocol::{
    Audience, Boot, Command, Core, CoreConfig, Destination, Event, Evidence, Fate, GroupId,
    GroupView, Incarnation, Input, Instant, MessageDelivery, NodeId, Output, Process, SessionId,
};
use anasazi_seal::{Seal, Sealed};
use anasazi_transport::{Faulty, Life, Received, Target, Transport};
use bytes::Bytes;

use crate::recorder::Recorder;
use crate::state_file::Stored;
use crate::storage::Storage;
use crate::witness::Witness;
use limits::SEND_BATCH_MAX;
use mismatches::Told;
use notices::Removals;
use sealing::Keys;
pub(crate) use shared::{Inside, Lease, Shared, Wakers};

/// What a domain has for the rest of the engine, in order.
pub(crate) enum Upward {
    Message(MessageDelivery),
    View(Box<GroupView>),
    Receipt {
        session: SessionId,
        to: Audience,
        tag: u64,
        fate: Fate,
    },
    JoinRefused {
        session: SessionId,
        group: GroupId,
        reason: &'static str,
    },
    Held {
        by: NodeId,
        groups: Vec<GroupId>,
        for_ms: u16,
    },
    /// A gateway tells of the source of a bridge.
    Far {
        by: Process,
        part: Bytes,
    },
    Event(Event),
    /// What the operator should know.
    Told(String),
    /// What he should do something about.
    Warned(String),
    /// Somebody seals in another way: a word for programs, and a sentence.
    Mismatch {
        kind: &'static str,
        text: String,
    },
    /// An invariant of the core broke; it says nothing more.
    Broken {
        fault: String,
    },
    /// The domain has ended before it began: others know this incarnation of the node.
    Outdated {
        known: Incarnation,
    },
    /// The domain has ended; cleanly, or with a fault in words.
    Stopped {
        fault: Option<String>,
    },
}

impl Upward {
    /// Bytes of messages in it.
    fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.payload.iter().map(Bytes::len).sum(),
            _ => 0,
        }
    }
}

pub(crate) struct Domain<T, S> {
    pub(crate) core: Core,
    pub(crate) transport: Sealed<Faulty<T>>,
    pub(crate) storage: S,
    pub(crate) process: Process,
    pub(crate) recorder: Recorder,
    /// Of all members, if datagrams are sealed.
    pub(crate) keys: Option<Box<Keys>>,
    /// Of others.
    removals: Removals,
    /// Of those who seal in another way.
    told: Told,
    witness: Option<Box<dyn Witness>>,
    received: Vec<Received>,
    sending: Vec<(Target, Bytes)>,
    unreachable: Vec<SocketAddr>,
    ended: Vec<Life>,
    /// The ring has changed since the last flush.
    has_new_ring: bool,
    written: Vec<(u64, bool)>,
    /// What it has for the rest of the engine, in order.
    up: Vec<Upward>,
    /// A descriptor of its transport was ready.
    arrived: bool,
    /// There is certainly more to receive.
    backlog: bool,
    /// The latest time that the core was given: it must not go back, whichever thread says it.
    latest: Instant,
}

impl<T, S> Domain<T, S> {
    /// What it has to say, to be drained and given back by [`give_back`](Self::give_back).
    pub(crate) fn take_up(&mut self) -> Vec<Upward> {
        core::mem::take(&mut self.up)
    }

    /// The room of what was said, for what comes next.
    pub(crate) fn give_back(&mut self, up: Vec<Upward>) {
        self.up = up;
    }
}

impl<T: Transport, S: Storage> Domain<T, S> {
    /// Starts the core. Its first outputs wait for [`begin`](Self::begin).
    pub(crate) fn new(
        (config, boot): (CoreConfig, Boot),
        (transport, seal, storage): (T, Option<Seal>, S),
        recorder: Recorder,
        witness: Option<Box<dyn Witness>>,
        now: Instant,
    ) -> Self {
        let seed = config.seed;
        let node = boot.process.node;
        let keys = seal.as_ref().map(|seal| Box::new(Keys::new(node, seal)));
        let mut transport = Sealed::new(Faulty::new(transport, seed), seal);
        // Others may know of the first ring before this one does.
        transport.watch(life(boot.process), &[]);
        Self {
            core: Core::new(config, boot, now),
            transport,
            storage,
            process: boot.process,
            recorder,
            keys,
            removals: Removals::default(),
            told: Told::default(),
            witness,
            received: Vec::new(),
            sending: Vec::with_capacity(SEND_BATCH_MAX),
            unreachable: Vec::new(),
            ended: Vec::new(),
            has_new_ring: false,
            written: Vec::new(),
            up: Vec::new(),
            arrived: false,
            backlog: false,
            latest: now,
        }
    }

    /// Takes in datagrams and evidence. True if there is certainly more.
    pub(crate) fn receive(&mut self, max: usize, now: Instant) -> bool {
        self.arrived = false;
        // Before anything is opened or sealed as whoever it was before.
        self.renew_after_pause(now);
        let mut received = core::mem::take(&mut self.received);
        self.backlog = !self.transport.receive(max, &mut received);
        for Received { from, multicast, bytes } in received.drain(..) {
            self.handle(now, Input::Datagram { from, multicast, bytes });
        }
        self.received = received;
        self.hear_keys();
        self.tell_mismatches(now);
        if !self.backlog {
            self.handle(now, Input::Drained);
        }
        let mut unreachable = core::mem::take(&mut self.unreachable);
        self.transport.unreachable(&mut unreachable);
        for address in unreachable.drain(..) {
            self.handle(now, Input::Evidence(Evidence::Unreachable { address }));
        }
        self.unreachable = unreachable;
        let mut ended = core::mem::take(&mut self.ended);
        self.transport.ended(&mut ended);
        for life in ended.drain(..) {
            let process = process_of(life);
            self.handle(now, Input::Evidence(Evidence::Ended { process }));
        }
        self.ended = ended;
        self.backlog
    }

    /// Its transport may have something.
    pub(crate) fn set_arrived(&mut self) {
        self.arrived = true;
    }

    /// There may be something to receive. What was read already makes no descriptor ready.
    pub(crate) fn has_arrivals(&self) -> bool {
        self.arrived || self.backlog
    }

    /// Timers that are due, and writes that ended.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.renew_after_pause(now);
        let mut written = core::mem::take(&mut self.written);
        self.storage.take_written(&mut written);
        for (ticket, durable) in written.drain(..) {
            self.handle(now, Input::Persisted { ticket, durable });
        }
        self.written = written;
        self.up.extend(self.storage.take_failures().into_iter().map(Upward::Warned));
        if self.core.deadline().is_some_and(|at| at <= now) {
            self.handle(now, Input::Timeout);
        }
    }

    pub(crate) fn command(&mut self, now: Instant, command: Command) {
        self.handle(now, Input::Command(command));
    }

    pub(crate) fn shutdown(&mut self, now: Instant) {
        self.handle(now, Input::Shutdown);
    }

    /// What the core has to say before any input.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.guarded(|domain| domain.drain(now));
    }

    /// One input, and everything that comes of it.
    fn handle(&mut self, now: Instant, input: Input) {
        let now = self.not_before(now);
        self.guarded(|domain| {
            domain.recorder.note(now, &input);
            domain.recorder.break_if_asked();
            if domain.core.is_about_to_install() {
                domain.send();
            }
            domain.core.handle(now, input);
            domain.drain(now);
            domain.say(now);
        });
    }

    /// Says in the order what there is to say of keys.
    fn say_notices(&mut self, now: Instant) {
        let now = self.not_before(now);
        self.guarded(|domain| domain.say(now));
    }

    /// Two threads may have read the clock in another order than they come here.
    fn not_before(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn say(&mut self, now: Instant) {
        while let Some(notice) = self.next_notice() {
            self.core.handle(now, Input::Command(notice));
            self.drain(now);
        }
    }

    /// The border of the core: nothing comes of what breaks an invariant, nor of anything later.
    fn guarded(&mut self, work: impl FnOnce(&mut Self)) {
        if self.recorder.is_broken() {
            return;
        }
        let before = self.up.len();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(self))) {
            // What it said last may be wrong as well.
            self.sending.clear();
            self.up.truncate(before);
            let fault = self.recorder.broke(&*panic);
            self.up.push(Upward::Broken { fault });
        }
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.core.poll() {
            match output {
                Output::Transmit { to, bytes } => self.queue(to, bytes),
                Output::Persist { ticket, ring_sequence_max } => {
                    self.persist(ticket, ring_sequence_max);
                }
                Output::Message(message) => self.up.push(Upward::Message(message)),
                Output::View(mut view) => {
                    self.removals.explain(&mut view);
                    self.up.push(Upward::View(view));
                }
                Output::Receipt { session, to, tag, fate } => {
                    self.up.push(Upward::Receipt { session, to, tag, fate });
                }
                Output::JoinRefused { session, group, reason } => {
                    self.up.push(Upward::JoinRefused { session, group, reason });
                }
                Output::Held { by, groups, for_ms } => {
                    self.up.push(Upward::Held { by, groups, for_ms });
                }
                Output::Notice { by, content } => self.hear_notice(by, &content),
                Output::Event(event) => {
                    self.recorder.event(now, &event);
                    if let Event::Installed { members, .. } = &event {
                        self.keys_in(members);
                        self.removals.installed(members);
                    }
                    let begins = matches!(&event, Event::State { to: "recovery", .. });
                    self.has_new_ring |= begins || matches!(&event, Event::Installed { .. });
                    if let Some(witness) = &mut self.witness {
                        witness.event(now, &event);
                    }
                    self.up.push(Upward::Event(event));
                }
                Output::Trace(trace) => {
                    if let Some(witness) = &mut self.witness {
                        witness.trace(now, &trace);
                    }
                }
                Output::Outdated { known } => self.up.push(Upward::Outdated { known }),
                Output::Stopped { fault } => self.up.push(Upward::Stopped { fault }),
            }
        }
    }

    /// The ends of a ring's members matter, from its recovery on.
    fn watch(&mut self) {
        let members = self.core.status().members;
        let others = members.into_iter().filter(|(member, _)| *member != self.process);
        let place = |(member, address): (Process, Option<_>)| Some((address?, life(member)));
        let others: Vec<_> = others.filter_map(place).collect();
        self.transport.watch(life(self.process), &others);
    }

    fn queue(&mut self, to: Destination, bytes: Bytes) {
        let target = match to {
            Destination::Multicast => Target::Multicast,
            Destination::Unicast(address) => Target::Unicast(address),
            Destination::Probe(address) => Target::Probe(address),
        };
        self.sending.push((target, bytes));
        if self.sending.len() >= SEND_BATCH_MAX {
            self.send();
        }
    }

    /// Sends what is queued, and what can wait for that.
    pub(crate) fn flush(&mut self) {
        self.send();
        if core::mem::take(&mut self.has_new_ring) {
            self.watch();
        }
    }

    fn send(&mut self) {
        if let Some(witness) = &mut self.witness {
            witness.flush();
        }
        if !self.sending.is_empty() {
            self.transport.send(&self.sending);
            self.sending.clear();
        }
    }

    fn persist(&mut self, ticket: u64, ring_sequence_reserved: u64) {
        let stored = Stored {
            node_id: self.process.node.0,
            incarnation: self.process.incarnation.0,
            ring_sequence_reserved,
        };
        self.storage.write(ticket, stored);
    }
}

/// What the transport knows a process by.
pub fn life(process: Process) -> Life {
    let mut life = Life::default();
    life[..4].copy_from_slice(&process.node.0.to_le_bytes());
    life[8..].copy_from_slice(&process.incarnation.0.to_le_bytes());
    life
}

fn process_of(life: Life) -> Process {
    let [a, b, c, d, _, _, _, _, incarnation @ ..] = life;
    let incarnation = Incarnation(u64::from_le_bytes(incarnation));
    Process { node: NodeId(u32::from_le_bytes([a, b, c, d])), incarnation }
}
