//! What a contract says, and how it is broken.

use core::fmt;
use core::time::Duration;

use super::stays::Stays;
use crate::id::NodeId;
use crate::wire::{Reader, WireError, Writer};

/// Bounds on what the members of a domain may cost each other, and what becomes of a member that
/// breaks one. Without a bound nothing is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Contract {
    /// From a probe to its answer.
    pub round_trip: Option<Duration>,
    /// For how much longer the token takes through a member, the ways to it and from it included,
    /// than a packet straight from the one before it to the one after it.
    pub hold: Option<Duration>,
    /// Packets that have to be sent again because of a member, of a million.
    pub loss_ppm: Option<u32>,
    /// For how long a member may lack what was given out.
    pub lag: Option<Duration>,
    /// For how long a member may break a bound before it is demoted.
    pub patience: Duration,
    /// How long a member stays out that was demoted for the first time.
    pub readmit: Duration,
    /// How long it stays out at most: twice as long each time.
    pub readmit_max: Duration,
}

impl Default for Contract {
    fn default() -> Self {
        Self {
            round_trip: None,
            hold: None,
            loss_ppm: None,
            lag: None,
            patience: Duration::from_secs(10),
            readmit: Duration::from_secs(30),
            readmit_max: Duration::from_secs(600),
        }
    }
}

impl Contract {
    /// It bounds something.
    pub fn is_binding(&self) -> bool {
        Bound::ALL.iter().any(|bound| self.allowed(*bound).is_some())
    }

    /// What may be measured, in the unit of the bound; `None`: anything.
    pub fn allowed(&self, bound: Bound) -> Option<u64> {
        match bound {
            Bound::RoundTrip => self.round_trip.map(nanoseconds),
            Bound::Hold => self.hold.map(nanoseconds),
            Bound::Loss => self.loss_ppm.map(u64::from),
            Bound::Lag => self.lag.map(nanoseconds),
        }
    }

    /// The time in which each bound is measured once.
    pub(crate) fn period(&self) -> Duration {
        (self.patience / PERIODS).max(Duration::from_millis(1))
    }
}

/// Periods of the patience.
const PERIODS: u32 = 16;

pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What a contract can bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bound {
    /// [`Contract::round_trip`], in nanoseconds.
    RoundTrip = 0,
    /// [`Contract::hold`], in nanoseconds.
    Hold = 1,
    /// [`Contract::loss_ppm`].
    Loss = 2,
    /// [`Contract::lag`], in nanoseconds.
    Lag = 3,
}

impl Bound {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::RoundTrip, Self::Hold, Self::Loss, Self::Lag];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundTrip => "round trip",
            Self::Hold => "token hold",
            Self::Loss => "loss",
            Self::Lag => "receive lag",
        }
    }
}

/// A bound that was broken: "round trip 12 ms measured, 0.5 ms allowed".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Breach {
    /// Which.
    pub bound: Bound,
    /// In the unit of the bound.
    pub measured: u64,
    /// The same.
    pub allowed: u64,
}

impl Breach {
    pub(crate) fn encode(&self, w: &mut Writer) {
        w.u8(self.bound as u8);
        w.u64(self.measured);
        w.u64(self.allowed);
    }

    pub(crate) fn decode(r: &mut Reader) -> Result<Self, WireError> {
        let bound = Bound::ALL.get(usize::from(r.u8()?)).copied();
        let bound = bound.ok_or(WireError::Invalid("bound of a contract"))?;
        Ok(Self { bound, measured: r.u64()?, allowed: r.u64()? })
    }

    /// How far it is above the bound: thousandths of that.
    pub(super) fn severity(&self) -> u64 {
        self.measured.saturating_mul(1_000) / self.allowed.max(1)
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bound, measured, allowed } = *self;
        let (name, measured, allowed) = (bound.name(), Amount(bound, measured), (bound, allowed));
        write!(f, "{name} {measured} measured, {} allowed", Amount(allowed.0, allowed.1))
    }
}

/// A value in the unit of its bound, to three digits.
struct Amount(Bound, u64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bound, value) = *self;
        let (value, unit) = match bound {
            Bound::Loss => (value as f64 / 10_000.0, "%"),
            _ if value < 1_000_000_000 => (value as f64 / 1e6, "ms"),
            _ => (value as f64 / 1e9, "s"),
        };
        let whole = value.max(1e-4).log10().floor() as i32 + 1;
        let decimals = (3 - whole).clamp(0, 6) as usize;
        let digits = format!("{value:.decimals$}");
        let digits = match digits.contains('.') {
            true => digits.trim_end_matches('0').trim_end_matches('.'),
            false => &digits,
        };
        write!(f, "{digits} {unit}")
    }
}

/// What is known of a member, for people. What was not measured yet is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Which.
    pub node: NodeId,
    /// The last one.
    pub round_trip: Option<Duration>,
    /// The last one; only of the member after this one.
    pub hold: Option<Duration>,
    /// In the last period in which anything was ordered.
    pub loss_ppm: Option<u32>,
    /// The longest of that period.
    pub lag: Option<Duration>,
    /// What the members agree it breaks.
    pub found: Option<Breach>,
    /// Why it is not put out, if it was found and is not.
    pub stays: Option<Stays>,
}

/// Where a domain's contract is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractStatus {
    /// What it says.
    pub contract: Contract,
    /// More than half of the members break it: nobody is demoted.
    pub void: bool,
    /// The other members.
    pub members: Vec<Measured>,
    /// Who was demoted and is not taken back yet: for how much longer, and how often it was.
    pub demoted: Vec<(NodeId, Duration, u32)>,
    /// This node was not admitted: by whose ring, and why.
    pub refused_by: Option<(NodeId, Breach)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_says_what_was_measured_and_what_is_allowed() {
        let words = |bound, measured, allowed| Breach { bound, measured, allowed }.to_string();
        assert_eq!(
            words(Bound::RoundTrip, 12_000_000, 500_000),
            "round trip 12 ms measured, 0.5 ms allowed"
        );
        assert_eq!(words(Bound::Loss, 31_234, 100), "loss 3.12 % measured, 0.01 % allowed");
        assert_eq!(
            words(Bound::Lag, 2_345_678_901, 100_000_000),
            "receive lag 2.35 s measured, 100 ms allowed"
        );
        assert_eq!(words(Bound::Hold, 0, 0), "token hold 0 ms measured, 0 ms allowed");
    }
}
