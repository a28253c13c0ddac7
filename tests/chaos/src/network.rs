//! Network namespaces, one for each node, joined by a bridge in a namespace of its own: the network
//! of this host is not touched. All of it goes with the value.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::command::{feed, run};
use crate::sys;
use crate::trouble::Trouble;

/// Where `ip netns` keeps its namespaces.
const NAMESPACES: &str = "/run/netns";
/// Every name that this program gives in the system begins so; its process number follows.
pub(crate) const PREFIX: &str = "anzchaos-";
/// Of the interfaces, in bytes.
pub(crate) const MTU: u32 = 1_500;

/// The network of one cluster.
pub(crate) struct Network {
    name: String,
    nodes: usize,
}

/// What a node does not hear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Nothing of these nodes.
    pub(crate) deaf_to: BTreeSet<usize>,
    /// Of all else, so much is lost.
    pub(crate) lost_percent: u64,
}

impl Network {
    /// Makes namespaces, bridge and cables for nodes 0 to `nodes` - 1.
    pub(crate) fn create(nodes: usize) -> Result<Self, Trouble> {
        let network = Self { name: format!("{PREFIX}{}", std::process::id()), nodes };
        let bridge = network.bridge();
        run("ip", &["netns", "add", &bridge])?;
        // Snooping would need a querier; without it, multicast floods as on a cheap switch.
        let lines = "link add br0 type bridge mcast_snooping 0 stp_state 0 forward_delay 0\n\
                     link set br0 up\n";
        feed("ip", &["-n", &bridge, "-batch", "-"], lines)?;
        for node in 0..nodes {
            let own = network.namespace(node);
            run("ip", &["netns", "add", &own])?;
            let (cable, address) = (cable(node), address(node));
            let lines = format!(
                "link add eth0 type veth peer name {cable} netns {bridge}\n\
                 address add {address}/24 dev eth0\nlink set eth0 up\nlink set lo up\n"
            );
            feed("ip", &["-n", &own, "-batch", "-"], &lines)?;
            run("ip", &["-n", &bridge, "link", "set", &cable, "master", "br0", "up"])?;
        }
        Ok(network)
    }

    fn bridge(&self) -> String {
        format!("{}-br", self.name)
    }

    fn namespace(&self, node: usize) -> String {
        format!("{}-n{}", self.name, node + 1)
    }

    /// The words that run a program at a node.
    pub(crate) fn inside(&self, node: usize) -> [String; 2] {
        ["nsenter".to_owned(), format!("--net={NAMESPACES}/{}", self.namespace(node))]
    }

    /// From now on the node hears all but this.
    pub(crate) fn filter(&self, node: usize, filter: &Filter) -> Result<(), Trouble> {
        let mut rules = String::new();
        if !filter.deaf_to.is_empty() {
            let sources: Vec<_> = filter.deaf_to.iter().map(|node| address(*node)).collect();
            let _ = writeln!(rules, "ip saddr {{ {} }} drop", sources.join(", "));
        }
        if filter.lost_percent > 0 {
            let percent = filter.lost_percent;
            let _ = writeln!(rules, "meta l4proto udp numgen random mod 100 < {percent} drop");
        }
        // In one step: deleting wants a table to be there.
        let script = format!(
            "add table inet chaos\ndelete table inet chaos\ntable inet chaos {{\nchain in {{\n\
             type filter hook input priority 0;\n{rules}}}\n}}\n"
        );
        let [enter, namespace] = self.inside(node);
        feed(&enter, &[&namespace, "nft", "-f", "-"], &script).map(drop)
    }

    /// Takes the node's own interface down, or only its cable's other end; or brings both up.
    pub(crate) fn link(&self, node: usize, link: Link) -> Result<(), Trouble> {
        let (own, far) = match link {
            Link::Up => ("up", "up"),
            Link::Down => ("down", "up"),
            Link::Unplugged => ("up", "down"),
        };
        run("ip", &["-n", &self.namespace(node), "link", "set", "eth0", own])?;
        run("ip", &["-n", &self.bridge(), "link", "set", &cable(node), far]).map(drop)
    }

    /// What the node's interface carries in one piece.
    pub(crate) fn mtu(&self, node: usize, mtu: u32) -> Result<(), Trouble> {
        let mtu = mtu.to_string();
        run("ip", &["-n", &self.namespace(node), "link", "set", "eth0", "mtu", &mtu]).map(drop)
    }

    /// Bandwidth out of the node, with a short queue; none: as it was.
    pub(crate) fn speed(&self, node: usize, kbit: Option<u64>) -> Result<(), Trouble> {
        let name = self.namespace(node);
        match kbit {
            Some(kbit) => {
                let rate = format!("{kbit}kbit");
                let words = ["-n", &name, "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate"];
                // The burst must hold the longest run of datagrams that is sent at once.
                let rest = [&rate, "burst", "64kb", "limit", "128kb"];
                run("tc", &[&words[..], &rest[..]].concat()).map(drop)
            }
            None => {
                // There may be none: then all is well.
                let _ = run("tc", &["-n", &name, "qdisc", "del", "dev", "eth0", "root"]);
                Ok(())
            }
        }
    }

    /// Undoes everything but the cables.
    pub(crate) fn heal(&self) -> Result<(), Trouble> {
        (0..self.nodes).try_for_each(|node| {
            self.filter(node, &Filter::default())?;
            self.speed(node, None)?;
            self.mtu(node, MTU)?;
            self.link(node, Link::Up)
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// States of a node's cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// As it should be.
    Up,
    /// The node's own interface is down.
    Down,
    /// The other end is: the node has no carrier.
    Unplugged,
}

/// The node's address.
pub(crate) fn address(node: usize) -> String {
    format!("10.77.0.{}", node + 1)
}

fn cable(node: usize) -> String {
    format!("p{}", node + 1)
}

/// Removes the networks of runs that were killed.
pub(crate) fn sweep(is_over: impl Fn(u32) -> bool) {
    let names = fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let Some((pid, _)) = rest.split_once('-') else { continue };
        if pid.parse().is_ok_and(&is_over) {
            remove(&format!("{PREFIX}{pid}"));
        }
    }
}

/// Removes every namespace with this beginning, and the processes in it.
fn remove(prefix: &str) {
    let with_dash = format!("{prefix}-");
    let names = fs::read_dir(Path::new(NAMESPACES)).into_iter().flatten().flatten();
    for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
        if !name.starts_with(&with_dash) {
            continue;
        }
        // Nobody else knows the namespace: what runs there was started for this test.
        for pid in run("ip", &["netns", "pids", &name]).unwrap_or_default().lines() {
            let _ = pid.trim().parse().map(|pid| sys::signal(pid, libc::SIGKILL));
        }
        if let Err(error) = run("ip", &["netns", "delete", &name]) {
            eprintln!("a network namespace is left behind: {error}");
        }
    }
}
