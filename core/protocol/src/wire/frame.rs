//! What a data packet carries: frames, one after the other, each a message or a fragment of one.

use bytes::Bytes;

use super::audience::Scope;
use super::codec::{Reader, Writer};
use super::header::WireError;
use crate::id::{GroupId, SessionId};
use crate::service::Service;

/// What a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FrameKind {
    /// From a session to those in the scope.
    Message(Scope),
    /// The session joins the group; the payload is the name.
    Join,
    /// The session leaves the group.
    Leave,
    /// The session ended: it leaves all groups.
    Disconnect,
    /// Of no session: how members keep the contract.
    Statement,
    /// Of no session: what engines tell each other.
    Notice,
}

/// A message or a fragment of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Frame {
    pub(crate) kind: FrameKind,
    pub(crate) no_self: bool,
    pub(crate) service: Service,
    pub(crate) session: SessionId,
    pub(crate) group: GroupId,
    /// Of the message, at its origin.
    pub(crate) counter: u64,
    /// `None`: the whole message.
    pub(crate) fragment: Option<Fragment>,
    pub(crate) payload: Bytes,
}

/// Which fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fragment {
    /// Bytes of the message before this fragment.
    pub(crate) offset: u32,
    /// Bytes of the whole message.
    pub(crate) total: u32,
}

/// Bytes of a frame that is a whole message, without its payload.
pub(crate) const FRAME_LEN: usize = 28;
/// Bytes of a frame that is a fragment, without its payload.
pub(crate) const FRAGMENT_FRAME_LEN: usize = FRAME_LEN + 8;

const NO_SELF: u8 = 1;
const FRAGMENT: u8 = 2;
/// The service level is in the upper half.
const SERVICE_SHIFT: u32 = 4;

impl Frame {
    /// This frame completes its message.
    pub(crate) fn is_last(&self) -> bool {
        self.fragment.is_none_or(|f| f.offset as usize + self.payload.len() == f.total as usize)
    }

    /// Bytes of the frame.
    pub(crate) fn encoded_len(&self) -> usize {
        let head = if self.fragment.is_some() { FRAGMENT_FRAME_LEN } else { FRAME_LEN };
        head + self.payload.len()
    }

    /// Appends the frame.
    pub(crate) fn encode(&self, w: &mut Writer) {
        w.u8(match self.kind {
            FrameKind::Message(Scope::Group) => 0,
            FrameKind::Join => 1,
            FrameKind::Leave => 2,
            FrameKind::Disconnect => 3,
            FrameKind::Message(Scope::GroupInView) => 4,
            FrameKind::Message(Scope::Groups) => 5,
            FrameKind::Message(Scope::Member) => 6,
            FrameKind::Statement => 7,
            FrameKind::Notice => 8,
        });
        w.u8(if self.no_self { NO_SELF } else { 0 }
            | if self.fragment.is_some() { FRAGMENT } else { 0 }
            | (self.service as u8) << SERVICE_SHIFT);
        w.u16(self.payload.len() as u16);
        w.u64(self.session.0);
        w.u64(self.group.0);
        w.u64(self.counter);
        if let Some(fragment) = self.fragment {
            w.u32(fragment.offset);
            w.u32(fragment.total);
        }
        w.slice(&self.payload);
    }

    /// Reads the next frame of a packet's content. After one that is broken nothing can be read.
    pub(crate) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let mut head = r.head::<FRAME_LEN>()?;
        let kind = match head.u8()? {
            0 => FrameKind::Message(Scope::Group),
            1 => FrameKind::Join,
            2 => FrameKind::Leave,
            3 => FrameKind::Disconnect,
            4 => FrameKind::Message(Scope::GroupInView),
            5 => FrameKind::Message(Scope::Groups),
            6 => FrameKind::Message(Scope::Member),
            7 => FrameKind::Statement,
            8 => FrameKind::Notice,
            _ => return Err(WireError::Invalid("unknown frame kind")),
        };
        let (flags, len) = (head.u8()?, usize::from(head.u16()?));
        let service = Service::of(u32::from(flags >> SERVICE_SHIFT))
            .ok_or(WireError::Invalid("unknown service"))?;
        let (session, group) = (SessionId(head.u64()?), GroupId(head.u64()?));
        let counter = head.u64()?;
        let fragment = match flags & FRAGMENT {
            0 => None,
            _ => Some(Fragment { offset: r.u32()?, total: r.u32()? }),
        };
        let payload = r.take(len)?;
        let no_self = flags & NO_SELF != 0;
        Ok(Self { kind, no_self, service, session, group, counter, fragment, payload })
    }
}
