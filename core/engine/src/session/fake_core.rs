//! Tests only: the protocol of a cluster of one node, as far as sessions see it. Everything happens
//! at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use anasazi_protocol::{
    Audience, Command, Fate, GroupId, GroupView, MemberId, MessageDelivery, Pieces, Process,
    Recipients, RingId, SessionId, ViewCause, ViewId, ViewKind,
};
use anasazi_queue::status::Status;

use super::{Request, Sessions};
use crate::domains::{DomainGroup, DomainId};

/// Tests only: what becomes of requests, in all domains.
#[derive(Debug)]
pub struct FakeCore {
    /// Whose core it is.
    identity: Process,
    groups: BTreeMap<DomainGroup, FakeGroup>,
    /// Everything that was asked of it, as text.
    pub log: Vec<String>,
    /// Joins of these names are refused.
    pub refuses: Option<&'static str>,
    ordinal: u64,
}

#[derive(Debug)]
struct FakeGroup {
    name: Arc<str>,
    members: Vec<MemberId>,
    sequence: u64,
    /// Of its view.
    ordinal: u64,
}

impl FakeCore {
    /// Of this process, without groups.
    pub fn new(identity: Process) -> Self {
        Self { identity, groups: BTreeMap::new(), log: Vec::new(), refuses: None, ordinal: 0 }
    }

    /// Does what a session asks for, and tells all whom it concerns. Then [`Sessions::flush`].
    pub fn handle(&mut self, request: Request, sessions: &mut Sessions) {
        match request {
            Request::Query { session, tag, json, .. } => {
                self.log.push(format!("query {} {json}", session.0));
                sessions.reply(session, tag, Status::OK, &json, false);
            }
            Request::Command(domain, command) => self.command(domain, command, sessions),
        }
    }

    fn command(&mut self, domain: DomainId, command: Command, sessions: &mut Sessions) {
        match command {
            Command::Join { session, name } => {
                self.log.push(format!("join {} {name}", session.0));
                let (group, who) = (domain.group(GroupId::of(&name)), self.member(session));
                if self.refuses == Some(&name[..]) {
                    return sessions.join_refused(session, group, "says the test");
                }
                let entry = self.groups.entry(group).or_insert_with(|| FakeGroup {
                    name: Arc::from(&name[..]),
                    members: Vec::new(),
                    sequence: 0,
                    ordinal: 0,
                });
                entry.members.push(who);
                self.change(group, ViewCause::Join, vec![who], vec![], sessions);
            }
            Command::Leave { session, group } => {
                self.log.push(format!("leave {}", session.0));
                self.remove(domain.group(group), session, ViewCause::Leave, sessions);
            }
            Command::Disconnect { session } => {
                self.log.push(format!("disconnect {}", session.0));
                let all = self.groups.keys().filter(|group| group.domain == domain);
                let all: Vec<_> = all.copied().collect();
                for group in all {
                    self.remove(group, session, ViewCause::Disconnect, sessions);
                }
            }
            Command::Hold { .. } | Command::Notice { .. } => {
                unreachable!("not asked for by a session")
            }
            Command::Send { session, to, service, no_self, tag, payload, .. } => {
                self.log.push(format!("send {} {}", session.0, payload.len()));
                let fits = |(group, view): (GroupId, Option<ViewId>)| {
                    let entry = self.groups.get(&domain.group(group));
                    view.is_none_or(|view| entry.is_some_and(|e| e.ordinal == view.ordinal))
                };
                if !to.groups().all(fits) {
                    return sessions.receipt(domain, session, &to, tag, Fate::OtherView);
                }
                let to = match to {
                    Audience::Member(member) => Recipients::Session(member.session),
                    to => {
                        let groups = to.groups().filter_map(|(group, _)| {
                            let entry = self.groups.get_mut(&domain.group(group))?;
                            entry.sequence += 1;
                            Some((group, entry.sequence))
                        });
                        let groups: Vec<_> = groups.collect();
                        match &groups[..] {
                            [] => return,
                            [(group, sequence)] => Recipients::Group(*group, *sequence),
                            _ => Recipients::Groups(groups),
                        }
                    }
                };
                let half = payload.len() / 2;
                let pieces = vec![payload.slice(..half), payload.slice(half..)];
                let sender = self.member(session);
                let payload = Pieces::Several(pieces);
                let message =
                    MessageDelivery { to, sender, service, no_self, tag, place: None, payload };
                sessions.message(domain, &message);
            }
        }
    }

    fn remove(
        &mut self,
        group: DomainGroup,
        session: SessionId,
        cause: ViewCause,
        sessions: &mut Sessions,
    ) {
        let Some(entry) = self.groups.get_mut(&group) else { return };
        let before = entry.members.len();
        entry.members.retain(|id| id.session != session);
        if entry.members.len() < before {
            self.change(group, cause, vec![], vec![self.member(session)], sessions);
        }
    }

    fn change(
        &mut self,
        group: DomainGroup,
        cause: ViewCause,
        joined: Vec<MemberId>,
        left: Vec<MemberId>,
        sessions: &mut Sessions,
    ) {
        self.ordinal += 1;
        let Some(entry) = self.groups.get_mut(&group) else { return };
        (entry.sequence, entry.ordinal) = (0, self.ordinal);
        let ring = RingId { sequence: 12, representative: self.identity };
        let together = entry.members.iter().filter(|id| !joined.contains(id)).copied().collect();
        let view = GroupView {
            group: group.group,
            name: Arc::clone(&entry.name),
            kind: ViewKind::Regular,
            id: ViewId { ring, ordinal: self.ordinal, sub: 1 },
            cause,
            reason: format!("because of {cause:?}"),
            members: entry.members.clone().into(),
            sets: vec![0; entry.members.len()].into(),
            joined,
            left,
            together,
        };
        sessions.view(group.domain, &view);
    }

    fn member(&self, session: SessionId) -> MemberId {
        MemberId { node: self.identity.node, session }
    }
}
