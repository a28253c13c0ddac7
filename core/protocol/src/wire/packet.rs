//! What a datagram means.

use bytes::Bytes;

use super::codec::{Reader, Writer};
use super::header::{SEAL_LEN, WireError};
use super::links::{Decline, Probe, ProbeAnswer, SizeAnswer, SizeProbe};
use super::membership::{Beacon, Join, MemberState, Plan, PlanAck, Propose};
use crate::contract::Breach;
use crate::id::{GroupId, Incarnation, NodeId, Process, RingId};
use crate::limits;

/// Every kind of datagram.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Packet {
    Data(Data),
    Token(Token),
    /// "I have had this token": the answer to a repeated one.
    TokenAck {
        ring: RingId,
        token_sequence: u64,
    },
    /// "Do not keep the token": from a member with something to send, to the one that holds an idle
    /// ring's token.
    Wake {
        ring: RingId,
    },
    Join(Join),
    Propose(Propose),
    State(MemberState),
    Plan(Plan),
    PlanAck(PlanAck),
    Beacon(Beacon),
    /// "I leave."
    Bye {
        process: Process,
    },
    /// "Your node id is mine." Echoes the incarnation that it answers, so that an old one proves
    /// nothing.
    Duplicate {
        owner: Process,
        answered: Incarnation,
    },
    /// "There has been a newer process of your node", or one of your name: a node without storage
    /// has started again with a clock that was set back. Echoes the incarnation that it answers.
    Outdated {
        newest: Process,
        answered: Incarnation,
    },
    Probe(Probe),
    ProbeAnswer(ProbeAnswer),
    Decline(Decline),
    SizeProbe(SizeProbe),
    SizeAnswer(SizeAnswer),
    /// A message without order, of a member of the ring.
    Unordered {
        ring: RingId,
        /// Counts the sender's.
        number: u64,
        /// One frame.
        content: Bytes,
    },
    /// "Sessions here cannot read as fast as these groups are sent to: take no messages to them
    /// for a while, or again if it is 0."
    Hold {
        ring: RingId,
        for_ms: u16,
        groups: Vec<GroupId>,
    },
    /// "Say when you have had the token with this number"; `number` is of the question.
    Gauge {
        ring: RingId,
        token_sequence: u64,
        number: u32,
    },
    /// The answer to the question with this number, at once; and once more to the first one about
    /// a token, when that comes.
    Gauged {
        ring: RingId,
        number: u32,
        has_come: bool,
    },
    /// "You break the contract of this domain": why a ring does not merge.
    NotAdmitted {
        process: Process,
        breach: Breach,
    },
    /// A piece of one of the others.
    Part {
        id: u32,
        index: u16,
        count: u16,
        kind: u8,
        piece: Bytes,
    },
}

/// A packet with a place in a ring's order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Data {
    pub(crate) ring: RingId,
    pub(crate) ordinal: u64,
    /// Who gave it its ordinal; another member may be repeating it.
    pub(crate) origin: NodeId,
    /// To be delivered only when every member holds it.
    pub(crate) safe: bool,
    /// Carries the old ring's packets or group tables during recovery, not messages.
    pub(crate) recovery: bool,
    /// Sent after the token that covers it: whoever sees it knows that the token is on its way.
    pub(crate) post: bool,
    /// Sent again, on request.
    pub(crate) repeated: bool,
    /// The number of the token that its transmitter sent at the visit at which it sent this.
    pub(crate) token_sequence: u64,
    /// Every member holds everything up to here, as far as the sender knows.
    pub(crate) safe_line: u64,
    /// Frames (see `frame`), or a recovery wrapper.
    pub(crate) content: Bytes,
}

const DATA_SAFE: u8 = 1;
const DATA_RECOVERY: u8 = 2;
const DATA_POST: u8 = 4;
const DATA_REPEATED: u8 = 8;
const DATA_HEADER_LEN: usize = 20 + 8 + 4 + 1 + 8 + 8;
/// Bytes of a data packet that are not content.
pub(crate) const DATA_OVERHEAD_LEN: usize = SEAL_LEN + DATA_HEADER_LEN;
const UNORDERED_OVERHEAD_LEN: usize = SEAL_LEN + 20 + 8 + super::frame::FRAME_LEN;
// Whatever may be sent without order fits into a packet of the smallest ring.
const _: () = assert!(UNORDERED_OVERHEAD_LEN + 12 + limits::UNORDERED_LEN_MAX <= limits::MTU_MIN);
/// Where the content starts in the datagram.
pub(crate) const DATA_CONTENT_AT: usize = super::header::HEADER_LEN + DATA_HEADER_LEN;

