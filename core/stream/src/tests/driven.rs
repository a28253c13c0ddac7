//! Carriers that are turned only when something tells them: a wake-up, bytes, or room in the
//! stream. What is done by then is all that is ever done.

use super::*;

/// A pair whose carriers sleep.
struct Driven {
    pair: Pair,
    /// The carrier at the client, the one at the engine.
    due: [bool; 2],
}

impl Driven {
    fn new() -> Self {
        Self { pair: Pair::new(), due: [true, true] }
    }

    /// Turns who has a reason, until nobody has.
    fn settle(&mut self) {
        for _ in 0..1_000_000 {
            let Pair { near, far, up, down, .. } = &mut self.pair;
            let near_has = !down.bytes.is_empty() || up.is_awaited && up.bytes.len() < up.room;
            let far_has = !up.bytes.is_empty() || down.is_awaited && down.bytes.len() < down.room;
            let [near_due, far_due] = self.due;
            if near_due || near_has {
                up.is_awaited = false;
                self.due[0] = near.turn(&mut Line { from: down, to: up }).expect("no end");
            } else if far_due || far_has {
                down.is_awaited = false;
                self.due[1] = far.turn(&mut Line { from: up, to: down }).expect("no end");
            } else {
                return;
            }
        }
        panic!("they never rest");
    }

    fn say(&mut self, at_client: bool, len: usize) -> bool {
        let producer = if at_client { &self.pair.client.0 } else { &self.pair.engine.1 };
        let said = producer.push(3, 0, &[&vec![5; len]]).is_ok();
        self.due[usize::from(!at_client)] |= producer.wake_needed();
        said
    }

    /// Takes the next record, and gives it back; how long it was.
    fn hear(&mut self, at_client: bool) -> Option<usize> {
        let consumer = if at_client { &self.pair.client.1 } else { &self.pair.engine.0 };
        let record = consumer.next().expect("sound")?;
        consumer.release(record.position);
        self.due[usize::from(!at_client)] |= consumer.room_wanted();
        Some(record.len)
    }
}

#[test]
fn nothing_is_forgotten_by_who_sleeps() {
    let (mut driven, mut rng) = (Driven::new(), Rng(11));
    let (mut said, mut heard) = ([0_u64; 2], [0_u64; 2]);
    for _ in 0..40_000 {
        for side in [0, 1] {
            if rng.below(3) > 0 && driven.say(side == 0, [0, 9, 700, 9_000][rng.below(4)]) {
                said[side] += 1;
            }
            if rng.below(4) == 0 {
                driven.settle();
            }
            if rng.below(3) > 0 && driven.hear(side == 1).is_some() {
                heard[side] += 1;
            }
        }
    }
    for side in [0, 1] {
        driven.settle();
        while driven.hear(side == 1).is_some() {
            heard[side] += 1;
            driven.settle();
        }
    }
    driven.settle();
    assert!(said[0] > 10_000 && said[1] > 10_000, "{said:?}");
    assert_eq!(said, heard);
    let pair = &driven.pair;
    assert_eq!((pair.client.0.used(), pair.engine.1.used()), (0, 0), "all room came back");
}

#[test]
fn room_comes_back_also_behind_a_claim_that_is_kept_open() {
    let mut driven = Driven::new();
    assert!(driven.say(true, 10_000));
    driven.settle();
    let claim = driven.pair.client.0.claim(3, 0, 15_000).expect("room");
    // As anything that goes on does.
    driven.due[0] = true;
    driven.settle();
    assert_eq!(driven.pair.engine.0.open_claim(), None, "something is before it");
    assert_eq!(driven.hear(false), Some(10_000));
    driven.settle();
    assert_eq!(driven.pair.client.0.released_to(), claim.position());
    driven.pair.client.0.abort(claim);
}

#[test]
fn each_claim_that_is_kept_open_is_known() {
    let mut driven = Driven::new();
    let claims = [1_000, 2_000].map(|len| driven.pair.client.0.claim(3, 0, len).expect("room"));
    let positions = claims.each_ref().map(|claim| claim.position());
    driven.due[0] = true;
    driven.settle();
    assert_eq!(driven.pair.engine.0.open_claim(), Some(positions[0]));
    let [first, second] = claims;
    driven.pair.client.0.commit(first);
    driven.due[0] |= driven.pair.client.0.wake_needed();
    driven.settle();
    assert_eq!(driven.hear(false), Some(1_000));
    assert_eq!(driven.pair.engine.0.open_claim(), Some(positions[1]));
    driven.pair.client.0.commit(second);
    driven.due[0] |= driven.pair.client.0.wake_needed();
    driven.settle();
    assert_eq!(driven.hear(false), Some(2_000));
    assert_eq!(driven.pair.engine.0.open_claim(), None);
}
