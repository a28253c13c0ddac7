//! The client program: joins, leaves and sends by chance, until it is told to rest. Then it sends
//! one mark to each of its groups, and says so when the marks of all members have come: all that
//! was sent before them has come, too.

use std::collections::BTreeMap;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anasazi_client::{
    Connector, GroupHandle, Member, OwnedEvent, OwnedView, Session, SessionOptions, SlowPolicy,
    SocketFile, Status, Stream, StreamAddress, Url,
};
use anasazi_oracle::{ClientEntry, ClientLog};
use anasazi_protocol::{
    GroupId, Incarnation, MemberId, NodeId, Process, RingId, SessionId, ViewCause, ViewId,
    content_hash,
};
use clap::Args;

use crate::random::Random;

/// What a client is told when it starts.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Where its daemon is.
    #[arg(long)]
    url: String,
    /// How it signs.
    #[arg(long)]
    name: String,
    /// How often a client of that name has been started.
    #[arg(long)]
    start: u64,
    /// Messages a second.
    #[arg(long)]
    rate: u64,
    /// Of what it does.
    #[arg(long)]
    seed: u64,
    /// Join and leave all the time.
    #[arg(long)]
    churn: bool,
    /// Where it writes what it sees.
    #[arg(long)]
    log: PathBuf,
}

/// Runs until its input ends. Err: why it cannot go on.
pub(crate) fn run(options: Options) -> Result<(), String> {
    let connector = connector(&options.url)?;
    let how = SessionOptions {
        send_ring_len: 1 << 18,
        receive_ring_len: 1 << 20,
        // Daemons come and go; a client that gave up would have to be started again by somebody.
        connect_timeout: Duration::from_secs(3_600),
        connect_async: true,
        slow: SlowPolicy::Disconnect,
    };
    let session = Session::open(connector, how).map_err(|failure| failure.message)?;
    let session = Arc::new(session);
    let orders = listen(&session);
    let log = ClientLog::create(&options.log)
        .map_err(|error| format!("cannot write {}: {error}", options.log.display()))?;
    let random = Random::new(options.seed.wrapping_add(options.start));
    let mut client = Client {
        session,
        log,
        me: MemberId::default(),
        random,
        options,
        groups: BTreeMap::new(),
        peers: BTreeMap::new(),
        counter: 0,
        resting: None,
        has_rested: false,
    };
    client.live(&orders)
}

/// Of one attempt of a session over a stream.
const CONNECT: Duration = Duration::from_secs(2);

fn connector(url: &str) -> Result<Arc<dyn Connector>, String> {
    match Url::parse(url).map_err(|failure| failure.message)? {
        Url::Shm(path) => Ok(Arc::new(SocketFile(path))),
        Url::Unix(path) => Ok(Arc::new(Stream::new(StreamAddress::Unix(path), CONNECT))),
        Url::Tcp(place) => Ok(Arc::new(Stream::new(StreamAddress::Tcp(place), CONNECT))),
        Url::InProcess(_) => Err("a client of a daemon needs a daemon".to_owned()),
    }
}

struct Client {
    session: Arc<Session>,
    log: ClientLog,
    /// As of the last `Resumed`.
    me: MemberId,
    random: Random,
    options: Options,
    groups: BTreeMap<String, Group>,
    /// Sessions that it sends to by themselves.
    peers: BTreeMap<(u64, u64), GroupHandle>,
    /// Messages sent.
    counter: u64,
    /// The number of the rest, while there is one.
    resting: Option<u64>,
    has_rested: bool,
}

struct Group {
    handle: GroupHandle,
    is_leaving: bool,
    /// Of the present view; empty while there is none.
    members: Vec<Member>,
    /// The mark has still to be sent.
    owes_mark: bool,
    /// The last marks that have come, by sender.
    marks: BTreeMap<(u64, u64), u64>,
}

impl Group {
    /// It has a view, and has not asked to leave.
    fn is_inside(&self) -> bool {
        !self.is_leaving && !self.members.is_empty()
    }
}

enum Order {
    Go,
    Rest(u64),
    End,
}

