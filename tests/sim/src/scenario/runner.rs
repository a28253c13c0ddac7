//! Carries a scenario out, and judges the whole at its end.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use anasazi_protocol::{GroupId, MemberId, SessionId};

use crate::cluster::{Cell, Cluster};
use crate::liveness::Liveness;
use crate::options::Options;
use crate::session::{Reading, Session};

use super::chronicle::Chronicle;
use super::command::{Command, Deed};
use super::expect;
use super::packets::Post;
use super::settings::Setting;
use super::words::{Client, Nodes, Time};
use super::{Printed, Scenario};

/// The group of everybody, if nothing else is said.
const GROUP: &str = "g";
/// Nothing may change for so long at the end.
const QUIET: u64 = 5_000_000_000;
/// After healing there is one ring within this time, in nanoseconds, with timers of default length.
const SETTLE: u64 = 12_000_000_000;

/// Lines of the story that an error shows.
const STORY_LINES_MAX: usize = 80;

/// A scenario under way.
pub(crate) struct Runner {
    pub(crate) cluster: Cluster,
    /// Of the last wait, in nanoseconds.
    pub(crate) took: u64,
    pub(crate) post: Rc<RefCell<Post>>,
    pub(crate) chronicle: Rc<RefCell<Chronicle>>,
    pub(crate) clients: BTreeMap<Client, SessionId>,
    /// How often a client of this name was opened.
    opened: BTreeMap<Client, usize>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) sent: BTreeMap<&'static str, u64>,
    pub(crate) swept: u64,
    apart: bool,
    printed: Printed,
}

/// What came of a scenario.
pub(crate) struct Told {
    pub(crate) printed: Printed,
    /// Lines of the rules for datagrams that had something to do.
    pub(crate) applied: BTreeSet<usize>,
    /// Where in the transition table it was.
    pub(crate) cells: BTreeSet<Cell>,
}

/// What a node had counted at the last `mark`.
#[derive(Clone, Default)]
pub(crate) struct Mark {
    pub(crate) life: u64,
    pub(crate) stats: BTreeMap<&'static str, u64>,
}

impl Runner {
    /// Runs all of it. The error says on which line it went wrong, and how.
    pub(crate) fn run(scenario: &Scenario, swept: u64) -> Result<Told, String> {
        let commands = &scenario.commands;
        let planted = commands.iter().any(|(_, c)| matches!(c, Command::Plant));
        let made = commands.iter().find_map(|(_, c)| match c {
            Command::Nodes { count, settings } | Command::Ring { count, settings } => {
                Some((*count, settings))
            }
            _ => None,
        });
        let (count, settings) = made.ok_or_else(|| format!("{}: no cluster", scenario.name))?;
        let mut runner = Self::new(count, settings, swept)?;
        if planted {
            runner.chronicle.borrow_mut().forget_one();
        }
        let chronicle = Rc::clone(&runner.chronicle);
        let fails = |place: String, what: String| {
            format!("{place}: {}\n{}", what.trim_end(), so_far(&chronicle.borrow()))
        };
        runner.all(commands).map_err(|(line, what)| {
            fails(format!("{}: at `{}`", scenario.place(line), scenario.lines[line].trim()), what)
        })?;
        let printed = std::mem::take(&mut runner.printed);
        let cells = std::mem::take(&mut runner.cluster.cells);
        let post = Rc::clone(&runner.post);
        runner.end().map_err(|what| {
            let last = scenario.place(scenario.lines.len());
            fails(format!("{last}: after the last line, with all faults ended"), what)
        })?;
        let applied = post.borrow().applied.clone();
        Ok(Told { printed, applied, cells })
    }

    fn new(count: usize, settings: &[Setting], swept: u64) -> Result<Self, String> {
        let mut options = Options::quiet(count);
        for setting in settings {
            setting.apply(&mut options)?;
        }
        let mut cluster = Cluster::new(options);
        let post = Post::watch(&mut cluster, swept);
        let chronicle = Chronicle::watch(&mut cluster);
        cluster.judge();
        let marks = vec![Mark::default(); cluster.nodes.len()];
        Ok(Self {
            cluster,
            took: 0,
            post,
            chronicle,
            clients: BTreeMap::new(),
            opened: BTreeMap::new(),
            marks,
            sent: BTreeMap::new(),
            swept,
            apart: false,
            printed: Printed::new(),
        })
    }

