//! CL: what a client program saw is what its node gave to it, in the same order.

use std::collections::{BTreeMap, BTreeSet};

use anasazi_protocol::record::Entry;
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{GroupId, MemberId};

use crate::client::{ClientEntry, ClientRecord};
use crate::history::{History, ProcessHistory};
use crate::violation::{Axiom, Excerpt, Violation};

/// What a client must see.
struct Given {
    position: usize,
    entry: ClientEntry,
    /// An own message, which the client may have asked not to get.
    may_be_missing: bool,
}

pub(crate) fn check(
    history: &History,
    clients: &BTreeMap<MemberId, Vec<ClientRecord>>,
    quiesced: bool,
) -> Result<(), Box<Violation>> {
    for (client, records) in clients {
        let Some(process) = records.first().and_then(|r| history.find(r.process())) else {
            continue;
        };
        let is_over =
            |r: &ClientRecord| matches!(r.entry, ClientEntry::Suspended | ClientEntry::Closed);
        let reading = Reading {
            process,
            client: *client,
            records,
            is_over: records.iter().any(is_over),
            may_miss: history.has_lost_tail(process.process),
            must_be_done: quiesced && process.end.is_none(),
        };
        let groups: BTreeSet<GroupId> = records.iter().filter_map(group_of).collect();
        let all = groups.iter().chain(process.groups.keys()).copied().collect::<BTreeSet<_>>();
        for group in all {
            reading.check(group)?;
        }
    }
    Ok(())
}

/// One client and its node.
struct Reading<'a> {
    process: &'a ProcessHistory,
    client: MemberId,
    records: &'a [ClientRecord],
    /// The session ended before the membership: the client may have missed the rest.
    is_over: bool,
    /// The node's last words are lost: the client may have seen more than they say.
    may_miss: bool,
    /// All is at rest: the client must have seen everything.
    must_be_done: bool,
}

impl Reading<'_> {
    fn check(&self, group: GroupId) -> Result<(), Box<Violation>> {
        let given = given(self.process, self.client, group);
        let mut next = 0;
        let seen = self.records.iter().enumerate().filter(|(_, r)| group_of(r) == Some(group));
        for (at, record) in seen {
            let rest = &given[next..];
            let is_left = matches!(record.entry, ClientEntry::Left { .. });
            let skipped = rest.iter().take_while(|g| {
                g.entry != record.entry && (g.may_be_missing || (is_left && self.is_over))
            });
            next += skipped.count();
            match given.get(next) {
                Some(given) if given.entry == record.entry => next += 1,
                // The end of a session is told to the program before the order knows it.
                None if self.may_miss || (is_left && self.is_over) => return Ok(()),
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

fn group_of(record: &ClientRecord) -> Option<GroupId> {
    match record.entry {
        ClientEntry::View { group, .. }
        | ClientEntry::Message { group, .. }
        | ClientEntry::Left { group } => Some(group),
        _ => None,
    }
}

/// What the process gave to the client in one group.
fn given(process: &ProcessHistory, client: MemberId, group: GroupId) -> Vec<Given> {
    let session = client.session;
    let mut is_member = false;
    let mut all = Vec::new();
    for (position, record) in process.records.iter().enumerate() {
        let Entry::Trace(trace) = &record.entry else { continue };
        let entry = match trace {
            Trace::GroupView {
                group: to,
                id,
                transitional,
                members,
                together,
                local,
                local_left,
                ..
            } if *to == group => {
                let (id, transitional) = (*id, *transitional);
                if local.contains(&session) {
                    is_member |= !transitional;
                    let (members, together) = (members.clone(), together.clone());
                    ClientEntry::View { group, id, transitional, members, together }
                } else if local_left.contains(&session) && !transitional {
                    is_member = false;
                    ClientEntry::Left { group }
                } else {
                    continue;
                }
            }
            Trace::GroupMessage { group: to, sender, sequence, hash, .. }
                if *to == group && is_member =>
            {
                let (sender, sequence, hash) = (*sender, *sequence, *hash);
                ClientEntry::Message { group, sender, sequence, hash }
            }
            _ => continue,
        };
        let own = matches!(&entry, ClientEntry::Message { sender, .. } if *sender == client);
        all.push(Given { position, entry, may_be_missing: own });
    }
    all
}
