//! What bridges promise (PROTOCOL.md, "Bridges"), judged by what programs got at one end, and by
//! what the cores of gateways delivered at the other.

use std::collections::{BTreeMap, BTreeSet};

use anasazi_engine::config::{Settings, ValidConfig};
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{GroupId, Incarnation, MemberId, NodeId, Process, SessionId};

use super::world::{FAST, NAMES, SLOW};
use crate::random::Random;

/// Bridges of a run.
#[derive(Clone, Debug)]
pub(crate) struct BridgesPlan {
    /// From which domain to which.
    pub(crate) ways: &'static [(usize, usize)],
    latest_key_len: usize,
    rate_per_s: u64,
    pub(super) queue_messages: usize,
}

/// What was seen of bridges.
#[derive(Default)]
pub(super) struct BridgeJudge {
    /// By domain and process, while its engine is a member: contents, in order.
    sources: BTreeMap<(usize, Process), Source>,
    /// By domain and process: what its program got.
    targets: BTreeMap<(usize, Process), Vec<Got>>,
    /// What messages are about, by their contents.
    subjects: BTreeMap<u64, u64>,
    /// Sent when all was well, by domain.
    last_words: BTreeSet<(usize, u64)>,
}

#[derive(Default)]
struct Source {
    is_member: bool,
    contents: Vec<u64>,
}

/// What a program got of another domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// A message of this content, by this gateway.
    Message {
        content: u64,
        gateway: Process,
    },
    Gap,
}

impl BridgesPlan {
    pub(super) fn new(random: &mut Random) -> Self {
        const WAYS: [&[(usize, usize)]; 5] =
            [&[], &[(FAST, SLOW)], &[(FAST, SLOW)], &[(SLOW, FAST)], &[(FAST, SLOW), (SLOW, FAST)]];
        let (ways, rate_per_s) = (WAYS[random.index(WAYS.len())], random.pick(&[0, 0, 50]));
        // What waits at the end is to be forwarded soon.
        let many = if rate_per_s > 0 { 40 } else { 10_000 };
        Self {
            ways,
            latest_key_len: random.pick(&[0, 0, 0, 7]),
            rate_per_s,
            queue_messages: random.pick(&[many, many, 4]),
        }
    }

    pub(super) fn are_some(&self) -> bool {
        !self.ways.is_empty()
    }

    /// What happens in `slow` may be seen in `fast`.
    pub(super) fn leads_to_fast(&self) -> bool {
        self.ways.iter().any(|(_, to)| *to == FAST)
    }

