//! What will happen, in order of time; what falls on the same time happens in the order in which it
//! was planned.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Things planned for points in virtual time.
#[derive(Debug)]
pub struct Schedule<T> {
    heap: BinaryHeap<Reverse<Planned<T>>>,
    sequence: u64,
}

#[derive(Debug)]
struct Planned<T> {
    time: u64,
    rank: usize,
    sequence: u64,
    what: T,
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), sequence: 0 }
    }
}

impl<T> Schedule<T> {
    /// Plans something, in nanoseconds of virtual time.
    pub fn plan(&mut self, time: u64, what: T) {
        self.plan_behind(time, 0, what);
    }

    /// The same, behind all that falls on that time with a lower rank, whenever that was planned.
    pub(crate) fn plan_behind(&mut self, time: u64, rank: usize, what: T) {
        self.sequence += 1;
        self.heap.push(Reverse(Planned { time, rank, sequence: self.sequence, what }));
    }

    /// When the next thing happens.
    pub fn next_time(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(planned)| planned.time)
    }

    /// The next thing and its time.
    pub fn take(&mut self) -> Option<(u64, T)> {
        self.heap.pop().map(|Reverse(planned)| (planned.time, planned.what))
    }
}

impl<T> Ord for Planned<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |of: &Self| (of.time, of.rank, of.sequence);
        key(self).cmp(&key(other))
    }
}

impl<T> PartialOrd for Planned<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Planned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Planned<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_first_and_equals_as_planned() {
        let mut schedule = Schedule::default();
        for (time, what) in [(5, 'c'), (3, 'a'), (5, 'd'), (4, 'b')] {
            schedule.plan(time, what);
        }
        let order: String = std::iter::from_fn(|| schedule.take()).map(|(_, what)| what).collect();
        assert_eq!(order, "abcd");
    }
}
