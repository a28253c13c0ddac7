//! What waits at a gateway to be forwarded, or for another gateway to have forwarded it: bounded,
//! so that a slow target costs memory up to a bound, and the source nothing.

use std::collections::{BTreeMap, VecDeque};

use anasazi_protocol::Service;
use bytes::Bytes;

use crate::key::Key;

/// A message that waits.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) key: Key,
    /// What came before it.
    pub(crate) after: Option<Key>,
    pub(crate) service: Service,
    pub(crate) visited: Vec<u64>,
    pub(crate) payload: Bytes,
}

/// In the order of the source.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    items: VecDeque<Slot>,
    /// Where the latest message of each subject waits, or waited; with `latest_key_len` only.
    latest: BTreeMap<Bytes, Key>,
    /// Items that are there, and the bytes of their messages.
    count: usize,
    len: usize,
}

#[derive(Debug)]
struct Slot {
    key: Key,
    after: Option<Key>,
    /// None: a later one of its subject has taken its place.
    item: Option<Item>,
}

impl Queue {
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Puts one behind the others. `subject`: in place of the one about the same that waits behind
    /// `base`, if there is one; then true.
    pub(crate) fn push(&mut self, item: Item, subject: Option<Bytes>, base: Option<Key>) -> bool {
        // Subjects of which nothing waits any more are forgotten when they are most.
        if self.latest.len() > 2 * self.count + 64 {
            let first = self.items.front().map(|slot| slot.key);
            self.latest.retain(|_, key| first.is_some_and(|first| *key >= first));
        }
        let before = subject.and_then(|subject| self.latest.insert(subject, item.key));
        let replaced = before.is_some_and(|key| base < Some(key) && self.remove(key));
        self.count += 1;
        self.len += item.payload.len();
        self.items.push_back(Slot { key: item.key, after: item.after, item: Some(item) });
        replaced
    }

    fn remove(&mut self, key: Key) -> bool {
        let at = self.items.partition_point(|slot| slot.key < key);
        let slot = self.items.get_mut(at).filter(|slot| slot.key == key);
        let Some(item) = slot.and_then(|slot| slot.item.take()) else { return false };
        self.count -= 1;
        self.len -= item.payload.len();
        // Places of what was taken out are given back when they are most.
        if self.items.len() > 2 * self.count + 64 {
            self.compact();
        }
        true
    }

    fn compact(&mut self) {
        let mut skipped: Option<Slot> = None;
        for mut slot in std::mem::take(&mut self.items) {
            if let Some(skipped) = skipped.take_if(|skipped| slot.after == Some(skipped.key)) {
                slot.after = skipped.after;
            }
            match slot.item {
                Some(_) => self.items.push_back(slot),
                None => skipped = Some(slot),
            }
        }
        // Whatever comes next comes after the last one.
        self.items.extend(skipped);
    }

    /// What comes before one that waits, but for what others have taken the place of.
    pub(crate) fn before(&self, item: &Item) -> Option<Key> {
        let mut at = item.key;
        loop {
            let slot = self.items.get(self.items.partition_point(|slot| slot.key < at));
            match slot.filter(|slot| slot.key == at) {
                Some(slot) if slot.key == item.key || slot.item.is_none() => at = slot.after?,
                _ => return Some(at),
            }
        }
    }

    /// Takes the oldest one out.
    pub(crate) fn pop(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.items.pop_front()?.item {
                self.count -= 1;
                self.len -= item.payload.len();
                return Some(item);
            }
        }
    }

    /// Takes out all up to this one.
    pub(crate) fn trim(&mut self, mark: Key) {
        while self.items.front().is_some_and(|slot| slot.key <= mark) {
            if let Some(item) = self.items.pop_front().and_then(|slot| slot.item) {
                self.count -= 1;
                self.len -= item.payload.len();
            }
        }
        if self.items.is_empty() {
            self.latest.clear();
        }
    }

    /// The first one behind this.
    pub(crate) fn after(&self, base: Option<Key>) -> Option<&Item> {
        let at = self.items.partition_point(|slot| Some(slot.key) <= base);
        self.items.range(at..).find_map(|slot| slot.item.as_ref())
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::key;

    fn item(position: u64) -> Item {
        let (visited, payload) = (Vec::new(), Bytes::from(vec![0; 10]));
        let after = Some(key(1, position - 1));
        Item { key: key(1, position), after, service: Service::Agreed, visited, payload }
    }

    fn keys(queue: &mut Queue) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop()).map(|item| item.key.ordinal).collect()
    }

    #[test]
    fn what_is_later_takes_the_place_of_what_is_about_the_same() {
        let mut queue = Queue::default();
        for position in 1..=6 {
            let subject = Bytes::copy_from_slice(&[position as u8 % 3]);
            queue.push(item(position), Some(subject), Some(key(1, 1)));
        }
        // The first one may be on its way.
        assert_eq!((queue.count(), queue.len()), (4, 40));
        let before = |at| queue.after(Some(key(1, at))).and_then(|item| queue.before(item));
        assert_eq!([before(0), before(1), before(4)], [0, 1, 4].map(|at| Some(key(1, at))));
        assert_eq!(keys(&mut queue), [1, 4, 5, 6]);
        assert_eq!((queue.count(), queue.len()), (0, 0));
    }

    #[test]
    fn places_are_given_back() {
        let mut queue = Queue::default();
        for position in 1..=10_000 {
            queue.push(item(position), Some(Bytes::new()), None);
            assert!(queue.items.len() <= 66);
        }
        let left = queue.after(None).expect("one is left");
        assert_eq!(queue.before(left), Some(key(1, 0)));
        assert_eq!(keys(&mut queue), [10_000]);
    }

    /// As long as something waits, too.
    #[test]
    fn subjects_are_forgotten() {
        let mut queue = Queue::default();
        for position in 1..=10_000_u64 {
            let subject = Bytes::copy_from_slice(&position.to_le_bytes());
            queue.push(item(position), Some(subject), None);
            if position % 2 == 0 {
                queue.trim(key(1, position.saturating_sub(10)));
            } else if queue.count() > 10 {
                queue.pop();
            }
            assert!(queue.count() <= 11 && queue.latest.len() <= 2 * 11 + 65);
            // Those of what waits are not.
            assert!(queue.latest.len() >= queue.count());
        }
        let again = Bytes::copy_from_slice(&9_999_u64.to_le_bytes());
        assert!(queue.push(item(10_001), Some(again), None));
    }

    #[test]
    fn it_is_trimmed_and_looked_through_by_keys() {
        let mut queue = Queue::default();
        (1..=5).for_each(|position| _ = queue.push(item(position), None, None));
        assert_eq!(queue.after(Some(key(1, 3))).map(|item| item.key), Some(key(1, 4)));
        assert_eq!(queue.after(None).map(|item| item.key), Some(key(1, 1)));
        queue.trim(key(1, 4));
        assert_eq!((queue.count(), queue.len()), (1, 10));
        assert!(queue.after(Some(key(2, 1))).is_none());
    }
}