/// Lines of the input wake the session.
fn listen(session: &Arc<Session>) -> Receiver<Order> {
    let (sender, orders) = channel();
    let session = Arc::clone(session);
    thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            let order = match line.strip_prefix("rest ").map(str::parse) {
                Some(Ok(number)) => Order::Rest(number),
                _ => Order::Go,
            };
            let _ = sender.send(order);
            let _ = session.wake();
        }
        let _ = sender.send(Order::End);
        let _ = session.wake();
    });
    orders
}

impl Client {
    fn live(&mut self, orders: &Receiver<Order>) -> Result<(), String> {
        let mut due = Instant::now();
        loop {
            for order in orders.try_iter() {
                match order {
                    Order::Go => self.resting = None,
                    Order::Rest(number) => self.begin_rest(number),
                    Order::End => return Ok(()),
                }
            }
            let left = due.saturating_duration_since(Instant::now());
            match self.session.next_event(Some(left)) {
                Ok(Some(event)) => {
                    self.write_down(&event)?;
                    self.take(event)?;
                }
                Ok(None) | Err(Status::EINTR) => {}
                Err(status) => return Err(format!("receive: {}", status.text())),
            }
            self.send_marks()?;
            self.look_for_rest();
            if Instant::now() >= due {
                let mean_us = 1_000_000 / self.options.rate.max(1);
                due = Instant::now()
                    + Duration::from_micros(self.random.between(mean_us / 2..=mean_us * 3 / 2));
                if self.resting.is_none() {
                    self.act()?;
                }
            }
        }
    }

    /// What happened, for the oracle.
    fn write_down(&mut self, event: &OwnedEvent) -> Result<(), String> {
        let group_of = |handle: &GroupHandle| {
            let mut groups = self.groups.iter();
            groups.find(|(_, group)| group.handle == *handle).map(|(name, _)| GroupId::of(name))
        };
        let entry = match event {
            OwnedEvent::Message { groups, sender, sequence, data, .. } => {
                let groups: Option<Vec<_>> = groups.iter().map(group_of).collect();
                groups.map(|groups| message_entry(groups, member(sender), *sequence, data))
            }
            OwnedEvent::View { group, view } => {
                group_of(group).map(|group| view_entry(group, view, false))
            }
            OwnedEvent::Transitional { group, view } => {
                group_of(group).map(|group| view_entry(group, view, true))
            }
            OwnedEvent::Left { group, .. } if self.peers.values().any(|peer| peer == group) => {
                return Ok(());
            }
            OwnedEvent::Left { group, .. } => {
                group_of(group).map(|group| ClientEntry::Left { group })
            }
            OwnedEvent::Suspended { .. } => Some(ClientEntry::Suspended),
            OwnedEvent::Resumed { identity } => {
                self.me = member(identity);
                Some(ClientEntry::Resumed)
            }
            OwnedEvent::Closed { .. } => Some(ClientEntry::Closed),
            OwnedEvent::Gap { .. } => return Err("a gap that was not asked for".to_owned()),
            OwnedEvent::Receipt { .. } | OwnedEvent::Reply { .. } | OwnedEvent::Writable { .. } => {
                return Ok(());
            }
        };
        let entry = entry.ok_or("an event of a group that was never joined, or left before")?;
        if self.me == MemberId::default() && matches!(entry, ClientEntry::Left { .. }) {
            // It has changed its mind before it ever met a daemon: nobody else knows of it.
            return Ok(());
        }
        self.log.write(self.me, entry).map_err(|error| format!("cannot write the log: {error}"))
    }

