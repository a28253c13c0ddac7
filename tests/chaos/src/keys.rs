//! Keys change under load, again and again: no configuration may change and nothing may be lost;
//! then the same while a node is stopped, or cut off, which comes back to find another key in use.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Cluster, NODES, Setup};
use crate::machine::{Looks, Still};
use crate::network::Filter;
use crate::pace::Pace;
use crate::trouble::Trouble;
use crate::verdict;

/// Messages a second of each client.
const RATE: u64 = 200;
/// A step of a change of keys takes no longer than this.
const STEP_MAX: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);
/// For so many changes there is one in the second part with a stopped node, and one with a node
/// that is cut off.
const AWAY_ONE_IN: u64 = 10;
/// Long enough that the others go on without it.
const AWAY: Duration = Duration::from_millis(1_000);

/// What was seen.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) seconds: f64,
    pub(crate) rotations: u64,
    /// Configurations installed meanwhile, all daemons together, while all ran.
    pub(crate) changes: u64,
    /// For how long a core stood still when that was seen, as in `quiet`.
    pub(crate) withheld: Duration,
    /// Changes of keys while a node was stopped.
    pub(crate) with_stopped: u64,
    /// And while one was cut off, and went on in a ring of its own.
    pub(crate) with_cut: u64,
    pub(crate) deliveries: u64,
}

impl Still for Keys {
    fn changed(&self) -> (u64, Duration) {
        (self.changes, self.withheld)
    }
}

/// Changes keys so often.
pub(crate) fn run(
    program: &Path,
    rotations: u64,
    keep: bool,
    pace: &Pace,
) -> Result<Keys, Trouble> {
    let setup = Setup {
        seed: 0,
        multicast: true,
        tiny_buffers: false,
        seal: "aead",
        rate: RATE,
        churn: false,
    };
    let mut cluster = Cluster::start(&setup, program, pace)?;
    let result = Owner { cluster: &mut cluster, pace, key: 1 }.change_all(rotations);
    if keep || !matches!(&result, Ok(keys) if keys.changes == 0) {
        eprintln!("logs are kept in {}", cluster.place.keep().display());
    }
    result
}

/// How a node misses a change.
#[derive(Clone, Copy)]
enum Away {
    Stopped,
    Cut,
}

/// Whoever has the keys.
struct Owner<'a> {
    cluster: &'a mut Cluster,
    pace: &'a Pace,
    /// That seals.
    key: u8,
}

impl Owner<'_> {
    fn change_all(mut self, rotations: u64) -> Result<Keys, Trouble> {
        // What belongs to the start is over.
        self.pace.wait(Duration::from_secs(1))?;
        let before = self.cluster.changes();
        let mut looks = Looks::start(&before)?;
        let started = Instant::now();
        for _ in 0..rotations {
            self.stage(self.key, self.next())?;
            self.activate(self.next(), None)?;
            self.retire()?;
            looks.look(self.cluster.changes());
        }
        let after = self.cluster.changes();
        if before.len() < NODES || after.len() < NODES {
            return Err(Trouble::Stuck("not all daemons answer".to_owned()));
        }
        looks.look(after);
        let (changes, withheld) = (looks.changes(), looks.withheld());
        drop(looks);
        let away = rotations.div_ceil(AWAY_ONE_IN);
        for number in 0..away {
            let node = (number % NODES as u64) as usize;
            self.change_without(node, Away::Stopped)?;
            self.change_without(node, Away::Cut)?;
        }
        let (with_stopped, with_cut) = (away, away);
        let seconds = started.elapsed().as_secs_f64();
        self.cluster.rest(1)?;
        self.pace.wait(Duration::from_secs(1))?;
        let verdict = verdict::judge(self.cluster.place.path(), true)?;
        let deliveries = verdict.deliveries;
        Ok(Keys { seconds, rotations, changes, withheld, with_stopped, with_cut, deliveries })
    }

    fn next(&self) -> u8 {
        self.key.checked_add(1).unwrap_or(1)
    }

    /// It has the next key before it goes away; the others use that meanwhile.
    fn change_without(&mut self, node: usize, away: Away) -> Result<(), Trouble> {
        self.stage(self.key, self.next())?;
        match away {
            Away::Stopped => self.cluster.daemons[node].signal(libc::SIGSTOP),
            Away::Cut => self.cut_off(node)?,
        }
        self.pace.wait(AWAY)?;
        self.activate(self.next(), Some(node))?;
        match away {
            Away::Stopped => self.cluster.daemons[node].signal(libc::SIGCONT),
            Away::Cut => self.cluster.network.heal()?,
        }
        self.cluster.await_one_ring()?;
        self.await_key(self.next(), None)?;
        self.retire()
    }

    /// It hears nobody, and nobody hears it.
    fn cut_off(&mut self, node: usize) -> Result<(), Trouble> {
        for other in 0..NODES {
            let all_others = (0..NODES).filter(|of| *of != node).collect();
            let deaf_to = if other == node { all_others } else { [node].into() };
            self.cluster.network.filter(other, &Filter { deaf_to, lost_percent: 0 })?;
        }
        Ok(())
    }

    /// All have both keys.
    fn stage(&mut self, old: u8, new: u8) -> Result<(), Trouble> {
        for node in 0..NODES {
            self.cluster.place.write_keys(node, &[old, new])?;
            self.until(node, &json!({ "do": "key-stage" }))?;
        }
        Ok(())
    }

    fn activate(&mut self, key: u8, away: Option<usize>) -> Result<(), Trouble> {
        let asked = usize::from(away == Some(0));
        self.until(asked, &json!({ "do": "key-activate", "id": key }))?;
        self.await_key(key, away)
    }

    /// Everybody forgets the old key.
    fn retire(&mut self) -> Result<(), Trouble> {
        for node in 0..NODES {
            self.until(node, &json!({ "do": "key-retire", "id": self.key }))?;
            self.cluster.place.write_keys(node, &[self.next()])?;
        }
        self.key = self.next();
        Ok(())
    }

    fn await_key(&mut self, key: u8, away: Option<usize>) -> Result<(), Trouble> {
        let started = Instant::now();
        for node in (0..NODES).filter(|node| Some(*node) != away) {
            loop {
                let keys = self.cluster.daemons[node].ask("keys").unwrap_or_default();
                if keys["keys"]["key"] == key {
                    break;
                }
                self.wait(started, &format!("node {} does not seal with {key}: {keys}", node + 1))?;
            }
        }
        Ok(())
    }

    /// It may have to be heard first what the others have.
    fn until(&mut self, node: usize, request: &Value) -> Result<(), Trouble> {
        let started = Instant::now();
        loop {
            let answer = self.cluster.daemons[node].request(request);
            if answer.as_ref().is_ok_and(|answer| answer["done"] == true) {
                return Ok(());
            }
            self.wait(started, &format!("node {}: {request}: {answer:?}", node + 1))?;
        }
    }

    fn wait(&mut self, since: Instant, what: &str) -> Result<(), Trouble> {
        self.cluster.check()?;
        if since.elapsed() > STEP_MAX {
            return Err(Trouble::Stuck(format!("in vain for {STEP_MAX:?}: {what}")));
        }
        self.pace.wait(LOOK)
    }
}