    fn all(&mut self, commands: &[(usize, Command)]) -> Result<(), (usize, String)> {
        let mut at = 0;
        while let Some((line, command)) = commands.get(at) {
            if let Command::Repeat(times) = command {
                let len = loop_len(&commands[at + 1..]);
                for _ in 0..*times {
                    self.all(&commands[at + 1..at + 1 + len])?;
                }
                at += len + 2;
                continue;
            }
            self.one(*line, command).map_err(|what| (*line, what))?;
            at += 1;
        }
        Ok(())
    }

    fn one(&mut self, line: usize, command: &Command) -> Result<(), String> {
        match command {
            Command::Ring { .. } => self.form()?,
            Command::Configure { nodes, settings } => self.configure(nodes, settings),
            Command::Twin { node, of } => {
                self.cluster.nodes[*node].id = self.cluster.nodes[*of].id;
                self.cluster.expect_twins(*of);
            }
            Command::Network(settings) => {
                for setting in settings {
                    setting.apply(&mut self.cluster.options)?;
                }
                self.cluster.network.options = self.cluster.options.network.clone();
            }
            Command::Process { deed, nodes } => {
                for node in nodes.of(self.cluster.nodes.len()) {
                    self.process(*deed, node);
                }
            }
            Command::Wall { node, ms } => self.cluster.nodes[*node].wall_ms += ms,
            Command::Leap { node, time } => {
                self.cluster.leap(*node, time.nanoseconds(self.swept));
            }
            Command::Slow { nodes, time } => {
                let time = time.nanoseconds(self.swept);
                for node in nodes.of(self.cluster.nodes.len()) {
                    self.cluster.nodes[node].turn_ns = time;
                }
            }
            Command::FailSends { nodes, time } => {
                let until = self.cluster.now + time.nanoseconds(self.swept);
                for node in nodes.of(self.cluster.nodes.len()) {
                    self.cluster.network.fail_sends(node, until);
                }
            }
            Command::Tick(time) => {
                let time = time.nanoseconds(self.swept);
                self.advance(time, |_| false);
            }
            Command::Settle(time) => self.wait_for(*time, Cluster::settled)?,
            Command::Rest(time) => self.rest(*time)?,
            Command::Wait { nodes, state, time } => self.wait_state(nodes, state, *time)?,
            Command::Mark => self.mark(),
            Command::Expect(expectation) => expect::check(self, expectation)?,
            Command::Story(part) => {
                let told = self.chronicle.borrow_mut().tell(*part);
                self.printed.entry(line).or_default().extend(told);
            }
            Command::Apart => self.apart = true,
            Command::Repeat(_) | Command::EndRepeat | Command::Nodes { .. } | Command::Plant => {}
            _ => self.client_or_link(line, command)?,
        }
        self.post.borrow_mut().deliver(&mut self.cluster);
        self.good()
    }

    fn client_or_link(&mut self, line: usize, command: &Command) -> Result<(), String> {
        match command {
            Command::Join { client, group } => self.join(client, group)?,
            Command::Leave { client, group } => {
                let group = GroupId::of(group);
                self.with(client, |s| s.leave(group))?;
            }
            Command::Disconnect { client } => {
                self.with(client, Session::disconnect)?;
                self.clients.remove(client);
            }
            Command::Send { client, group, len, safe, count } => {
                let group = GroupId::of(group);
                self.with(client, |s| {
                    (0..*count).for_each(|_| s.send(group, *len, *safe, false));
                })?;
            }
            Command::Reads { client, reading } => self.with(client, |s| s.read(*reading))?,
            Command::Load { count, len } => self.load(*count, *len),
            Command::Packets(rule) => self.post.borrow_mut().add(line, rule.clone()),
            Command::Release => self.post.borrow_mut().release(self.cluster.now),
            Command::Clear => self.post.borrow_mut().clear(),
            Command::Record => self.post.borrow_mut().record(),
            Command::Again { from } => {
                let from = from.of(self.cluster.nodes.len());
                self.post.borrow_mut().again(self.cluster.now, &from);
            }
            _ => self.link(command),
        }
        Ok(())
    }

    /// All machines start; one ring; everybody in the group.
    fn form(&mut self) -> Result<(), String> {
        let count = self.cluster.nodes.len();
        (0..count).for_each(|node| self.cluster.boot(node));
        self.wait_for(Time::Fixed(3_000_000_000), Cluster::settled)?;
        for node in 0..count {
            self.join(&Client { node, name: String::new() }, GROUP)?;
        }
        self.rest(Time::Fixed(1_000_000_000))?;
        self.mark();
        Ok(())
    }