    fn take(&mut self, event: OwnedEvent) -> Result<(), String> {
        let resting = self.resting.is_some();
        match event {
            OwnedEvent::Message { group, sender, data, .. } => {
                // It may come before this client itself is told to rest.
                let text = std::str::from_utf8(&data).unwrap_or_default();
                let number = text.strip_prefix("rest ").and_then(|number| number.parse().ok());
                if let (Some(number), Some(group)) = (number, self.group(group)) {
                    group.marks.insert((sender.node, sender.session), number);
                }
            }
            OwnedEvent::View { group, view } => {
                if let Some(group) = self.group(group) {
                    group.members = view.members;
                    // Whoever came now has not got the last one.
                    group.owes_mark = resting;
                }
            }
            OwnedEvent::Left { group, .. } => {
                self.groups.retain(|_, g| g.handle != group);
                self.peers.retain(|_, peer| *peer != group);
            }
            OwnedEvent::Suspended { .. } => {
                self.groups.values_mut().for_each(|group| group.members.clear());
            }
            OwnedEvent::Closed { status, reason } => {
                return Err(format!("the session ended: {}: {reason}", status.text()));
            }
            _ => {}
        }
        Ok(())
    }

    fn group(&mut self, handle: GroupHandle) -> Option<&mut Group> {
        self.groups.values_mut().find(|group| group.handle == handle)
    }

    fn begin_rest(&mut self, number: u64) {
        (self.resting, self.has_rested) = (Some(number), false);
        for group in self.groups.values_mut() {
            group.owes_mark = !group.members.is_empty();
        }
    }

    fn send_marks(&mut self) -> Result<(), String> {
        let Some(number) = self.resting else { return Ok(()) };
        let text = format!("rest {number}");
        for group in self.groups.values_mut().filter(|group| group.owes_mark && group.is_inside()) {
            match self.session.send(group.handle, SAFE, &[text.as_bytes()], 0) {
                Ok(()) => group.owes_mark = false,
                Err(Status::EAGAIN | Status::ENOTMEMBER | Status::ECLOSED) => {}
                Err(status) => return Err(format!("send: {}", status.text())),
            }
        }
        Ok(())
    }

    fn look_for_rest(&mut self) {
        let Some(number) = self.resting.filter(|_| !self.has_rested) else { return };
        let is_quiet = |group: &Group| {
            let has_come =
                |member: &Member| group.marks.get(&(member.node, member.session)) == Some(&number);
            !group.is_leaving && !group.members.is_empty() && group.members.iter().all(has_come)
        };
        if self.groups.values().all(is_quiet) {
            self.has_rested = true;
            say(&format!("rested {number}"));
        }
    }

    fn act(&mut self) -> Result<(), String> {
        let churns = self.options.churn && self.random.percent(3);
        if self.groups.is_empty() || churns {
            let name = GROUPS[self.random.index(GROUPS.len())];
            return self.join_or_leave(name);
        }
        // Only members send, so that the oracle can ask that all senders be in the view (G6).
        let inside: Vec<_> = self.groups.values().filter(|group| group.is_inside()).collect();
        if inside.is_empty() {
            return Ok(());
        }
        let all: Vec<_> = inside.iter().map(|group| group.handle).collect();
        let group = inside[self.random.index(inside.len())];
        let (handle, members) = (group.handle, group.members.clone());
        let service = self.draw_service();
        // Most are small; some take many packets.
        let longest = match self.random.index(100) {
            _ if service == UNRELIABLE => 300,
            0 => 20_000,
            1..=5 => 5_000,
            _ => 300,
        };
        self.counter += 1;
        let mut text = format!("{}.{} {}", self.options.name, self.options.start, self.counter);
        let len = self.random.between(text.len() as u64..=longest) as usize;
        text.extend(std::iter::repeat_n('.', len - text.len()));
        let tag = self.counter;
        let sent = match self.random.index(100) {
            0..=14 => {
                let to = members[self.random.index(members.len())];
                let peer = self.peer(to)?;
                self.session.send(peer, service, &[text.as_bytes()], tag)
            }
            15..=29 if all.len() > 1 => {
                let service = service | self.draw_same_view(service);
                GroupHandle::send_to_all(all.into_iter(), service, tag, text.as_bytes())
            }
            _ => {
                let service = service | self.draw_same_view(service);
                self.session.send(handle, service, &[text.as_bytes()], tag)
            }
        };
        match sent {
            Ok(()) | Err(Status::EAGAIN | Status::ENOTMEMBER | Status::ECLOSED) => Ok(()),
            Err(status) => Err(format!("send: {}", status.text())),
        }
    }

