//! Kinds of faults.

/// A kind of fault that comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The nodes fall into sets that do not hear each other.
    Partition,
    /// Some pairs do not hear each other, others in between hear both.
    Overlap,
    /// Some connections work in one direction only.
    OneWay,
    /// Connections stand still, and then everything arrives.
    Clog,
    /// Several nodes are cut off one by one, and come back in another order.
    Swizzle,
    /// Connections lose nearly everything for a short time.
    Spoil,
    /// Multicast stops, unicast does not.
    MulticastOutage,
    /// A process is killed and starts again.
    Crash,
    /// A process is killed and its disk is lost.
    CrashLosingDisk,
    /// A process does not run for a while.
    Pause,
    /// Something goes wrong just when a node has changed its state.
    Ambush,
    /// A node leaves cleanly and comes back.
    Leave,
    /// All are killed, and start at the same time.
    ColdStart,
    /// A machine sleeps for a while, and its clock with it.
    Suspend,
    /// What a node orders reaches nobody, and then it is cut off.
    Hole,
    /// Some connections lose one kind of datagrams.
    KindLost,
    /// A machine has no buffers for half of what it sends.
    SendErrors,
    /// A client dies or raves.
    ClientDies,
    /// A client does not read for a while.
    ClientStalls,
    /// Some connections carry only small datagrams for a while; only where sizes are probed, so
    /// not among `ALL`.
    Narrow,
    /// A node is killed, and its wall clock is set before it starts again. Like those below it has
    /// an option of its own, so it is not among `ALL`.
    ClockSet,
    /// Daemons are replaced by those of another version.
    Replace,
    /// What a node orders reaches nobody, it dies, and the next blow falls when the repair has come
    /// to a certain step; only where traps are laid, so not among `ALL`.
    Trap,
    /// Nodes are so far away for a while, or lose so much, that they break the contract; only where
    /// there is one, so not among `ALL`.
    Strain,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Partition,
        Self::Overlap,
        Self::OneWay,
        Self::Clog,
        Self::Swizzle,
        Self::Spoil,
        Self::MulticastOutage,
        Self::Crash,
        Self::CrashLosingDisk,
        Self::Pause,
        Self::Leave,
        Self::ColdStart,
        Self::Ambush,
        Self::Suspend,
        Self::KindLost,
        Self::SendErrors,
        Self::ClientDies,
        Self::ClientStalls,
        Self::Hole,
    ];

    /// It came last into the swarm.
    pub(crate) fn is_mischief(self) -> bool {
        matches!(
            self,
            Self::Suspend
                | Self::KindLost
                | Self::SendErrors
                | Self::ClientDies
                | Self::ClientStalls
                | Self::Hole
        )
    }

    /// No process ends by it.
    pub fn is_brief(self) -> bool {
        !matches!(
            self,
            Self::Crash
                | Self::CrashLosingDisk
                | Self::Leave
                | Self::ColdStart
                | Self::ClockSet
                | Self::Replace
        )
    }
}
