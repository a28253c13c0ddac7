use super::*;

fn info(id: u8) -> KeyInfo {
    KeyInfo { id: KeyId(id), digest: [id; 8] }
}

/// Members that hear everything in one order.
struct Ring {
    nodes: BTreeMap<u32, Rotation<u32>>,
    order: Vec<(u32, Vec<u8>)>,
    refused: Vec<(u32, KeyId, Vec<u32>)>,
    dropped: Vec<(u32, u8)>,
}

impl Ring {
    fn new(nodes: &[(u32, u8, &[u8])]) -> Self {
        let node = |(node, active, keys): &(u32, u8, &[u8])| {
            let keys = keys.iter().map(|id| info(*id));
            (*node, Rotation::new(*node, KeyId(*active), keys))
        };
        let mut ring = Self {
            nodes: nodes.iter().map(node).collect(),
            order: Vec::new(),
            refused: Vec::new(),
            dropped: Vec::new(),
        };
        ring.install();
        ring
    }

    fn install(&mut self) {
        let members: Vec<u32> = self.nodes.keys().copied().collect();
        for node in members.clone() {
            let output = self.node(node).installed(members.clone());
            self.take(node, output);
        }
        self.settle();
    }

    fn node(&mut self, node: u32) -> &mut Rotation<u32> {
        self.nodes.get_mut(&node).expect("a member")
    }

    fn take(&mut self, node: u32, output: impl IntoIterator<Item = RotationOutput<u32>>) {
        output.into_iter().for_each(|output| self.take_one(node, output));
    }

    fn take_one(&mut self, node: u32, output: RotationOutput<u32>) {
        match output {
            RotationOutput::Say(bytes) => self.order.push((node, bytes)),
            RotationOutput::Activate(_) => {}
            RotationOutput::Drop(key) => self.dropped.push((node, key.0)),
            RotationOutput::Refused { key, lacking } => self.refused.push((node, key, lacking)),
        }
    }

    fn settle(&mut self) {
        let mut count = 0;
        while !self.order.is_empty() {
            let (by, bytes) = self.order.remove(0);
            for node in self.nodes.keys().copied().collect::<Vec<_>>() {
                let (outputs, is_sound) = self.node(node).said(by, &bytes);
                assert!(is_sound);
                self.take(node, outputs);
            }
            count += 1;
            assert!(count < 1_000, "they never stop talking");
        }
    }

    fn active(&self) -> Vec<u8> {
        self.nodes.values().map(|node| node.own.active.0).collect()
    }

    /// Has it on its way.
    fn begin_to_stage(&mut self, node: u32, keys: &[u8]) {
        let output = self.node(node).staged(keys.iter().map(|id| info(*id)).collect());
        self.take(node, output.expect("nothing in use is missing"));
    }

    fn stage(&mut self, node: u32, keys: &[u8]) {
        self.begin_to_stage(node, keys);
        self.settle();
    }

    fn activate(&mut self, node: u32, key: u8) {
        let output = self.node(node).activate(KeyId(key)).expect("all have it");
        self.take(node, output);
    }
}

#[test]
fn a_key_that_all_have_is_activated_at_all_of_them() {
    let mut ring = Ring::new(&[(1, 1, &[1, 2]), (2, 1, &[1, 2]), (3, 1, &[1, 2])]);
    ring.activate(2, 2);
    assert_eq!(ring.active(), [1, 1, 1], "nothing changes before its place in the order");
    ring.settle();
    assert_eq!(ring.active(), [2, 2, 2]);
    let output = ring.node(1).retire(KeyId(1)).expect("nobody uses it");
    ring.take(1, output);
    assert!(ring.dropped.is_empty(), "not before its place in the order");
    ring.settle();
    assert_eq!(ring.dropped, [(1, 1)]);
    let refused = ring.node(3).retire(KeyId(2));
    assert_eq!(refused, Err(RotationError::InUse(KeyId(2), vec![1, 2, 3])));
}