    fn draw_service(&mut self) -> u32 {
        match self.random.index(100) {
            0..=39 => SAFE,
            40..=54 => UNRELIABLE,
            number => 1 + number as u32 % AGREED,
        }
    }

    /// Nobody could tell the sender of a message without order that its view is over.
    fn draw_same_view(&mut self, service: u32) -> u32 {
        if service != UNRELIABLE && self.random.percent(20) { SAME_VIEW } else { 0 }
    }

    fn peer(&mut self, to: Member) -> Result<GroupHandle, String> {
        let name = (to.node, to.session);
        if let Some(peer) = self.peers.get(&name) {
            return Ok(*peer);
        }
        // With so many of them, an old one has to do.
        if self.peers.len() >= PEERS_MAX
            && let Some(old) = self.peers.values().nth(self.random.index(PEERS_MAX))
        {
            return Ok(*old);
        }
        let peer = self.session.peer("default", to, 0);
        let peer = peer.map_err(|status| format!("peer: {}", status.text()))?;
        self.peers.insert(name, peer);
        Ok(peer)
    }

    fn join_or_leave(&mut self, name: &str) -> Result<(), String> {
        if let Some(group) = self.groups.get_mut(name) {
            if !group.is_leaving {
                group.is_leaving = group.handle.leave().is_ok();
            }
            return Ok(());
        }
        let handle = self.session.join(name, 0, 0);
        let handle = handle.map_err(|status| format!("join: {}", status.text()))?;
        let group = Group {
            handle,
            is_leaving: false,
            members: Vec::new(),
            owes_mark: false,
            marks: BTreeMap::new(),
        };
        self.groups.insert(name.to_owned(), group);
        Ok(())
    }
}

fn message_entry(
    groups: Vec<GroupId>,
    sender: MemberId,
    sequence: u64,
    data: &[u8],
) -> ClientEntry {
    let hash = content_hash(data);
    match groups[..] {
        [] => ClientEntry::Unicast { sender, hash },
        [group] => ClientEntry::Message { group, sender, sequence, hash },
        _ => ClientEntry::Several { groups, sender, sequence, hash },
    }
}

fn member(member: &Member) -> MemberId {
    MemberId { node: node(member.node), session: SessionId(member.session) }
}

/// Nodes have 32 bits; one with more is none that a daemon can have meant.
fn node(number: u64) -> NodeId {
    NodeId(u32::try_from(number).unwrap_or(u32::MAX))
}

fn view_entry(group: GroupId, view: &OwnedView, transitional: bool) -> ClientEntry {
    let id = view.id;
    let incarnation = Incarnation(id.ring_incarnation);
    let representative = Process { node: node(id.ring_rep), incarnation };
    let ring = RingId { sequence: id.ring_seq, representative };
    ClientEntry::View {
        group,
        id: ViewId { ring, ordinal: id.ordinal, sub: id.sub },
        transitional,
        cause: cause(view.cause),
        members: view.members.iter().map(member).collect(),
        joined: view.joined.iter().map(member).collect(),
        left: view.left.iter().map(member).collect(),
        together: view.together.iter().map(member).collect(),
        sets: view.sets.clone(),
    }
}

/// `ANZ_CAUSE_*` of the C header.
fn cause(number: u32) -> ViewCause {
    match number {
        1 => ViewCause::Join,
        2 => ViewCause::Leave,
        3 => ViewCause::Disconnect,
        4 => ViewCause::Network,
        6 => ViewCause::Demoted,
        7 => ViewCause::Removed,
        _ => ViewCause::Merge,
    }
}

fn say(text: &str) {
    // Whoever does not listen any more has ended the run.
    let _ = writeln!(stdout(), "{text}");
}

const GROUPS: [&str; 3] = ["all", "some", "others"];
/// Sessions that one client sends to by themselves.
const PEERS_MAX: usize = 256;
const UNRELIABLE: u32 = 0;
const AGREED: u32 = 4;
const SAFE: u32 = 5;
/// Delivered in the view that its sender sees, or not at all.
const SAME_VIEW: u32 = 0x400;