    fn configure(&mut self, nodes: &Nodes, settings: &[Setting]) {
        let nodes = nodes.of(self.cluster.nodes.len());
        let settings = settings.to_vec();
        let mut before = self.cluster.configure.take();
        self.cluster.configure = Some(Box::new(move |node, config| {
            if let Some(before) = &mut before {
                before(node, config);
            }
            if nodes.contains(&node) {
                // They were tried when the file was read.
                settings.iter().for_each(|s| drop(s.configure(config)));
            }
        }));
    }

    fn process(&mut self, deed: Deed, node: usize) {
        let cluster = &mut self.cluster;
        match deed {
            Deed::Boot => cluster.boot(node),
            Deed::BootCut { written } => cluster.boot_in_vain(node, written),
            Deed::Crash => cluster.crash(node),
            Deed::Wipe => {
                cluster.crash(node);
                cluster.lose_state(node);
            }
            Deed::Restart => {
                cluster.crash(node);
                cluster.boot(node);
            }
            Deed::Pause => cluster.pause(node),
            Deed::Suspend => {
                let now = cluster.now;
                cluster.pause(node);
                cluster.nodes[node].clock.stop(now);
            }
            Deed::Resume => cluster.resume(node),
            Deed::Shutdown => cluster.shutdown(node),
            Deed::MayStop => cluster.expect_stop(node),
        }
    }

    fn join(&mut self, client: &Client, group: &str) -> Result<(), String> {
        let node = client.node;
        if !self.cluster.nodes[node].runs() {
            return Err(format!("n{} does not run", node + 1));
        }
        let known = self.clients.get(client).copied();
        if known.is_none_or(|s| self.cluster.session(node, s).is_none()) {
            let session = self.cluster.open_session(node);
            let times = self.opened.entry(client.clone()).or_default();
            *times += 1;
            let slash = if client.name.is_empty() { "" } else { "/" };
            let primes = "'".repeat(*times - 1);
            let name = format!("n{}{slash}{}{primes}", node + 1, client.name);
            let member = MemberId { node: self.cluster.nodes[node].id, session };
            self.chronicle.borrow_mut().name_client(member, name);
            self.clients.insert(client.clone(), session);
        }
        self.chronicle.borrow_mut().name_group(group);
        self.with(client, |s| {
            s.keep = true;
            s.join(group);
        })
    }

    fn with(&mut self, client: &Client, deed: impl FnOnce(&mut Session)) -> Result<(), String> {
        let unknown = || format!("n{} has no such client; `join` makes one", client.node + 1);
        let session = self.session(client).ok_or_else(unknown)?;
        self.cluster.with_session(client.node, session, deed);
        Ok(())
    }

    fn load(&mut self, count: u64, len: usize) {
        let clients: Vec<Client> = self.clients.keys().cloned().collect();
        for number in 0..count {
            for client in &clients {
                // Who is gone says nothing.
                let _ =
                    self.with(client, |s| s.send(GroupId::of(GROUP), len, number % 2 == 1, false));
            }
        }
    }

    /// Lets time pass until something is so; whether it is.
    fn advance(&mut self, limit: u64, done: impl Fn(&Cluster) -> bool) -> bool {
        let (start, end) = (self.cluster.now, self.cluster.now + limit);
        self.post.borrow_mut().deliver(&mut self.cluster);
        while !done(&self.cluster) {
            if !self.cluster.step_until(end) {
                self.cluster.now = self.cluster.now.max(end);
                self.took = self.cluster.now - start;
                return done(&self.cluster);
            }
            self.post.borrow_mut().deliver(&mut self.cluster);
        }
        self.took = self.cluster.now - start;
        true
    }

    fn wait_for(
        &mut self,
        limit: Time,
        missing: impl Fn(&Cluster) -> Result<(), String>,
    ) -> Result<(), String> {
        let limit = limit.nanoseconds(self.swept);
        let there = self.advance(limit, |c| missing(c).is_ok());
        self.good()?;
        if there {
            return Ok(());
        }
        let why = missing(&self.cluster).err().unwrap_or_default();
        Err(format!(
            "{why}, after {:?}\n{}",
            Duration::from_nanos(limit),
            self.cluster.last_lines()
        ))
    }

    fn rest(&mut self, limit: Time) -> Result<(), String> {
        self.wait_for(limit, Cluster::at_rest)?;
        self.cluster.groups_agree()
    }

