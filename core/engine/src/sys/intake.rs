//! What other threads hand to an engine, which takes all of it at once.
//!
//! No lock: a thread that is stopped while it hands something over keeps neither the others waiting
//! nor the engine. The queues of std and crossbeam are not for that: who pushes waits there, now
//! and then, for somebody else who is making room.

use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A stack whose only ways out are to take everything and to close it: nothing is ever unlinked
/// while another thread looks at it.
///
/// It is made of addresses, not pointers: one that is compared may be that of a node that was taken
/// meanwhile, and given to another one.
pub struct Intake<T> {
    /// Of the last that was handed over; [`EMPTY`] if none was; [`CLOSED`] for ever once that is
    /// said.
    last: AtomicUsize,
    values: PhantomData<Node<T>>,
}

struct Node<T> {
    value: T,
    /// Of the one before, or [`EMPTY`].
    before: usize,
}

const EMPTY: usize = 0;
/// No node is there: they are aligned.
const CLOSED: usize = 1;

impl<T> Default for Intake<T> {
    fn default() -> Self {
        const { assert!(align_of::<Node<T>>() > CLOSED) }
        Self { last: AtomicUsize::new(EMPTY), values: PhantomData }
    }
}

impl<T> Intake<T> {
    /// Hands something over. Lock-free; allocates.
    ///
    /// # Errors
    /// It is closed: here it is again.
    pub fn push(&self, value: T) -> Result<(), T> {
        let mut last = self.last.load(Ordering::Relaxed);
        let mut node = Box::new(Node { value, before: last });
        while last != CLOSED {
            node.before = last;
            let raw = Box::into_raw(node);
            let address = raw.expose_provenance();
            match self.last.compare_exchange_weak(
                last,
                address,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => last = now,
            }
            // SAFETY: made above, and not linked: nobody else has it.
            node = unsafe { Box::from_raw(raw) };
        }
        Err(node.value)
    }

    /// Everything, in the order in which it was handed over.
    pub fn take(&self) -> Vec<T> {
        let taken = self.last.try_update(Ordering::Acquire, Ordering::Relaxed, |last| {
            (last != CLOSED && last != EMPTY).then_some(EMPTY)
        });
        // SAFETY: it was linked, and is not any more: it is this thread's alone.
        taken.map_or_else(|_| Vec::new(), |last| unsafe { unlinked(last) })
    }

    /// Nothing is taken from now on; returns what there was.
    pub fn close(&self) -> Vec<T> {
        match self.last.swap(CLOSED, Ordering::AcqRel) {
            CLOSED => Vec::new(),
            // SAFETY: it was linked, and is not any more: it is this thread's alone.
            last => unsafe { unlinked(last) },
        }
    }
}

impl<T> Drop for Intake<T> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

/// The values of a list, the first one first.
///
/// # Safety
/// `last` is [`EMPTY`] or of [`Box::into_raw`], and so is every `before`; nobody else has them.
unsafe fn unlinked<T>(mut last: usize) -> Vec<T> {
    let mut values = Vec::new();
    while last != EMPTY {
        // SAFETY: as the caller says; `push` has exposed it.
        let node = unsafe { Box::from_raw(ptr::with_exposed_provenance_mut::<Node<T>>(last)) };
        last = node.before;
        values.push(node.value);
    }
    values.reverse();
    values
}

// SAFETY: values go from one thread to another, and no two see one at a time.
unsafe impl<T: Send> Send for Intake<T> {}
// SAFETY: the same.
unsafe impl<T: Send> Sync for Intake<T> {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn what_is_handed_over_comes_out_once_and_in_order() {
        let intake = Intake::default();
        assert!(intake.take().is_empty());
        (1..=3).for_each(|n| intake.push(n).unwrap());
        assert_eq!(intake.take(), [1, 2, 3]);
        intake.push(4).unwrap();
        assert_eq!(intake.close(), [4]);
        assert_eq!(intake.push(5), Err(5));
        assert!(intake.take().is_empty() && intake.close().is_empty());
    }

    #[test]
    fn many_threads_hand_over_while_one_takes_and_closes() {
        const THREADS: usize = 4;
        const EACH: usize = 20_000;
        let intake = Arc::new(Intake::default());
        let pushers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let intake = Arc::clone(&intake);
                // Values that would be seen to be dropped twice, or never.
                thread::spawn(move || {
                    (0..EACH).filter(|n| intake.push(Box::new((thread, *n))).is_ok()).count()
                })
            })
            .collect();
        let mut taken = Vec::new();
        while taken.len() < THREADS * EACH / 2 {
            taken.extend(intake.take());
        }
        taken.extend(intake.close());
        let accepted: usize = pushers.into_iter().map(|pusher| pusher.join().unwrap()).sum();
        assert_eq!(taken.len(), accepted);
        for thread in 0..THREADS {
            let of_one: Vec<usize> =
                taken.iter().filter(|value| value.0 == thread).map(|value| value.1).collect();
            assert!(of_one.iter().copied().eq(0..of_one.len()), "one thread's are out of order");
        }
    }
}