/// The token: that of Totem, extended for recovery and parking.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub(crate) struct Token {
    pub(crate) ring: RingId,
    /// Plus 1 at every hop.
    pub(crate) token_sequence: u64,
    /// Plus 1 at every visit of the representative.
    pub(crate) rotation: u32,
    /// Everybody has recovered; members that have not may install.
    pub(crate) operational: bool,
    /// Highest ordinal given out.
    pub(crate) seq: u64,
    /// All received up to: see `ring::token`.
    pub(crate) aru: u64,
    /// Who lowered the aru last.
    pub(crate) aru_by: Option<NodeId>,
    /// Packets sent in the last rotation, by all.
    pub(crate) flow: u32,
    /// Packets waiting at all members.
    pub(crate) backlog: u32,
    /// Packets that were sent again in the last rotation, by all.
    pub(crate) repeats: u32,
    /// Packets that all members together may send per rotation; 0: the ring's own bound.
    pub(crate) window: u32,
    /// The datagram size of the ring, in bytes of UDP payload; 0: as in the plan.
    pub(crate) mtu: u16,
    /// The least that any member can send, of those that the token has visited in this round.
    pub(crate) mtu_gathering: u16,
    /// Hops since anything happened.
    pub(crate) idle_hops: u32,
    /// Who keeps it while the ring is idle, as who sent last foresees; else the representative.
    pub(crate) keeper: Option<NodeId>,
    /// It left its way round: who kept it hands it to who asked for it.
    pub(crate) handed: bool,
    /// Recovery: packets of old rings not yet sent.
    pub(crate) unsent: u64,
    /// Recovery: group tables not yet sent.
    pub(crate) tables_unsent: u16,
    /// Recovery: the last ordinal that belongs to it, once known.
    pub(crate) last_recovery: Option<u64>,
    /// Ordinals that somebody lacks.
    pub(crate) requests: Vec<Request>,
}

/// The kind of a datagram in a word, for logs and for test networks that tell kinds apart; `None`
/// if it is of no kind that this version knows. Looks at nothing but the kind.
pub fn wire_kind(datagram: &[u8]) -> Option<&'static str> {
    Some(match *datagram.get(1)? {
        KIND_DATA => "data",
        KIND_TOKEN => "token",
        KIND_TOKEN_ACK => "token-ack",
        KIND_WAKE => "wake",
        KIND_JOIN => "join",
        KIND_PROPOSE => "propose",
        KIND_STATE => "state",
        KIND_PLAN => "plan",
        KIND_PLAN_ACK => "plan-ack",
        KIND_BEACON => "beacon",
        KIND_BYE => "bye",
        KIND_DUPLICATE => "duplicate",
        KIND_PART => "part",
        KIND_UNORDERED => "unordered",
        KIND_HOLD => "hold",
        KIND_PROBE => "probe",
        KIND_PROBE_ANSWER => "probe-answer",
        KIND_DECLINE => "decline",
        KIND_SIZE_PROBE => "size-probe",
        KIND_SIZE_ANSWER => "size-answer",
        KIND_OUTDATED => "outdated",
        KIND_GAUGE => "gauge",
        KIND_GAUGED => "gauged",
        KIND_NOT_ADMITTED => "not-admitted",
        _ => return None,
    })
}

/// Ordinals to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    pub(crate) first: u64,
    pub(crate) count: u16,
    /// The only member that is known to lack them; `None` if several do.
    pub(crate) by: Option<NodeId>,
    /// So many of those who hold them leave it to the next one: what the first ones sent did not
    /// arrive.
    pub(crate) skip: u8,
}

const REQUEST_LEN: usize = 8 + 2 + 4 + 1;