    fn wait_state(&mut self, nodes: &Nodes, state: &str, limit: Time) -> Result<(), String> {
        let nodes = nodes.of(self.cluster.nodes.len());
        self.wait_for(limit, |cluster| {
            match nodes.iter().find(|n| cluster.nodes[**n].state != state) {
                Some(n) => Err(format!("n{} is in {}", n + 1, cluster.nodes[*n].state)),
                None => Ok(()),
            }
        })
    }

    fn mark(&mut self) {
        for (node, mark) in self.marks.iter_mut().enumerate() {
            let node = &self.cluster.nodes[node];
            let stats = node.core().map(|c| c.stats().fields().collect());
            *mark = Mark { life: node.life, stats: stats.unwrap_or_default() };
        }
        self.sent = self.post.borrow().sent.clone();
        self.chronicle.borrow_mut().clear();
    }

    fn good(&self) -> Result<(), String> {
        self.cluster.failure().map_or(Ok(()), |failure| Err(failure.to_string()))
    }

    /// Ends every fault, waits for one ring and for rest, and asks the oracle.
    fn end(mut self) -> Result<(), String> {
        self.end_faults();
        if !self.apart {
            let limit = SETTLE * if self.cluster.options.timer_scale > 1 { 6 } else { 1 };
            self.wait_for(Time::Fixed(limit), Cluster::settled)?;
            self.rest(Time::Fixed(limit))?;
        }
        // What a machine is at was begun while it was slow.
        self.wait_for(Time::Fixed(QUIET), Cluster::nobody_is_at_work)?;
        let installed = self.cluster.installed();
        self.cluster.judge.visits_on = true;
        self.advance(QUIET, |_| false);
        self.cluster.judge_last_visits();
        self.good()?;
        if self.cluster.installed() != installed {
            return Err(Liveness::L5.broken("the configuration changed although nothing happened"));
        }
        if !self.apart {
            self.cluster.at_rest().map_err(|missing| format!("it did not last: {missing}"))?;
            self.cluster.few_changes()?;
        }
        let apart = self.apart;
        let summary = self.cluster.finish(!apart).map_err(|failure| failure.to_string())?;
        match summary.undelivered.first() {
            Some(first) if !apart => Err(Liveness::L3.broken(format!(
                "{}#{} was accepted and never delivered",
                first.origin, first.counter
            ))),
            _ => Ok(()),
        }
    }

    fn end_faults(&mut self) {
        self.post.borrow_mut().clear();
        let cluster = &mut self.cluster;
        cluster.network.heal(cluster.now);
        cluster.options.machine.persist_failure = 0;
        let clients: Vec<(Client, SessionId)> =
            self.clients.iter().map(|(client, session)| (client.clone(), *session)).collect();
        for (client, session) in clients {
            cluster.with_session(client.node, session, |s| s.read(Reading::Eager));
        }
        for node in 0..cluster.nodes.len() {
            cluster.nodes[node].turn_ns = 0;
            cluster.resume(node);
        }
        cluster.judge_from_here();
    }
}

/// What every node went through until something was wrong.
fn so_far(chronicle: &Chronicle) -> String {
    let lines = chronicle.so_far();
    let hidden = lines.len().saturating_sub(STORY_LINES_MAX);
    let later = if hidden > 0 { format!(", {hidden} lines later") } else { String::new() };
    let shown: Vec<String> = lines[hidden..].iter().map(|line| format!("  {line}")).collect();
    format!("the story so far, from the last `mark` on{later}:\n{}", shown.join("\n"))
}

/// Commands up to the end of this loop.
fn loop_len(commands: &[(usize, Command)]) -> usize {
    let mut depth = 0;
    for (at, (_, command)) in commands.iter().enumerate() {
        match command {
            Command::EndRepeat if depth == 0 => return at,
            Command::EndRepeat => depth -= 1,
            Command::Repeat(_) => depth += 1,
            _ => {}
        }
    }
    commands.len()
}

impl Cluster {
    /// Does the next thing if it happens until then.
    fn step_until(&mut self, end: u64) -> bool {
        self.schedule.next_time().is_some_and(|t| t <= end) && self.step()
    }

    /// A machine's monotonic clock leaps forward.
    fn leap(&mut self, node: usize, time: u64) {
        self.nodes[node].clock.offset += time;
        self.nodes[node].timer_at = None;
        self.arm(node);
    }
}
