//! The story of each node: rings, views and messages in the order in which it had them. Numbers
//! that depend on the exact timing are left out, so that it changes only when something that
//! matters has changed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use anasazi_oracle::Entry;
use anasazi_protocol::event::Cause;
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Event, GroupId, MemberId, NodeId, Process};

use crate::cluster::{Cluster, Observed};
use crate::story::describe;

use super::command::Part;

/// What a node went through.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Boot,
    End,
    Together(Vec<Process>),
    Ring(Vec<Process>),
    Cause(&'static str),
    View { group: GroupId, transitional: bool, members: Vec<MemberId> },
    Message { group: GroupId, sender: MemberId },
}

/// The stories of all nodes, and the names of everything in them.
#[derive(Default)]
pub(crate) struct Chronicle {
    items: Vec<Vec<Item>>,
    /// Up to where each part of each node's story has been told.
    told: BTreeMap<(usize, Part), usize>,
    /// Everything that operators were told, by node.
    events: Vec<Vec<String>>,
    incarnations: BTreeMap<NodeId, Vec<Process>>,
    clients: BTreeMap<MemberId, String>,
    groups: BTreeMap<GroupId, String>,
    /// A bug that is planted into the log, to see it found.
    forgets: bool,
}

impl Chronicle {
    /// Watches a cluster from its beginning.
    pub(crate) fn watch(cluster: &mut Cluster) -> Rc<RefCell<Self>> {
        let items = vec![Vec::new(); cluster.nodes.len()];
        let chronicle = Rc::new(RefCell::new(Self {
            events: vec![Vec::new(); items.len()],
            items,
            ..Self::default()
        }));
        let tap = Rc::clone(&chronicle);
        cluster.tap = Some(Box::new(move |node, seen| tap.borrow_mut().take(node, seen)));
        chronicle
    }

    pub(crate) fn name_client(&mut self, member: MemberId, name: String) {
        self.clients.insert(member, name);
    }

    pub(crate) fn name_group(&mut self, name: &str) {
        self.groups.insert(GroupId::of(name), name.to_owned());
    }

    /// The log lacks one delivery from now on.
    pub(crate) fn forget_one(&mut self) {
        self.forgets = true;
    }

    /// What happened so far is not told.
    pub(crate) fn clear(&mut self) {
        self.items.iter_mut().for_each(Vec::clear);
        self.told.clear();
    }

    /// The story since it was told last.
    pub(crate) fn tell(&mut self, part: Part) -> Vec<String> {
        let mut stories = Vec::new();
        for (node, items) in self.items.iter().enumerate() {
            let told = self.told.insert((node, part), items.len()).unwrap_or(0);
            stories.push(self.lines(&items[told..], part));
        }
        together(&stories)
    }

    /// All of it since the last `mark`, whatever was told of it.
    pub(crate) fn so_far(&self) -> Vec<String> {
        let stories: Vec<_> = self.items.iter().map(|items| self.lines(items, Part::All)).collect();
        together(&stories)
    }

    /// An operator of the node was told so.
    pub(crate) fn was_told(&self, node: usize, what: &str) -> bool {
        self.events[node].iter().any(|event| event.contains(what))
    }

    /// `false` keeps an entry from the oracle.
    fn take(&mut self, node: usize, seen: Observed<'_>) -> bool {
        if let Observed::Event(event) = seen {
            self.events[node].push(describe(event));
        }
        let item = match seen {
            Observed::Event(Event::Installed { cause, .. }) => Item::Cause(cause_word(cause)),
            Observed::Event(_) | Observed::Entry(Entry::Lost { .. }) => return true,
            Observed::Entry(Entry::Boot { .. }) => Item::Boot,
            Observed::Entry(Entry::Crash) => Item::End,
            Observed::Entry(Entry::Trace(trace)) => {
                if self.forgets && matches!(trace, Trace::Packet { .. }) {
                    self.forgets = false;
                    return false;
                }
                let Some(item) = item(trace) else { return true };
                item
            }
        };
        if let Item::Ring(members) = &item {
            self.meet(members);
        }
        self.items[node].push(item);
        true
    }

    fn meet(&mut self, members: &[Process]) {
        for member in members {
            let known = self.incarnations.entry(member.node).or_default();
            if !known.contains(member) {
                known.push(*member);
            }
        }
    }

    /// `n2`, and `n2'` when it has been started again.
    fn process(&self, process: &Process) -> String {
        let known = self.incarnations.get(&process.node);
        let earlier = known.map_or(0, |k| k.iter().filter(|p| **p < *process).count());
        format!("n{}{}", process.node, "'".repeat(earlier))
    }