#[test]
fn a_key_that_one_lacks_is_refused_by_name() {
    let mut ring = Ring::new(&[(1, 1, &[1, 2]), (2, 1, &[1]), (3, 1, &[1, 2])]);
    let refused = ring.node(1).activate(KeyId(2)).expect_err("2 lacks it");
    assert_eq!(refused, RotationError::Lacking(KeyId(2), vec![2]));
    assert!(refused.to_string().contains("missing at 2:"), "{refused}");
    assert_eq!(ring.node(2).activate(KeyId(2)), Err(RotationError::Missing(KeyId(2))));
    ring.stage(2, &[1, 2]);
    // It goes again before that is reached: all see the same, and nobody changes over.
    ring.begin_to_stage(3, &[1]);
    ring.activate(1, 2);
    ring.settle();
    assert_eq!(ring.active(), [1, 1, 1]);
    assert_eq!(ring.refused, [(1, KeyId(2), vec![3])], "whoever asked is told");
    // Once all have it, nobody has to ask again.
    ring.stage(3, &[1, 2]);
    assert_eq!(ring.active(), [2, 2, 2]);
}

/// Whoever says that it has a key keeps it for those who count on that.
#[test]
fn a_key_that_goes_while_its_activation_is_on_its_way_stays() {
    let mut ring = Ring::new(&[(1, 1, &[1, 2]), (2, 1, &[1, 2]), (3, 1, &[1, 2])]);
    ring.activate(1, 2);
    ring.begin_to_stage(3, &[1]);
    ring.settle();
    assert_eq!(ring.active(), [2, 2, 2], "they decide alike");
    assert!(ring.dropped.is_empty(), "{:?}", ring.dropped);
    assert!(ring.nodes[&3].own.info(KeyId(2)).is_some());
    assert!(ring.nodes[&1].said[&3].info(KeyId(2)).is_some(), "and all know it");
}

/// However often it is asked for, and whatever changes meanwhile.
#[test]
fn at_most_one_word_of_each_kind_is_on_its_way() {
    let mut ring = Ring::new(&[(1, 1, &[1, 2]), (2, 1, &[1, 2])]);
    for _ in 0..5 {
        ring.activate(1, 2);
        ring.begin_to_stage(1, &[1, 2, 3]);
        ring.begin_to_stage(1, &[1, 2]);
    }
    assert_eq!(ring.order.len(), 2);
    for node in [1, 2] {
        let output = ring.node(node).installed(vec![1, 2]);
        ring.take(node, output);
    }
    assert_eq!(ring.order.len(), 3, "the other one says what it has");
    ring.settle();
    assert_eq!(ring.active(), [2, 2]);
}

/// What was on its way across a change of configuration is not what is so.
#[test]
fn what_was_said_late_is_said_again() {
    let mut ring = Ring::new(&[(1, 1, &[1, 2]), (2, 1, &[1, 2])]);
    ring.begin_to_stage(2, &[1]);
    // Nothing of that is reached, and there is more to say.
    ring.begin_to_stage(2, &[1, 2, 3]);
    assert_eq!(ring.order.len(), 1);
    for node in [1, 2] {
        let output = ring.node(node).installed(vec![1, 2]);
        ring.take(node, output);
    }
    ring.settle();
    let ids: Vec<u8> = ring.nodes[&1].said[&2].keys.iter().map(|info| info.id.0).collect();
    assert_eq!(ids, [1, 2, 3]);
    assert!(ring.dropped.is_empty());
}

#[test]
fn another_key_of_the_same_number_is_not_the_key() {
    let mut ring = Ring::new(&[(1, 1, &[1, 2]), (2, 1, &[1, 2])]);
    let other = KeyInfo { id: KeyId(2), digest: [9; 8] };
    let output = ring.node(2).staged(vec![info(1), other]).expect("nobody uses it");
    ring.take(2, output);
    ring.settle();
    assert_eq!(ring.node(1).activate(KeyId(2)), Err(RotationError::Lacking(KeyId(2), vec![2])));
}

