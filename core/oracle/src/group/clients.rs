//! CL: what a client program saw is what its node gave to it, in the same order.

use std::collections::{BTreeMap, BTreeSet};

use anasazi_protocol::record::Entry;
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{GroupId, Incarnation, MemberId, MessageId, Process, Recipients, ViewId};
use rustc_hash::FxHashSet;

use super::What;
use crate::client::{ClientEntry, ClientRecord};
use crate::history::{History, ProcessHistory};
use crate::violation::{Axiom, Excerpt, Violation};

/// What a client must see.
struct Given {
    position: usize,
    entry: ClientEntry,
    /// An own message, which the client may have asked not to get.
    may_be_missing: bool,
    /// Which session of its node sent it is not known: that record is lost.
    of_anyone: bool,
}

pub(crate) fn check(
    history: &History,
    clients: &BTreeMap<MemberId, Vec<ClientRecord>>,
    hear_themselves: bool,
    quiesced: bool,
) -> Result<(), Box<Violation>> {
    let others = Others::new(history);
    for (client, records) in clients {
        let Some(process) = records.first().and_then(|r| history.find(r.process())) else {
            continue;
        };
        let is_over =
            |r: &ClientRecord| matches!(r.entry, ClientEntry::Suspended | ClientEntry::Closed);
        let mut given = Giving::all(history, process, *client);
        if hear_themselves {
            given.iter_mut().for_each(|given| given.may_be_missing = false);
        }
        let reading = Reading {
            given,
            process,
            client: *client,
            records,
            is_over: records.iter().any(is_over),
            may_miss: history.has_lost_tail(process.process),
            others: &others,
            must_be_done: quiesced && process.end.is_none(),
        };
        let seen = records.iter().flat_map(|r| groups_of(&r.entry));
        let all: BTreeSet<GroupId> = seen.chain(process.groups.keys()).copied().collect();
        for group in all {
            reading.check(|entry| groups_of(entry).contains(&group))?;
        }
        // All in one order. Only the end of a membership may come early: with its session's.
        let is_left = |entry: &ClientEntry| matches!(entry, ClientEntry::Left { .. });
        let is_alone = |entry: &ClientEntry| matches!(entry, ClientEntry::Unicast { .. });
        reading.check(|e| is_alone(e) || (!groups_of(e).is_empty() && !is_left(e)))?;
    }
    Ok(())
}

/// One client and its node.
struct Reading<'a> {
    given: Vec<Given>,
    process: &'a ProcessHistory,
    client: MemberId,
    records: &'a [ClientRecord],
    /// The session ended before the membership: the client may have missed the rest.
    is_over: bool,
    /// The node's last words are lost: the client may have seen more than they say.
    may_miss: bool,
    others: &'a Others<'a>,
    /// All is at rest: the client must have seen everything.
    must_be_done: bool,
}