    /// The configuration of every node.
    pub(super) fn config(&self) -> ValidConfig {
        let mut text = "cluster = \"anasazi\"\n[domain.fast]\n[domain.slow]\n".to_owned();
        for (from, to) in self.ways {
            let (from, to) = (NAMES[*from], NAMES[*to]);
            text.push_str(&format!(
                "[bridge.{from}-{to}]\nfrom = \"{from}/g\"\nto = \"{to}/g\"\n\
                 latest_key_len = {}\nrate_per_s = {}\nqueue_messages = {}\n",
                self.latest_key_len, self.rate_per_s, self.queue_messages
            ));
        }
        let mut settings = Settings::new();
        let loaded = settings.load_text(&text, "bridges");
        loaded.and_then(|()| settings.validate()).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// A session of the engine itself.
pub(super) fn is_engine(session: SessionId) -> bool {
    session.number() == 0
}

/// The engine of which this is the session.
pub(super) fn engine_of(node: u64, session: u64) -> Process {
    Process { node: NodeId(node as u32), incarnation: Incarnation(session >> 24) }
}

impl BridgeJudge {
    /// A program sent something about that.
    pub(super) fn sent(&mut self, domain: usize, (content, payload): (u64, &[u8]), at_end: bool) {
        if at_end {
            self.last_words.insert((domain, content));
        }
        let subject = payload[..7].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.subjects.insert(content, subject);
    }

    /// A core did something.
    pub(super) fn trace(&mut self, domain: usize, process: Process, trace: &Trace) {
        let source = || (domain, process);
        match trace {
            Trace::GroupView { group, members, .. } if *group == GroupId::of("g") => {
                let is_me = |m: &MemberId| {
                    is_engine(m.session) && engine_of(m.node.0.into(), m.session.0) == process
                };
                let source = self.sources.entry(source()).or_default();
                source.is_member = members.iter().any(is_me);
            }
            Trace::GroupMessage { group, sender, hash, .. } if *group == GroupId::of("g") => {
                let source = self.sources.entry(source()).or_default();
                if source.is_member && !is_engine(sender.session) {
                    source.contents.push(*hash);
                }
            }
            _ => {}
        }
    }

    /// A program got something.
    pub(super) fn got(&mut self, domain: usize, process: Process, got: Got) {
        self.targets.entry((domain, process)).or_default().push(got);
    }

    /// The judgement. `last`: the processes that live at the end, when all is at rest.
    pub(super) fn judge(&self, plan: &BridgesPlan, last: &[Process]) -> Result<u64, String> {
        let mut count = 0;
        for (from, to) in plan.ways {
            let targets = self.targets.iter().filter(|((domain, _), _)| domain == to);
            for ((_, process), got) in targets {
                let judged = self.judge_one(plan, *from, got);
                judged.map_err(|text| format!("bridge: {} {process}: {text}", NAMES[*to]))?;
                count += got.len() as u64;
            }
            self.judge_end(plan, (*from, *to), last)?;
        }
        Ok(count)
    }

    fn judge_one(&self, plan: &BridgesPlan, from: usize, got: &[Got]) -> Result<(), String> {
        let messages = || {
            got.iter().filter_map(|got| match got {
                Got::Message { content, .. } => Some(*content),
                Got::Gap => None,
            })
        };
        let mut once = BTreeSet::new();
        if let Some(twice) = messages().find(|content| !once.insert(*content)) {
            return Err(format!("BR1: it got {twice:x} twice"));
        }
        for source in self.of(from) {
            let at: BTreeMap<u64, usize> = source.contents.iter().copied().zip(0..).collect();
            let places = messages().filter_map(|content| at.get(&content));
            if !places.is_sorted() {
                return Err("BR2: it got messages in another order than the source".to_owned());
            }
        }
        let mut before: Option<u64> = None;
        let mut is_gap = false;
        for got in got {
            match *got {
                Got::Gap => is_gap = true,
                Got::Message { content, gateway } => {
                    self.judge_step(plan, (from, gateway), (before, content), is_gap)?;
                    (before, is_gap) = (Some(content), false);
                }
            }
        }
        Ok(())
    }

    fn of(&self, domain: usize) -> impl Iterator<Item = &Source> {
        let all = self.sources.iter();
        all.filter(move |((of, _), _)| *of == domain).map(|(_, source)| source)
    }

    /// From one message of a bridge to the next one.
    fn judge_step(
        &self,
        plan: &BridgesPlan,
        source: (usize, Process),
        (before, content): (Option<u64>, u64),
        is_gap: bool,
    ) -> Result<(), String> {
        let gateway = source.1;
        let Some(history) = self.sources.get(&source) else {
            return Err(format!("BR1: {content:x} came by {gateway}, which has got nothing"));
        };
        let find = |content: u64| history.contents.iter().position(|of| *of == content);
        let Some(at) = find(content) else {
            return Err(format!("BR1: {content:x} came by {gateway}, which has not got it"));
        };
        let from = before.and_then(find);
        let missing = from.filter(|from| *from < at).map(|from| &history.contents[from + 1..at]);
        if is_gap {
            if missing.is_some_and(<[u64]>::is_empty) && plan.latest_key_len == 0 {
                return Err(format!("BR4: a gap before {content:x}, where nothing is missing"));
            }
            return Ok(());
        }
        // What was forwarded before its first one it was not to get.
        let Some(before) = before else { return Ok(()) };
        let Some(missing) = missing else {
            return Err(format!("BR3: {before:x} then {content:x} without a gap, by {gateway}"));
        };
        let is_replaced = |of: &u64| {
            let rest = &history.contents[from.unwrap_or(0)..];
            let after = rest.iter().skip_while(|other| *other != of).skip(1);
            plan.latest_key_len > 0
                && after.into_iter().any(|other| self.subjects.get(other) == self.subjects.get(of))
        };
        match missing.iter().find(|of| !is_replaced(of)) {
            Some(of) => Err(format!(
                "BR3: {of:x} is missing before {content:x}, without a gap, by {gateway}"
            )),
            None => Ok(()),
        }
    }

    /// What was sent when all was well is forwarded: the last at least, and all of it where there
    /// is room for that.
    fn judge_end(
        &self,
        plan: &BridgesPlan,
        (from, to): (usize, usize),
        last: &[Process],
    ) -> Result<(), String> {
        let sources = last.iter().filter_map(|process| self.sources.get(&(from, *process)));
        let Some(source) = sources.max_by_key(|source| source.contents.len()) else {
            return Ok(());
        };
        let words =
            source.contents.iter().filter(|content| self.last_words.contains(&(from, **content)));
        let words: Vec<_> = words.collect();
        if words.is_empty() {
            return Err(format!(
                "bridge: BR5: no gateway has got the last words of {}",
                NAMES[from]
            ));
        }
        let is_all = plan.latest_key_len == 0 && plan.queue_messages > words.len();
        let must = if is_all { &words[..] } else { &words[words.len() - 1..] };
        let is_there = |process: &&Process| self.sources.contains_key(&(to, **process));
        for process in last.iter().filter(is_there) {
            let Some(got) = self.targets.get(&(to, *process)) else {
                return Err(format!("bridge: {} {process}: BR5: it got nothing", NAMES[to]));
            };
            let has = |content: u64| {
                got.iter()
                    .any(|got| matches!(got, Got::Message { content: of, .. } if *of == content))
            };
            if let Some(missing) = must.iter().find(|content| !has(***content)) {
                return Err(format!(
                    "bridge: {} {process}: BR5: it has not got {missing:x}, sent when all was well",
                    NAMES[to]
                ));
            }
        }
        Ok(())
    }
}
