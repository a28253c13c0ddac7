//! What a scenario can say.

use crate::session::Reading;

use super::expect::Expectation;
use super::packets::Rule;
use super::settings::Setting;
use super::words::{Client, Nodes, Time};

/// One line.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Machines on which nothing runs.
    Nodes {
        count: usize,
        settings: Vec<Setting>,
    },
    /// Machines in one ring, each with a client in the group `g`.
    Ring {
        count: usize,
        settings: Vec<Setting>,
    },
    /// Settings of single nodes, before they boot.
    Configure {
        nodes: Nodes,
        settings: Vec<Setting>,
    },
    /// The node has the id of another one.
    Twin {
        node: usize,
        of: usize,
    },
    /// Settings of the network from now on.
    Network(Vec<Setting>),
    /// Something that is done to nodes.
    Process {
        deed: Deed,
        nodes: Nodes,
    },
    /// Its wall clock is wrong by so many milliseconds more.
    Wall {
        node: usize,
        ms: i64,
    },
    /// Its monotonic clock leaps.
    Leap {
        node: usize,
        time: Time,
    },
    Join {
        client: Client,
        group: String,
    },
    Leave {
        client: Client,
        group: String,
    },
    Disconnect {
        client: Client,
    },
    /// How it reads from now on.
    Reads {
        client: Client,
        reading: Reading,
    },
    /// Each turn of these engines takes about so long.
    Slow {
        nodes: Nodes,
        time: Time,
    },
    /// Half of what they send gets no buffer.
    FailSends {
        nodes: Nodes,
        time: Time,
    },
    Send {
        client: Client,
        group: String,
        len: usize,
        safe: bool,
        count: u64,
    },
    /// Everybody sends so many of this length, agreed and safe in turn.
    Load {
        count: u64,
        len: usize,
    },
    Cut {
        from: Nodes,
        to: Nodes,
        both: bool,
    },
    Mend {
        from: Nodes,
        to: Nodes,
        both: bool,
    },
    Partition(Vec<Nodes>),
    Clog {
        from: Nodes,
        to: Nodes,
        both: bool,
        time: Time,
    },
    Spoil {
        from: Nodes,
        to: Nodes,
        both: bool,
        time: Time,
    },
    Narrow {
        from: Nodes,
        to: Nodes,
        both: bool,
        len: usize,
        silent: bool,
    },
    Outage {
        from: Nodes,
        to: Nodes,
        both: bool,
        begins: bool,
    },
    Heal,
    Packets(Rule),
    Release,
    Clear,
    Record,
    Again {
        from: Nodes,
    },
    Tick(Time),
    Settle(Time),
    Rest(Time),
    Wait {
        nodes: Nodes,
        state: String,
        time: Time,
    },
    Mark,
    Expect(Expectation),
    Story(Part),
    Repeat(u64),
    EndRepeat,
    /// It need not come to one ring in the end.
    Apart,
    /// The log lacks a delivery.
    Plant,
}

/// What can be done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Boot,
    /// It is killed while it writes who it is, before or after that is durable.
    BootCut {
        written: bool,
    },
    Crash,
    Wipe,
    Restart,
    Pause,
    /// Its clock stands still, too.
    Suspend,
    Resume,
    Shutdown,
    /// It may stop by itself.
    MayStop,
}

/// What of the story is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    All,
    Rings,
    Views,
    Causes,
}