pub(crate) const KIND_DATA: u8 = 1;
const KIND_TOKEN: u8 = 2;
const KIND_TOKEN_ACK: u8 = 3;
const KIND_WAKE: u8 = 4;
const KIND_JOIN: u8 = 5;
const KIND_PROPOSE: u8 = 6;
const KIND_STATE: u8 = 7;
const KIND_PLAN: u8 = 8;
const KIND_PLAN_ACK: u8 = 9;
const KIND_BEACON: u8 = 10;
const KIND_BYE: u8 = 11;
const KIND_DUPLICATE: u8 = 12;
const KIND_PART: u8 = 13;
const KIND_PROBE: u8 = 15;
const KIND_PROBE_ANSWER: u8 = 16;
const KIND_DECLINE: u8 = 17;
const KIND_UNORDERED: u8 = 14;
const KIND_SIZE_PROBE: u8 = 18;
const KIND_SIZE_ANSWER: u8 = 19;
const KIND_OUTDATED: u8 = 20;
const KIND_HOLD: u8 = 21;
const KIND_GAUGE: u8 = 22;
const KIND_NOT_ADMITTED: u8 = 23;
const KIND_GAUGED: u8 = 24;
/// The highest number of a kind.
#[cfg(feature = "fuzzing")]
pub(crate) const KIND_MAX: u8 = KIND_GAUGED;

impl Packet {
    /// The number of its kind in the header.
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Data(_) => KIND_DATA,
            Self::Token(_) => KIND_TOKEN,
            Self::TokenAck { .. } => KIND_TOKEN_ACK,
            Self::Wake { .. } => KIND_WAKE,
            Self::Join(_) => KIND_JOIN,
            Self::Propose(_) => KIND_PROPOSE,
            Self::State(_) => KIND_STATE,
            Self::Plan(_) => KIND_PLAN,
            Self::PlanAck(_) => KIND_PLAN_ACK,
            Self::Beacon(_) => KIND_BEACON,
            Self::Bye { .. } => KIND_BYE,
            Self::Duplicate { .. } => KIND_DUPLICATE,
            Self::Unordered { .. } => KIND_UNORDERED,
            Self::Part { .. } => KIND_PART,
            Self::Probe(_) => KIND_PROBE,
            Self::ProbeAnswer(_) => KIND_PROBE_ANSWER,
            Self::Decline(_) => KIND_DECLINE,
            Self::SizeProbe(_) => KIND_SIZE_PROBE,
            Self::SizeAnswer(_) => KIND_SIZE_ANSWER,
            Self::Outdated { .. } => KIND_OUTDATED,
            Self::Hold { .. } => KIND_HOLD,
            Self::Gauge { .. } => KIND_GAUGE,
            Self::Gauged { .. } => KIND_GAUGED,
            Self::NotAdmitted { .. } => KIND_NOT_ADMITTED,
        }
    }

    /// Writes the body.
    pub(crate) fn encode(&self, w: &mut Writer) {
        match self {
            Self::Data(data) => data.encode(w),
            Self::Token(token) => token.encode(w),
            Self::TokenAck { ring, token_sequence } => {
                w.ring(*ring);
                w.u64(*token_sequence);
            }
            Self::Wake { ring } => w.ring(*ring),
            Self::Join(join) => join.encode(w),
            Self::Propose(propose) => propose.encode(w),
            Self::State(state) => state.encode(w),
            Self::Plan(plan) => plan.encode(w),
            Self::PlanAck(ack) => ack.encode(w),
            Self::Beacon(beacon) => beacon.encode(w),
            Self::Bye { process } => w.process(*process),
            Self::Duplicate { owner, answered } => {
                w.process(*owner);
                w.u64(answered.0);
            }
            Self::Outdated { newest, answered } => {
                w.process(*newest);
                w.u64(answered.0);
            }
            Self::Probe(probe) => probe.encode(w),
            Self::ProbeAnswer(answer) => answer.encode(w),
            Self::Decline(decline) => decline.encode(w),
            Self::SizeProbe(probe) => probe.encode(w),
            Self::SizeAnswer(answer) => answer.encode(w),
            Self::Unordered { ring, number, content } => {
                w.ring(*ring);
                w.u64(*number);
                w.slice(content);
            }
            Self::Hold { ring, for_ms, groups } => {
                w.ring(*ring);
                w.u16(*for_ms);
                w.count(groups.len());
                groups.iter().for_each(|group| w.u64(group.0));
            }
            Self::Gauge { ring, token_sequence, number } => {
                w.ring(*ring);
                w.u64(*token_sequence);
                w.u32(*number);
            }
            Self::Gauged { ring, number, has_come } => {
                w.ring(*ring);
                w.u32(*number);
                w.u8(u8::from(*has_come));
            }
            Self::NotAdmitted { process, breach } => {
                w.process(*process);
                breach.encode(w);
            }
            Self::Part { id, index, count, kind, piece } => {
                w.u32(*id);
                w.u16(*index);
                w.u16(*count);
                w.u8(*kind);
                w.slice(piece);
            }
        }
    }

    /// Parses a body of the given kind.
    pub(crate) fn decode(kind: u8, mut r: Reader) -> Result<Self, WireError> {
        let packet = match kind {
            KIND_DATA => Self::Data(Data::decode(&mut r)?),
            KIND_TOKEN => Self::Token(Token::decode(&mut r)?),
            KIND_TOKEN_ACK => Self::TokenAck { ring: r.ring()?, token_sequence: r.u64()? },
            KIND_WAKE => Self::Wake { ring: r.ring()? },
            KIND_JOIN => Self::Join(Join::decode(&mut r)?),
            KIND_PROPOSE => Self::Propose(Propose::decode(&mut r)?),
            KIND_STATE => Self::State(MemberState::decode(&mut r)?),
            KIND_PLAN => Self::Plan(Plan::decode(&mut r)?),
            KIND_PLAN_ACK => Self::PlanAck(PlanAck::decode(&mut r)?),
            KIND_BEACON => Self::Beacon(Beacon::decode(&mut r)?),
            KIND_BYE => Self::Bye { process: r.process()? },
            KIND_DUPLICATE => {
                Self::Duplicate { owner: r.process()?, answered: Incarnation(r.u64()?) }
            }
            KIND_OUTDATED => {
                let (newest, answered) = (r.process()?, Incarnation(r.u64()?));
                if newest.incarnation > Incarnation::MAX {
                    return Err(WireError::Invalid("incarnation"));
                }
                Self::Outdated { newest, answered }
            }
            KIND_PROBE => Self::Probe(Probe::decode(&mut r)?),
            KIND_PROBE_ANSWER => Self::ProbeAnswer(ProbeAnswer::decode(&mut r)?),
            KIND_DECLINE => Self::Decline(Decline::decode(&mut r)?),
            KIND_SIZE_PROBE => Self::SizeProbe(SizeProbe::decode(&mut r)?),
            KIND_SIZE_ANSWER => Self::SizeAnswer(SizeAnswer::decode(&mut r)?),
            KIND_UNORDERED => {
                Self::Unordered { ring: r.ring()?, number: r.u64()?, content: r.rest() }
            }
            KIND_HOLD => decode_hold(&mut r)?,
            KIND_GAUGE => {
                Self::Gauge { ring: r.ring()?, token_sequence: r.u64()?, number: r.u32()? }
            }
            KIND_GAUGED => decode_gauged(&mut r)?,
            KIND_NOT_ADMITTED => {
                Self::NotAdmitted { process: r.process()?, breach: Breach::decode(&mut r)? }
            }
            KIND_PART => Self::Part {
                id: r.u32()?,
                index: r.u16()?,
                count: r.u16()?,
                kind: r.u8()?,
                piece: r.rest(),
            },
            _ => return Err(WireError::Invalid("unknown kind")),
        };
        r.end()?;
        Ok(packet)
    }
}