#[test]
fn a_key_that_is_older_or_active_cannot_follow() {
    let mut ring = Ring::new(&[(1, 2, &[1, 2])]);
    let older = RotationError::Older { key: KeyId(1), active: KeyId(2) };
    assert_eq!(ring.node(1).activate(KeyId(1)), Err(older));
    assert_eq!(ring.node(1).activate(KeyId(2)), Err(RotationError::Active(KeyId(2))));
}

/// Partitions healed across a rotation.
#[test]
fn a_ring_follows_a_key_that_it_hears_or_finds_in_a_merge_once_all_have_it() {
    let mut ring = Ring::new(&[(1, 1, &[1, 2]), (2, 1, &[1])]);
    assert_eq!(ring.node(1).heard(KeyId(2)), None, "2 could not follow");
    ring.stage(2, &[1, 2]);
    assert_eq!(ring.active(), [2, 2], "now it can");
    let mut merged = Ring::new(&[(1, 2, &[1, 2]), (2, 1, &[1, 2]), (3, 1, &[1, 2])]);
    assert_eq!(merged.active(), [2, 2, 2]);
    merged.install();
    assert_eq!(merged.active(), [2, 2, 2]);
}

/// It may be the one that seals with it.
#[test]
fn nothing_is_retired_before_all_have_said_what_they_seal_with() {
    let mut ring = Ring::new(&[(1, 2, &[1, 2]), (2, 2, &[1, 2])]);
    _ = ring.node(1).installed(vec![1, 2]);
    let refused = ring.node(1).retire(KeyId(1));
    assert_eq!(refused, Err(RotationError::InUse(KeyId(1), vec![1, 2])));
    assert_eq!(ring.node(1).retire(KeyId(9)), Err(RotationError::Missing(KeyId(9))));
    assert!(ring.node(2).retire(KeyId(1)).is_ok());
}

#[test]
fn a_key_in_use_is_not_taken_away_by_a_file_without_it_or_before_a_configuration() {
    let mut ring = Ring::new(&[(1, 1, &[1, 2]), (2, 1, &[1, 2])]);
    let refused = ring.node(1).staged(vec![info(2)]);
    assert_eq!(refused, Err(RotationError::InUse(KeyId(1), vec![1, 2])));
    let mut alone = Rotation::new(1, KeyId(1), [info(1), info(2)].into_iter());
    assert_eq!(alone.retire(KeyId(1)), Err(RotationError::InUse(KeyId(1), vec![1])));
}

/// Two members asked for different keys at the same time, and the older one comes last.
#[test]
fn nobody_goes_back_to_an_older_key() {
    let mut ring = Ring::new(&[(1, 1, &[1, 2, 3]), (2, 1, &[1, 2, 3])]);
    ring.activate(2, 3);
    ring.settle();
    let (outputs, is_sound) = ring.node(1).said(2, &encode_activate(info(2)));
    assert!(is_sound && outputs.is_empty(), "{outputs:?}");
    assert_eq!(ring.active(), [3, 3]);
}

#[test]
fn each_is_told_of_what_became_of_its_own_word() {
    let mut ring = Ring::new(&[(1, 1, &[1, 2]), (2, 1, &[1, 2]), (3, 1, &[1, 2])]);
    ring.begin_to_stage(3, &[1]);
    ring.activate(2, 2);
    ring.activate(1, 2);
    ring.settle();
    let refused = |by| (by, KeyId(2), vec![3]);
    assert_eq!(ring.refused, [refused(2), refused(1)], "in the order of the words");
}

#[test]
fn what_no_member_says_changes_nothing() {
    let mut ring = Ring::new(&[(1, 1, &[1, 2])]);
    let too_many = [HAVE; 2 + 9 * (KEYS_MAX + 1)];
    for bytes in [
        &[][..],
        &[HAVE],
        &[HAVE, 1],
        &[HAVE, 1, 2, 3],
        &[ACTIVATE, 2],
        &[7],
        &[HAVE; 400],
        &too_many,
    ] {
        let (outputs, is_sound) = ring.node(1).said(1, bytes);
        assert!(outputs.is_empty() && !is_sound, "{bytes:?}");
    }
    assert_eq!(ring.active(), [1]);
}
