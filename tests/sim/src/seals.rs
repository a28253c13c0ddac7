//! Sealed clusters: every datagram has a nonce of its own, and somebody changes the keys while
//! everything else goes wrong, as operators do: adds the next one to the files of all nodes, has it
//! activated, and takes the old one away.

use std::collections::BTreeMap;

use anasazi_engine::domains::DomainId;
use anasazi_seal::{Boot, KeyId, KeyRing, Mode, Seal, SealCounters, Secret, nonce_of};
use bytes::Bytes;

use crate::cluster::{Cluster, Happening};
use crate::story::Failure;

const MS: u64 = 1_000_000;
/// Of all simulated clusters; keys are told apart by it and by their datagrams' cluster.
const DOMAIN: u64 = 1;

/// What the keys' owner is about.
#[derive(Debug)]
pub(crate) struct KeyOwner {
    /// The keys in each node's file; the first is the one that seals when it starts.
    files: Vec<Vec<u8>>,
    /// Changes of keys that have come to their end.
    pub(crate) rotations: u64,
    /// The last counter of each boot, and the datagram that had it.
    nonces: BTreeMap<Boot, (u64, Bytes)>,
}

impl KeyOwner {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { files: vec![vec![1]; nodes], rotations: 0, nonces: BTreeMap::new() }
    }
}

/// The keys of a file. Each number has one key.
fn ring(ids: &[u8]) -> KeyRing {
    let secret = |id: u8| Secret::new(&mut [id; 32]).expect("memory for a key");
    let keys = ids.iter().map(|id| (KeyId(*id), secret(*id))).collect();
    KeyRing::new(keys).expect("a file has keys, each once")
}

impl Cluster {
    /// What a node that starts seals with.
    pub(crate) fn seal_for(&self, node: usize) -> Option<Seal> {
        let mode = self.options.seal.mode?;
        let boot = self.options.seed ^ (node as u64) << 48 ^ self.nodes[node].life << 32;
        let mut drawn = 0u64;
        let draw = move || {
            drawn += 1;
            Some(Boot((u128::from(boot) << 64 | u128::from(drawn)).to_be_bytes()))
        };
        Seal::new(mode, ring(&self.key_owner.files[node]), DOMAIN, Box::new(draw))
    }

    /// No nonce is used twice: counters of a boot grow, and what goes to several is the same.
    pub(crate) fn check_nonce(&mut self, node: usize, bytes: &Bytes) {
        let Some((boot, counter)) = nonce_of(bytes) else {
            return self.fail(Failure::Stuck(format!("n{} sent something unsealed", node + 1)));
        };
        let before = self.key_owner.nonces.insert(boot, (counter, bytes.clone()));
        if let Some((last, same)) = before
            && (counter < last || counter == last && same != *bytes)
        {
            let what = format!("n{} used a nonce twice: {boot:?}, {counter}", node + 1);
            self.fail(Failure::Stuck(what));
        }
    }

    pub(crate) fn plan_keys(&mut self) {
        if self.options.seal.step_ms > 0 {
            let time = self.random.around(self.options.seal.step_ms * MS) + MS;
            let epoch = self.epoch;
            self.plan_in(time, Happening::Keys { epoch });
        }
    }

    /// The next step of a change of keys, somewhere.
    pub(crate) fn change_keys(&mut self) {
        self.plan_keys();
        let node = self.random.index(self.nodes.len());
        self.step_of_keys(node);
    }

    /// One step at this node, if there is one.
    pub fn step_of_keys(&mut self, node: usize) {
        let newest = |file: &Vec<u8>| file.iter().copied().max_by(newer).expect("it has keys");
        let all = self.key_owner.files.iter().map(newest);
        let target = all.max_by(newer).expect("there are nodes");
        let file = self.key_owner.files[node].clone();
        if self.key_owner.files.iter().all(|file| *file == [target]) {
            let next = target.wrapping_add(1).max(1);
            self.key_owner.rotations += 1;
            self.stage(node, [&file[..], &[next]].concat());
        } else if !file.contains(&target) {
            self.stage(node, [&file[..], &[target]].concat());
        } else if self.key_owner.files.iter().all(|file| file.contains(&target)) {
            self.activate_or_retire(node, target);
        }
    }

    fn stage(&mut self, node: usize, file: Vec<u8>) {
        self.tell(Some(node), &format!("its key file has {file:?}"));
        self.key_owner.files[node] = file;
        self.read_keys(node);
    }