fn decode_hold(r: &mut Reader) -> Result<Packet, WireError> {
    let (ring, for_ms, count) = (r.ring()?, r.u16()?, r.count(8)?);
    if u32::from(for_ms) > limits::HOLD_MS_MAX || count > limits::HOLD_GROUPS_MAX {
        return Err(WireError::Invalid("hold"));
    }
    let groups = (0..count).map(|_| r.u64().map(GroupId)).collect::<Result<_, _>>()?;
    Ok(Packet::Hold { ring, for_ms, groups })
}

fn decode_gauged(r: &mut Reader) -> Result<Packet, WireError> {
    let (ring, number) = (r.ring()?, r.u32()?);
    let has_come = match r.u8()? {
        0 => false,
        1 => true,
        _ => return Err(WireError::Invalid("answer about a token")),
    };
    Ok(Packet::Gauged { ring, number, has_come })
}

impl Data {
    fn encode(&self, w: &mut Writer) {
        w.ring(self.ring);
        w.u64(self.ordinal);
        w.u32(self.origin.0);
        let flags = [
            (self.safe, DATA_SAFE),
            (self.recovery, DATA_RECOVERY),
            (self.post, DATA_POST),
            (self.repeated, DATA_REPEATED),
        ];
        w.u8(flags.iter().map(|(set, bit)| if *set { *bit } else { 0 }).sum());
        w.u64(self.token_sequence);
        w.u64(self.safe_line);
        w.slice(&self.content);
    }