impl Reading<'_> {
    /// What is of this kind was seen as it was given.
    fn check(&self, is_of_it: impl Fn(&ClientEntry) -> bool) -> Result<(), Box<Violation>> {
        let given: Vec<_> = self.given.iter().filter(|g| is_of_it(&g.entry)).collect();
        let mut next = 0;
        let seen = self.records.iter().enumerate().filter(|(_, r)| is_of_it(&r.entry));
        for (at, record) in seen {
            let rest = &given[next..];
            let is_left = matches!(record.entry, ClientEntry::Left { .. });
            let skipped = rest.iter().take_while(|g| {
                !g.is(&record.entry) && (g.may_be_missing || (is_left && self.is_over))
            });
            next += skipped.count();
            match given.get(next) {
                Some(given) if given.is(&record.entry) => next += 1,
                // The end of a session is told to the program before the order knows it.
                None if is_left && self.is_over => return Ok(()),
                None if self.may_miss => self.check_unwritten(at)?,
                Some(given) => {
                    let what = format!("sees \"{}\", but got {}", record.entry, given.entry);
                    return Err(self.violation(at, given.position, &what));
                }
                None => {
                    let what = format!("sees \"{}\", which it never got", record.entry);
                    return Err(self.violation(at, self.process.records.len() - 1, &what));
                }
            }
        }
        let missing = given[next..].iter().find(|g| !g.may_be_missing);
        match missing {
            Some(missing) if self.must_be_done && !self.is_over => {
                let what = format!("never sees \"{}\"", missing.entry);
                Err(self.violation(self.records.len() - 1, missing.position, &what))
            }
            _ => Ok(()),
        }
    }

    /// The node's word for it is lost; others know what it can have been.
    fn check_unwritten(&self, at: usize) -> Result<(), Box<Violation>> {
        let wrong = |what: &str| {
            let what = format!("sees \"{}\", {what}", self.records[at].entry);
            Err(self.violation(at, self.process.records.len() - 1, &what))
        };
        let mut entry = self.records[at].entry.clone();
        if let Some(sender) = sender_of(&mut entry).copied()
            && !self.others.may_have_sent(sender, &entry)
        {
            return wrong("which nobody sent");
        }
        match &entry {
            ClientEntry::View { group, id, transitional: false, members, .. } => {
                let known = self.others.views.get(&(*group, *id));
                if known.is_some_and(|known| *known != members) || !members.contains(&self.client) {
                    return wrong("which is not what others got");
                }
            }
            ClientEntry::Message { group, sequence, .. } if *sequence > 0 => {
                let last = self.records[..at].iter().rev().find_map(|r| sequence_of(r, *group));
                if last.is_none_or(|last| last >= *sequence) {
                    return wrong("which does not go on from what it saw before");
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn violation(&self, at: usize, position: usize, what: &str) -> Box<Violation> {
        let (client, process) = (self.client, self.process.process);
        let whose = format!("client {client} of node {}", client.node);
        let sentence = format!("{whose} {what} (served by {process})");
        let lines = |r: &ClientRecord| (r.index, r.to_string());
        let excerpts =
            vec![Excerpt::around(whose, self.records, at, lines), self.process.excerpt(position)];
        Box::new(Violation { axiom: Axiom::Cl, sentence, excerpts })
    }
}

impl Given {
    fn is(&self, seen: &ClientEntry) -> bool {
        if !self.of_anyone {
            return self.entry == *seen;
        }
        let mut entry = self.entry.clone();
        if let (Some(given), Some(sender)) = (sender_of(&mut entry), sender_of(&mut seen.clone()))
            && given.node == sender.node
        {
            *given = *sender;
        }
        entry == *seen
    }
}

/// Where the group's numbers stand after an event of it; `None`: this says nothing of them.
fn sequence_of(record: &ClientRecord, group: GroupId) -> Option<u64> {
    match &record.entry {
        ClientEntry::View { group: of, transitional: false, .. } if *of == group => Some(0),
        ClientEntry::Message { group: of, sequence, .. } if *of == group && *sequence > 0 => {
            Some(*sequence)
        }
        _ => None,
    }
}

/// What there was to see, by the word of all nodes.
struct Others<'a> {
    history: &'a History,
    /// By sender and content; only looked up.
    sent: FxHashSet<(MemberId, u64)>,
    views: BTreeMap<(GroupId, ViewId), &'a Vec<MemberId>>,
}

impl<'a> Others<'a> {
    fn new(history: &'a History) -> Self {
        let sent = history.processes.iter().flat_map(|p| &p.sent).filter_map(|id| {
            let message = history.messages.get(id)?;
            let sender = MemberId { node: id.origin.node, session: message.session };
            Some((sender, message.hash))
        });
        let groups = history.processes.iter().flat_map(|p| &p.groups);
        let events = groups.flat_map(|(group, known)| known.events.iter().map(move |e| (group, e)));
        let views = events.filter_map(|(group, event)| match &event.what {
            What::View { id, members, .. } => Some(((*group, *id), members)),
            _ => None,
        });
        Self { history, sent: sent.collect(), views: views.collect() }
    }

    /// It was sent, or its sender's last words are lost as well.
    fn may_have_sent(&self, sender: MemberId, entry: &ClientEntry) -> bool {
        let (ClientEntry::Message { hash, .. }
        | ClientEntry::Several { hash, .. }
        | ClientEntry::Unicast { hash, .. }) = entry
        else {
            return false;
        };
        let incarnation = Incarnation(sender.session.0 >> 24);
        let process = Process { node: sender.node, incarnation };
        self.sent.contains(&(sender, *hash)) || self.history.has_lost_tail(process)
    }
}

fn groups_of(entry: &ClientEntry) -> &[GroupId] {
    match entry {
        ClientEntry::View { group, .. }
        | ClientEntry::Message { group, .. }
        | ClientEntry::Left { group } => std::slice::from_ref(group),
        ClientEntry::Several { groups, .. } => groups,
        _ => &[],
    }
}

fn sender_of(entry: &mut ClientEntry) -> Option<&mut MemberId> {
    match entry {
        ClientEntry::Message { sender, .. }
        | ClientEntry::Several { sender, .. }
        | ClientEntry::Unicast { sender, .. } => Some(sender),
        _ => None,
    }
}

/// Goes through a process's history, and finds out what it gave to one client.
struct Giving<'a> {
    history: &'a History,
    client: MemberId,
    /// The groups that it is in, and the members that it was shown last.
    inside: BTreeMap<GroupId, Vec<MemberId>>,
    /// The message that was delivered last.
    hash: u64,
    /// Its groups that the client is in.
    groups: Vec<GroupId>,
    /// Where it was given to the first of them, by whom, and with which number.
    first: (usize, MemberId, u64),
    all: Vec<Given>,
}

impl<'a> Giving<'a> {
    fn all(history: &'a History, process: &ProcessHistory, client: MemberId) -> Vec<Given> {
        let mut giving = Giving {
            history,
            client,
            inside: BTreeMap::new(),
            hash: 0,
            groups: Vec::new(),
            first: Default::default(),
            all: Vec::new(),
        };
        for (position, record) in process.records.iter().enumerate() {
            if let Entry::Trace(trace) = &record.entry {
                giving.trace(position, trace);
            }
        }
        giving.end_message();
        giving.all
    }

    fn trace(&mut self, position: usize, trace: &Trace) {
        if let Trace::GroupMessage { group, sender, sequence, hash } = trace {
            if self.inside.contains_key(group) {
                if self.groups.is_empty() {
                    (self.first, self.hash) = ((position, *sender, *sequence), *hash);
                }
                self.groups.push(*group);
            }
            return;
        }
        self.end_message();
        let session = self.client.session;
        match trace {
            Trace::GroupView { group, local, local_left, transitional, .. } => {
                if local.contains(&session) {
                    self.view(position, trace);
                } else if local_left.contains(&session) && !transitional {
                    self.inside.remove(group);
                    self.push(position, ClientEntry::Left { group: *group }, false);
                }
            }
            Trace::Deliver { hash, .. } => self.hash = *hash,
            Trace::Unicast { message, session: to } if *to == session => {
                let (sender, of_anyone) = self.sender(*message);
                self.push(position, ClientEntry::Unicast { sender, hash: self.hash }, of_anyone);
            }
            Trace::Unordered { message, hash, to: Some(to), .. } => {
                let (sender, of_anyone) = self.sender(*message);
                if *to == Recipients::Session(session) {
                    let entry = ClientEntry::Unicast { sender, hash: *hash };
                    self.push(position, entry, of_anyone);
                }
                let inside = |(group, _)| self.inside.contains_key(&group).then_some(group);
                let groups = to.groups().filter_map(inside).collect();
                self.message(position, groups, (sender, 0, *hash), of_anyone);
            }
            _ => {}
        }
    }

    /// What changed is so in relation to the last view that the client was shown. Whoever is shown
    /// its first one has come from none, so with nobody.
    fn view(&mut self, position: usize, trace: &Trace) {
        let Trace::GroupView { group, id, transitional, cause, members, sets, together, .. } =
            trace
        else {
            return;
        };
        let (group, id, transitional, cause) = (*group, *id, *transitional, *cause);
        let known = self.inside.get(&group);
        let before = known.unwrap_or(members);
        let without = |list: &[MemberId], others: &[MemberId]| {
            list.iter().copied().filter(|m| !others.contains(m)).collect::<Vec<_>>()
        };
        let (mut joined, left) = (without(members, before), without(before, members));
        let (mut together, mut sets) = (together.clone(), sets.clone());
        if known.is_none() {
            (joined, together) = (vec![self.client], vec![self.client]);
            let all = members.iter().zip(&mut sets);
            all.for_each(|(m, set)| *set = if *m == self.client { 0 } else { (*set).max(1) });
        }
        if !transitional {
            self.inside.insert(group, members.clone());
        }
        let members = members.clone();
        let entry = ClientEntry::View {
            group,
            id,
            transitional,
            cause,
            members,
            joined,
            left,
            together,
            sets,
        };
        self.push(position, entry, false);
    }

    /// All is told of an ordered message.
    fn end_message(&mut self) {
        let (position, sender, sequence) = self.first;
        let groups = std::mem::take(&mut self.groups);
        self.message(position, groups, (sender, sequence, self.hash), false);
    }

    fn message(
        &mut self,
        position: usize,
        groups: Vec<GroupId>,
        (sender, sequence, hash): (MemberId, u64, u64),
        of_anyone: bool,
    ) {
        let entry = match groups[..] {
            [] => return,
            [group] => ClientEntry::Message { group, sender, sequence, hash },
            _ => ClientEntry::Several { groups, sender, sequence, hash },
        };
        self.push(position, entry, of_anyone);
    }

    /// Who sent a message of which its receiver wrote down the node only; true: that is all that is
    /// known.
    fn sender(&self, message: MessageId) -> (MemberId, bool) {
        let known = self.history.messages.get(&message).filter(|known| !known.inferred);
        let session = known.map(|known| known.session).unwrap_or_default();
        (MemberId { node: message.origin.node, session }, known.is_none())
    }

    fn push(&mut self, position: usize, mut entry: ClientEntry, of_anyone: bool) {
        let sender = sender_of(&mut entry).copied();
        let may_be = |sender: MemberId| {
            sender == self.client || of_anyone && sender.node == self.client.node
        };
        let may_be_missing = sender.is_some_and(may_be);
        self.all.push(Given { position, entry, may_be_missing, of_anyone });
    }
}
