//! What is said about links: who cannot talk to whom, and the probes that find out.

use super::codec::{Reader, Writer};
use super::header::{SEAL_LEN, WireError};
use crate::id::Process;

/// A process's own word about whom it cannot talk to. Nobody else may change it, so that a newer
/// one of the same process replaces it.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub(crate) struct Report {
    pub(crate) process: Process,
    /// Plus 1 at every report of this process.
    pub(crate) stamp: u32,
    /// How long ago it was made, in milliseconds.
    pub(crate) age_ms: u16,
    /// With whom, and for how long that had been so when it was made, in milliseconds.
    pub(crate) bad: Vec<(Process, u16)>,
}

impl Report {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.process(self.process);
        w.u32(self.stamp);
        w.u16(self.age_ms);
        w.count(self.bad.len());
        for (process, for_ms) in &self.bad {
            w.process(*process);
            w.u16(*for_ms);
        }
    }

    pub(super) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let (process, stamp, age_ms) = (r.process()?, r.u32()?, r.u16()?);
        let bad = (0..r.count(14)?).map(|_| Ok((r.process()?, r.u16()?)));
        Ok(Self { process, stamp, age_ms, bad: bad.collect::<Result<_, WireError>>()? })
    }

    pub(super) fn encode_all(reports: &[Self], w: &mut Writer) {
        w.count(reports.len());
        reports.iter().for_each(|report| report.encode(w));
    }

    pub(super) fn decode_all(r: &mut Reader) -> Result<Vec<Self>, WireError> {
        (0..r.count(20)?).map(|_| Self::decode(r)).collect()
    }
}

/// "Do you hear me?"
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Probe {
    pub(crate) process: Process,
    pub(crate) number: u32,
}

/// "I do": both directions work.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ProbeAnswer {
    pub(crate) process: Process,
    /// Whose probe it answers, and which.
    pub(crate) probe: Probe,
}

/// "Does a datagram of this size reach you?" It has that size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct SizeProbe {
    pub(crate) process: Process,
    pub(crate) number: u32,
    /// Bytes of the whole datagram.
    pub(crate) size: u16,
}

/// "It does."
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct SizeAnswer {
    pub(crate) process: Process,
    /// Whose probe it answers, and which.
    pub(crate) probe: SizeProbe,
}

/// "Not now, or not with all of you": the answer to a Join that asks for a merge. Without it,
/// whoever asks would have to take silence for a bad link.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Decline {
    pub(crate) process: Process,
    /// Of the Join.
    pub(crate) attempt: u64,
    /// The sender is gathering with others, and may come along later.
    pub(crate) busy: bool,
    /// What the sender knows of bad links.
    pub(crate) reports: Vec<Report>,
}

impl Decline {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.process(self.process);
        w.u64(self.attempt);
        w.u8(u8::from(self.busy));
        Report::encode_all(&self.reports, w);
    }

    pub(super) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let (process, attempt, busy) = (r.process()?, r.u64()?, r.flag()?);
        Ok(Self { process, attempt, busy, reports: Report::decode_all(r)? })
    }
}

impl Probe {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.process(self.process);
        w.u32(self.number);
    }

    pub(super) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        Ok(Self { process: r.process()?, number: r.u32()? })
    }
}

/// Bytes of a size probe that are not padding.
const SIZE_PROBE_LEN: usize = SEAL_LEN + 12 + 4 + 2;

impl SizeProbe {
    fn encode_head(&self, w: &mut Writer) {
        w.process(self.process);
        w.u32(self.number);
        w.u16(self.size);
    }

    fn decode_head(r: &mut Reader) -> Result<Self, WireError> {
        Ok(Self { process: r.process()?, number: r.u32()?, size: r.u16()? })
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        self.encode_head(w);
        let padding = usize::from(self.size).saturating_sub(SIZE_PROBE_LEN);
        w.bytes.resize(w.bytes.len() + padding, 0);
    }

    /// Only the whole of it proves anything.
    pub(super) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let probe = Self::decode_head(r)?;
        if r.rest().len() + SIZE_PROBE_LEN != usize::from(probe.size) {
            return Err(WireError::Invalid("size of a probe"));
        }
        Ok(probe)
    }
}

impl SizeAnswer {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.process(self.process);
        self.probe.encode_head(w);
    }

    pub(super) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        Ok(Self { process: r.process()?, probe: SizeProbe::decode_head(r)? })
    }
}

impl ProbeAnswer {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.process(self.process);
        self.probe.encode(w);
    }

    pub(super) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        Ok(Self { process: r.process()?, probe: Probe::decode(r)? })
    }
}
