//! What the engines of a domain tell each other in the order, known by its first byte: of their
//! keys (1 and 2), of sources of bridges, and that one of them is about to remove the domain.

use std::collections::BTreeMap;

use anasazi_protocol::limits::NOTICE_LEN_MAX;
use anasazi_protocol::{Command, GroupView, Instant, Process, ViewCause};
use anasazi_transport::Transport;
use bytes::Bytes;

use super::{Domain, Upward};
use crate::storage::Storage;

const FAR: u8 = 16;
const REMOVAL: u8 = 17;

/// Members that are about to remove the domain, and why, in words.
#[derive(Default)]
pub(crate) struct Removals(BTreeMap<Process, String>);

impl Removals {
    fn said(&mut self, by: Process, text: &[u8]) {
        // It ends up in what applications print.
        let text = String::from_utf8_lossy(text).replace(|c: char| c.is_control(), " ");
        self.0.insert(by, text);
    }

    /// A regular configuration begins: who is gone was spoken of.
    pub(super) fn installed(&mut self, members: &[Process]) {
        self.0.retain(|process, _| members.contains(process));
    }

    /// Whoever is missing has removed the domain: the view says so. The protocol knows only that
    /// sessions ended, or nodes are gone.
    pub(super) fn explain(&self, view: &mut GroupView) {
        let is_loss = matches!(view.cause, ViewCause::Disconnect | ViewCause::Network);
        if self.0.is_empty() || !is_loss || view.left.is_empty() {
            return;
        }
        let of = |node| self.0.iter().find(|(process, _)| process.node == node);
        let whys: Option<BTreeMap<_, _>> = view.left.iter().map(|left| of(left.node)).collect();
        if let Some(whys) = whys {
            let whys = whys.iter().map(|(by, text)| format!("node {}: {text}", by.node));
            view.reason = whys.collect::<Vec<_>>().join("; ");
            view.cause = ViewCause::Removed;
        }
    }
}

impl<T: Transport, S: Storage> Domain<T, S> {
    /// Tells all engines of the domain a part of what there is to say of a bridge's source.
    pub(crate) fn tell_far(&mut self, part: &[u8], now: Instant) {
        self.tell(FAR, part, now);
    }

    /// Tells them that this one is about to remove the domain.
    pub(crate) fn tell_removal(&mut self, reason: &str, now: Instant) {
        let mut len = reason.len().min(NOTICE_LEN_MAX - 1);
        while !reason.is_char_boundary(len) {
            len -= 1;
        }
        self.tell(REMOVAL, &reason.as_bytes()[..len], now);
    }

    fn tell(&mut self, kind: u8, content: &[u8], now: Instant) {
        let content = Bytes::from([&[kind], content].concat());
        self.command(now, Command::Notice { content });
    }

    pub(super) fn hear_notice(&mut self, by: Process, content: &Bytes) {
        match content.first() {
            Some(&FAR) => self.up.push(Upward::Far { by, part: content.slice(1..) }),
            Some(&REMOVAL) => self.removals.said(by, &content[1..]),
            _ => self.keys_of(by.node, content),
        }
    }
}

#[cfg(test)]
mod tests {
    use anasazi_protocol::{GroupId, Incarnation, MemberId, NodeId, SessionId, ViewId, ViewKind};

    use super::*;

    fn process(node: u32) -> Process {
        Process { node: NodeId(node), incarnation: Incarnation(5) }
    }

    fn view(left: &[u32], cause: ViewCause) -> GroupView {
        let member = |node: &u32| MemberId { node: NodeId(*node), session: SessionId(1) };
        GroupView {
            group: GroupId::of("room"),
            name: "room".into(),
            kind: ViewKind::Regular,
            id: ViewId::default(),
            cause,
            reason: "node 3 left".to_owned(),
            members: [].into(),
            sets: [].into(),
            joined: Vec::new(),
            left: left.iter().map(member).collect(),
            together: Vec::new(),
        }
    }

    #[test]
    fn only_what_removals_alone_have_caused_is_laid_to_them() {
        let mut removals = Removals::default();
        removals.said(process(3), b"domain slow was\nremoved by \xff");
        let explained = |removals: &Removals, left: &[u32], cause| {
            let mut view = view(left, cause);
            removals.explain(&mut view);
            (view.cause, view.reason)
        };
        let reason = "node 3: domain slow was removed by \u{fffd}".to_owned();
        let removed = (ViewCause::Removed, reason);
        assert_eq!(explained(&removals, &[3, 3], ViewCause::Network), removed);
        assert_eq!(explained(&removals, &[3], ViewCause::Disconnect), removed);
        for (left, cause) in [
            (&[3, 4][..], ViewCause::Network),
            (&[], ViewCause::Network),
            (&[3], ViewCause::Demoted),
            (&[3], ViewCause::Leave),
        ] {
            assert_eq!(explained(&removals, left, cause).0, cause);
        }
        removals.installed(&[process(2), process(3)]);
        assert_eq!(explained(&removals, &[3], ViewCause::Network), removed);
        removals.installed(&[process(2)]);
        assert_eq!(explained(&removals, &[3], ViewCause::Network).0, ViewCause::Network);
    }
}
