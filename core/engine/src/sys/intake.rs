//! What other threads hand to an engine, which takes all of it at once.
//!
//! No lock: a thread that is stopped while it hands something over keeps neither the others waiting
//! nor the engine.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A stack whose only ways out are to take everything and to close it: nothing is ever unlinked
/// while another thread looks at it.
pub struct Intake<T> {
    /// The last that was handed over; null if none was; [`closed`] for ever once that is said.
    last: AtomicPtr<Node<T>>,
}

struct Node<T> {
    value: T,
    before: *mut Self,
}

impl<T> Default for Intake<T> {
    fn default() -> Self {
        Self { last: AtomicPtr::new(ptr::null_mut()) }
    }
}

impl<T> Intake<T> {
    /// Hands something over. Lock-free; allocates.
    ///
    /// # Errors
    /// It is closed: here it is again.
    pub fn push(&self, value: T) -> Result<(), T> {
        let node =
            Box::into_raw(Box::new(Node { value, before: self.last.load(Ordering::Relaxed) }));
        loop {
            // SAFETY: made above, and nobody else has it until it is linked, which ends this.
            let before = unsafe { (*node).before };
            if before == closed() {
                // SAFETY: the same.
                return Err(unsafe { Box::from_raw(node) }.value);
            }
            let linked =
                self.last.compare_exchange_weak(before, node, Ordering::Release, Ordering::Relaxed);
            match linked {
                Ok(_) => return Ok(()),
                // SAFETY: the same.
                Err(now) => unsafe { (*node).before = now },
            }
        }
    }

    /// Everything, in the order in which it was handed over.
    pub fn take(&self) -> Vec<T> {
        let mut last = self.last.load(Ordering::Relaxed);
        // Only pushing can come between, which is to be taken too; closing is for ever.
        while last != closed() && !last.is_null() {
            match self.last.compare_exchange_weak(
                last,
                ptr::null_mut(),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                // SAFETY: it was linked, and is not any more: it is this thread's alone.
                Ok(_) => return unsafe { unlinked(last) },
                Err(now) => last = now,
            }
        }
        Vec::new()
    }

    /// Nothing is taken from now on; returns what there was.
    pub fn close(&self) -> Vec<T> {
        let last = self.last.swap(closed(), Ordering::AcqRel);
        if last == closed() {
            return Vec::new();
        }
        // SAFETY: it was linked, and is not any more: it is this thread's alone.
        unsafe { unlinked(last) }
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
/// `last` is null or of [`Box::into_raw`], and so is every `before`; nobody else has them.
unsafe fn unlinked<T>(mut last: *mut Node<T>) -> Vec<T> {
    let mut values = Vec::new();
    while !last.is_null() {
        // SAFETY: as the caller says.
        let node = unsafe { Box::from_raw(last) };
        last = node.before;
        values.push(node.value);
    }
    values.reverse();
    values
}

/// An address at which no node can be.
fn closed<T>() -> *mut Node<T> {
    const { assert!(align_of::<Node<T>>() > 1) }
    ptr::without_provenance_mut(1)
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