    pub(crate) fn client(&self, member: MemberId) -> String {
        self.clients.get(&member).cloned().unwrap_or_else(|| member.to_string())
    }

    fn group(&self, group: GroupId) -> String {
        self.groups.get(&group).cloned().unwrap_or_else(|| format!("{:x}", group.0))
    }

    fn lines(&self, items: &[Item], part: Part) -> Vec<String> {
        let mut lines = Vec::new();
        let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
        for item in items {
            if let Item::Message { group, sender } = item {
                *counts.entry((self.group(*group), self.client(*sender))).or_default() += 1;
                continue;
            }
            let Some(line) = self.line(item, part) else { continue };
            flush(&mut counts, part, &mut lines);
            lines.push(line);
        }
        flush(&mut counts, part, &mut lines);
        lines
    }

    fn line(&self, item: &Item, part: Part) -> Option<String> {
        let processes = |members: &[Process]| {
            // Whoever is alone is with itself; so the stories of several such are told together.
            if members.len() == 1 {
                return "itself".to_owned();
            }
            let names: Vec<String> = members.iter().map(|m| self.process(m)).collect();
            names.join(" ")
        };
        let (rings, views) =
            (matches!(part, Part::All | Part::Rings), matches!(part, Part::All | Part::Views));
        match item {
            Item::Boot if rings => Some("boot".to_owned()),
            Item::End if rings => Some("end".to_owned()),
            Item::Together(members) if rings => Some(format!("together {}", processes(members))),
            Item::Ring(members) if rings => Some(format!("ring {}", processes(members))),
            Item::Cause(cause) if part == Part::Causes => Some((*cause).to_owned()),
            Item::View { group, transitional, members } if views => {
                let names: Vec<String> = members.iter().map(|m| self.client(*m)).collect();
                let word = if *transitional { "signal" } else { "view" };
                Some(format!("{word} {}: {}", self.group(*group), names.join(" ")))
            }
            _ => None,
        }
    }
}

/// The stories of all nodes; nodes with one story are told together.
fn together(stories: &[Vec<String>]) -> Vec<String> {
    let mut lines = Vec::new();
    for (node, story) in stories.iter().enumerate() {
        if story.is_empty() || stories[..node].contains(story) {
            continue;
        }
        let alike = (node..stories.len()).filter(|other| stories[*other] == *story);
        let names: Vec<String> = alike.map(|n| format!("n{}", n + 1)).collect();
        lines.push(names.join(" "));
        lines.extend(story.iter().map(|line| format!("  {line}")));
    }
    if lines.is_empty() {
        lines.push("nothing".to_owned());
    }
    lines
}

fn flush(counts: &mut BTreeMap<(String, String), u64>, part: Part, lines: &mut Vec<String>) {
    let counts = std::mem::take(counts);
    if part != Part::All || counts.is_empty() {
        return;
    }
    let words: Vec<String> =
        counts.iter().map(|((group, sender), n)| format!("{n} to {group} from {sender}")).collect();
    lines.push(words.join(", "));
}

fn item(trace: &Trace) -> Option<Item> {
    Some(match trace {
        Trace::Regular { members, .. } => Item::Ring(members.clone()),
        Trace::Transitional { members, .. } => Item::Together(members.clone()),
        Trace::GroupView { group, transitional, members, .. } => {
            Item::View { group: *group, transitional: *transitional, members: members.clone() }
        }
        Trace::GroupMessage { group, sender, .. } => {
            Item::Message { group: *group, sender: *sender }
        }
        _ => return None,
    })
}

fn cause_word(cause: &Cause) -> &'static str {
    match cause {
        Cause::Boot => "boot",
        Cause::TokenLoss { .. } => "token loss",
        Cause::Unreachable { .. } => "unreachable",
        Cause::Left { .. } => "left",
        Cause::Restarted { .. } => "restarted",
        Cause::JoinFrom { .. } => "join",
        Cause::Merge { .. } => "merge",
        Cause::CommitTimeout => "commit timeout",
        Cause::RecoveryTimeout => "recovery timeout",
        Cause::FailedToReceive { .. } => "failed to receive",
        Cause::Contradiction => "contradiction",
        Cause::Demoted { .. } => "demoted",
        Cause::Shutdown => "shutdown",
        Cause::Superseded => "superseded",
        Cause::IdInUse => "id in use",
        Cause::Outdated => "outdated",
    }
}