    /// All that follows is content.
    #[inline]
    pub(crate) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let mut head = r.head::<DATA_HEADER_LEN>()?;
        let (ring, ordinal) = (head.ring()?, head.u64()?);
        let (origin, flags) = (head.node()?, head.u8()?);
        let known = DATA_SAFE | DATA_RECOVERY | DATA_POST | DATA_REPEATED;
        if ordinal == 0 || ordinal > u64::MAX / 2 || flags & !known != 0 {
            return Err(WireError::Invalid("data header"));
        }
        Ok(Self {
            ring,
            ordinal,
            origin,
            safe: flags & DATA_SAFE != 0,
            recovery: flags & DATA_RECOVERY != 0,
            post: flags & DATA_POST != 0,
            repeated: flags & DATA_REPEATED != 0,
            token_sequence: head.u64()?,
            safe_line: head.u64()?,
            content: r.rest(),
        })
    }
}

const TOKEN_OPERATIONAL: u8 = 1;
const TOKEN_LAST_RECOVERY: u8 = 2;
const TOKEN_HANDED: u8 = 4;
const TOKEN_FLAGS: u8 = TOKEN_OPERATIONAL | TOKEN_LAST_RECOVERY | TOKEN_HANDED;

impl Token {
    fn encode(&self, w: &mut Writer) {
        w.ring(self.ring);
        w.u64(self.token_sequence);
        w.u32(self.rotation);
        w.u8(if self.operational { TOKEN_OPERATIONAL } else { 0 }
            | if self.last_recovery.is_some() { TOKEN_LAST_RECOVERY } else { 0 }
            | if self.handed { TOKEN_HANDED } else { 0 });
        w.u64(self.seq);
        w.u64(self.aru);
        w.u32(self.aru_by.map_or(0, |n| n.0));
        w.u32(self.flow);
        w.u32(self.backlog);
        w.u32(self.repeats);
        w.u32(self.window);
        w.u16(self.mtu);
        w.u16(self.mtu_gathering);
        w.u32(self.idle_hops);
        w.u32(self.keeper.map_or(0, |n| n.0));
        w.u64(self.unsent);
        w.u16(self.tables_unsent);
        w.u64(self.last_recovery.unwrap_or(0));
        w.count(self.requests.len());
        for request in &self.requests {
            w.u64(request.first);
            w.u16(request.count);
            w.u32(request.by.map_or(0, |n| n.0));
            w.u8(request.skip);
        }
    }

    fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let (ring, token_sequence, rotation, flags) = (r.ring()?, r.u64()?, r.u32()?, r.u8()?);
        if flags & !TOKEN_FLAGS != 0 {
            return Err(WireError::Invalid("token flags"));
        }
        let (seq, aru) = (r.u64()?, r.u64()?);
        let aru_by = member(r)?;
        let (flow, backlog, repeats, window) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?);
        let (mtu, mtu_gathering) = (r.u16()?, r.u16()?);
        let is_size =
            |mtu: u16| mtu == 0 || (limits::MTU_MIN..=limits::MTU_MAX).contains(&usize::from(mtu));
        if !is_size(mtu) || !is_size(mtu_gathering) {
            return Err(WireError::Invalid("token mtu"));
        }
        let (idle_hops, keeper) = (r.u32()?, member(r)?);
        let (unsent, tables_unsent, last) = (r.u64()?, r.u16()?, r.u64()?);
        let count = r.count(REQUEST_LEN)?;
        if count > limits::REQUEST_RANGES_MAX || aru > seq || last > seq {
            return Err(WireError::Invalid("token fields"));
        }
        let request = |_| {
            let (first, count, by) = (r.u64()?, r.u16()?, member(r)?);
            Ok(Request { first, count, by, skip: r.u8()? })
        };
        let requests = (0..count).map(request).collect::<Result<_, WireError>>()?;
        Ok(Self {
            ring,
            token_sequence,
            rotation,
            operational: flags & TOKEN_OPERATIONAL != 0,
            seq,
            aru,
            aru_by,
            flow,
            backlog,
            repeats,
            window,
            mtu,
            mtu_gathering,
            idle_hops,
            keeper,
            handed: flags & TOKEN_HANDED != 0,
            unsent,
            tables_unsent,
            last_recovery: (flags & TOKEN_LAST_RECOVERY != 0).then_some(last),
            requests,
        })
    }
}

/// A member, or nobody.
fn member(r: &mut Reader) -> Result<Option<NodeId>, WireError> {
    let id = r.u32()?;
    Ok((id != 0).then_some(NodeId(id)))
}
