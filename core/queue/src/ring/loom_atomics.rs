//! loom's atomics, before each of which a signal handler may run: a call that was left by
//! [`interrupt`] is made before the n-th access of this thread.

use std::boxed::Box;
use std::cell::RefCell;

use loom::sync::atomic::Ordering;

type Handler = Box<dyn FnOnce()>;

loom::thread_local! {
    /// Accesses before it runs, and what runs.
    static HANDLER: RefCell<Option<(usize, Handler)>> = RefCell::new(None);
}

/// Runs `work`, and `handler` before its access number `at`, from 0. False: it had not so many.
#[cfg(test)]
pub(super) fn interrupt(at: usize, handler: Handler, work: impl FnOnce()) -> bool {
    HANDLER.with(|place| *place.borrow_mut() = Some((at, handler)));
    work();
    HANDLER.with(|place| place.borrow_mut().take().is_none())
}

/// A place where a signal may come.
fn point() {
    let due = HANDLER.with(|place| {
        let mut place = place.borrow_mut();
        match &mut *place {
            Some((0, _)) => place.take(),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        }
    });
    if let Some((_, handler)) = due {
        handler();
    }
}

pub(super) fn fence(order: Ordering) {
    point();
    loom::sync::atomic::fence(order);
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        pub(super) struct $name(loom::sync::atomic::$name);

        #[allow(dead_code, reason = "not both have all of it")]
        impl $name {
            pub(super) fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            pub(super) fn load(&self, order: Ordering) -> $value {
                point();
                self.0.load(order)
            }

            pub(super) fn store(&self, value: $value, order: Ordering) {
                point();
                self.0.store(value, order);
            }

            pub(super) fn swap(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.swap(value, order)
            }

            pub(super) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.fetch_add(value, order)
            }

            pub(super) fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.fetch_max(value, order)
            }

            pub(super) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                point();
                self.0.compare_exchange(current, new, success, failure)
            }

            pub(super) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                point();
                self.0.compare_exchange_weak(current, new, success, failure)
            }
        }
    };
}

atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);