    /// Has a node read its file; a process that does not run does so when it starts.
    fn read_keys(&mut self, node: usize) {
        let ring = ring(&self.key_owner.files[node]);
        let now = self.nodes[node].clock.read(self.now);
        if let Some(turn) = &mut self.nodes[node].turn {
            let staged = turn.stage_keys(DomainId::DEFAULT, ring, now);
            if let Err(error) = staged {
                self.tell(Some(node), &format!("does not take its keys: {error}"));
            }
            self.turn(node);
        }
    }

    fn activate_or_retire(&mut self, node: usize, target: u8) {
        let now = self.nodes[node].clock.read(self.now);
        let is_done = |file: &Vec<u8>| *file == [target];
        if !self.nodes[node].runs() {
            // Somebody has seen that all others are through with it.
            let runs = |at: usize| self.nodes[at].runs();
            if (0..self.nodes.len()).all(|at| !runs(at) || is_done(&self.key_owner.files[at])) {
                self.key_owner.files[node] = vec![target];
            }
            return;
        }
        if self.nodes[node].paused || is_done(&self.key_owner.files[node]) {
            return;
        }
        let Some(turn) = &mut self.nodes[node].turn else { return };
        let active = turn.active_key(DomainId::DEFAULT);
        if active != Some(KeyId(target)) {
            let asked = turn.activate_key(DomainId::DEFAULT, KeyId(target), now);
            self.tell(Some(node), &format!("is to activate key {target}: {asked:?}"));
        } else {
            let old: Vec<u8> = self.key_owner.files[node].clone();
            let others = old.iter().filter(|id| **id != target);
            let retired = others.map(|id| turn.retire_key(DomainId::DEFAULT, KeyId(*id), now));
            let retired = retired.collect::<Result<(), _>>();
            self.tell(Some(node), &format!("is to retire all but key {target}: {retired:?}"));
            if retired.is_ok() {
                self.key_owner.files[node] = vec![target];
            }
        }
        self.turn(node);
    }

    /// Puts other keys into a node's file, and has it read that.
    pub fn give_keys(&mut self, node: usize, file: &[u8]) {
        self.stage(node, file.to_vec());
    }

    /// Asks a node to have a key activated; whether it does.
    pub fn activate(&mut self, node: usize, key: u8) -> bool {
        let now = self.nodes[node].clock.read(self.now);
        let Some(turn) = &mut self.nodes[node].turn else { return false };
        let is_asked = turn.activate_key(DomainId::DEFAULT, KeyId(key), now).is_ok();
        self.turn(node);
        is_asked
    }

    /// Takes a key away from a node; whether it lets go of it.
    pub fn retire(&mut self, node: usize, key: u8) -> bool {
        let now = self.nodes[node].clock.read(self.now);
        let Some(turn) = &mut self.nodes[node].turn else { return false };
        let is_gone = turn.retire_key(DomainId::DEFAULT, KeyId(key), now).is_ok();
        self.turn(node);
        is_gone
    }

    /// A node becomes somebody else, as after a pause of the whole machine.
    pub fn renew_seal(&mut self, node: usize) {
        if let Some(turn) = &mut self.nodes[node].turn {
            turn.renew_seals();
            self.turn(node);
        }
    }

    /// The last key that a node was sent something with and does not have.
    pub fn missing_key(&self, node: usize) -> Option<KeyId> {
        self.nodes[node].turn.as_ref().and_then(|turn| turn.missing_key(DomainId::DEFAULT))
    }

    /// The key that a node seals with.
    pub fn active_key(&self, node: usize) -> Option<KeyId> {
        self.nodes[node].turn.as_ref().and_then(|turn| turn.active_key(DomainId::DEFAULT))
    }

    /// What a node has sealed and opened, and what it has not.
    pub fn seal_counters(&self, node: usize) -> Option<SealCounters> {
        self.nodes[node].turn.as_ref().and_then(|turn| turn.seal_counters(DomainId::DEFAULT))
    }

    /// Changes of keys that have come to their end.
    pub fn rotations(&self) -> u64 {
        self.key_owner.rotations
    }
}

/// Numbers go round.
fn newer(one: &u8, other: &u8) -> std::cmp::Ordering {
    KeyId(*one).is_newer_than(KeyId(*other)).cmp(&KeyId(*other).is_newer_than(KeyId(*one)))
}

/// Whether datagrams are sealed, and how often somebody does something about the keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct SealOptions {
    /// `None`: they have checksums.
    pub mode: Option<Mode>,
    /// Mean time between two steps, in milliseconds; 0: keys stay.
    pub step_ms: u64,
}
