//! A descriptor watched on the loop of its environment: how the library wakes JavaScript.
//!
//! Why not a thread-safe function: it survives what `test/life.test.mjs` does just as well, but it
//! adds twice as much latency, and it takes a lock, while the thread of the library that would
//! call it, from `anz_conn_set_notify()`, may call async-signal-safe functions only. Here no other
//! thread ever comes near an environment.
//!
//! A handle that is open when its loop is closed aborts the process. So an asynchronous clean-up
//! hook closes it, for whose end Node waits: a worker may be terminated at any moment.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use napi::bindgen_prelude::{Function, JsValue};
use napi::{Env, sys};

use super::uv;

/// Calls a function of JavaScript while a descriptor is readable, until it is closed or its
/// environment ends: with 0, or once with a status of libuv's, if it cannot be watched any more.
/// For the thread of the environment alone.
pub struct Watch(Rc<Inner>);

struct Inner {
    /// libuv's, as large as it says; in words, so that it lies as it must. A pointer, and no box,
    /// since the loop has one of its own to it meanwhile.
    place: NonNull<[u64]>,
    env: sys::napi_env,
    callback: sys::napi_ref,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
    is_open: Cell<bool>,
    /// What is to be done when the environment ends, once the descriptor is not watched any more.
    at_end: Cell<Option<Box<dyn FnOnce()>>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("is_open", &self.0.is_open.get()).finish_non_exhaustive()
    }
}

impl Watch {
    /// Watches a descriptor, which must stay open until this is closed. If the environment ends
    /// before, this closes by itself, and `at_end` is called.
    ///
    /// # Errors
    /// The descriptor cannot be watched; the environment is ending.
    pub fn new(
        env: &Env,
        fd: i32,
        callback: &Function<'_, i32, ()>,
        at_end: impl FnOnce() + 'static,
    ) -> napi::Result<Self> {
        let uv_loop = env.get_uv_event_loop()?;
        // SAFETY: takes a number.
        let size = unsafe { uv::uv_handle_size(uv::POLL) };
        let place: Box<[u64]> = vec![0; size.div_ceil(8)].into();
        let mut inner = Inner {
            place: NonNull::from(Box::leak(place)),
            env: env.raw(),
            callback: ptr::null_mut(),
            hook: Cell::new(ptr::null_mut()),
            is_open: Cell::new(true),
            at_end: Cell::new(Some(Box::new(at_end))),
        };
        // SAFETY: the loop of this environment, a place as large as libuv says, and a descriptor.
        let result = unsafe { uv::uv_poll_init(uv_loop, inner.poll(), fd) };
        if result < 0 {
            return Err(napi::Error::from_reason(format!("uv_poll_init() gives {result}")));
        }
        // From here on the place belongs to the loop until `closed()`.
        // SAFETY: a function of this environment, and a place.
        let referred = unsafe {
            sys::napi_create_reference(env.raw(), callback.raw(), 1, &raw mut inner.callback)
        };
        let inner = Rc::new(inner);
        let shared: *mut c_void = Rc::into_raw(Rc::clone(&inner)).cast_mut().cast();
        // SAFETY: the first field of a handle is for its user.
        unsafe { (*inner.poll()).data = shared };
        let mut hook = ptr::null_mut();
        // SAFETY: `shared` lives until `closed()`, which removes the hook.
        let hooked = unsafe {
            sys::napi_add_async_cleanup_hook(env.raw(), Some(ended), shared, &raw mut hook)
        };
        inner.hook.set(hook);
        let watch = Self(inner);
        if referred != sys::Status::napi_ok || hooked != sys::Status::napi_ok {
            watch.close();
            return Err(napi::Error::from_reason("the environment is ending"));
        }
        watch.resume();
        Ok(watch)
    }

    /// Calls again, after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.start(uv::READABLE);
    }

    /// Calls no more; the loop stays alive as before.
    pub fn pause(&self) {
        self.start(uv::PRIORITIZED);
    }

    fn start(&self, events: c_int) {
        if self.0.is_open.get() {
            // SAFETY: a handle that is open.
            unsafe { uv::uv_poll_start(self.0.poll(), events, readable) };
        }
    }

    /// Whether this keeps the loop alive, which it does at first.
    pub fn set_ref(&self, keeps_alive: bool) {
        if !self.0.is_open.get() {
            return;
        }
        // SAFETY: a handle that is open.
        unsafe { if keeps_alive { uv::uv_ref(self.0.poll()) } else { uv::uv_unref(self.0.poll()) } }
    }

    /// Calls no more; the descriptor may be closed from then on.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Inner {
    fn poll(&self) -> *mut uv::Poll {
        self.place.as_ptr().cast()
    }

    fn close(&self) {
        if !self.is_open.replace(false) {
            return;
        }
        drop(self.at_end.take());
        // SAFETY: a handle and a reference of our own, the latter not used again; `closed()` gives
        // up the share that the loop has.
        unsafe {
            uv::uv_poll_stop(self.poll());
            uv::uv_close(self.poll(), Some(closed));
            sys::napi_delete_reference(self.env, self.callback);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: of a box, and the loop does not have it any more, or never had.
        drop(unsafe { Box::from_raw(self.place.as_ptr()) });
    }
}

/// # Safety
/// libuv calls it, with a handle that was started above.
unsafe extern "C" fn readable(poll: *mut uv::Poll, status: c_int, _events: c_int) {
    // SAFETY: as it was set above, until `closed()`; JavaScript runs on this thread, where a
    // handle that it closes stays until the loop is back.
    let inner = unsafe { &*(*poll).data.cast::<Inner>() };
    if !inner.is_open.get() {
        return;
    }
    // SAFETY: on the thread of an environment that lives, since its hook has not closed this.
    unsafe { call(inner.env, inner.callback, status) };
}

/// # Safety
/// On the thread of this environment; the reference is one of it.
unsafe fn call(env: sys::napi_env, callback: sys::napi_ref, status: c_int) {
    let (mut scope, mut function, mut global) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    let mut argument = ptr::null_mut();
    // SAFETY: by contract; values live as long as the scope.
    unsafe {
        if sys::napi_open_handle_scope(env, &raw mut scope) != sys::Status::napi_ok {
            return;
        }
        sys::napi_get_reference_value(env, callback, &raw mut function);
        sys::napi_get_global(env, &raw mut global);
        sys::napi_create_int32(env, status, &raw mut argument);
        let called = sys::napi_make_callback(
            env,
            ptr::null_mut(),
            global,
            function,
            1,
            &raw const argument,
            ptr::null_mut(),
        );
        // Not while a worker is terminated: then it cannot be caught.
        let mut thrown = ptr::null_mut();
        if called == sys::Status::napi_pending_exception
            && sys::napi_get_and_clear_last_exception(env, &raw mut thrown) == sys::Status::napi_ok
            && !thrown.is_null()
        {
            sys::napi_fatal_exception(env, thrown);
        }
        sys::napi_close_handle_scope(env, scope);
    }
}

/// # Safety
/// Node calls it, once, if the environment ends before `closed()`.
unsafe extern "C" fn ended(_hook: sys::napi_async_cleanup_hook_handle, shared: *mut c_void) {
    // SAFETY: as it was registered above.
    let inner = unsafe { &*shared.cast::<Inner>() };
    let at_end = inner.at_end.take();
    inner.close();
    if let Some(at_end) = at_end {
        at_end();
    }
}

/// # Safety
/// libuv calls it, once, for a handle of ours.
unsafe extern "C" fn closed(poll: *mut uv::Poll) {
    // SAFETY: the share that the loop was given; the hook is removed once, after which Node does
    // not wait for it any more.
    unsafe {
        let inner = Rc::from_raw((*poll).data.cast::<Inner>().cast_const());
        if !inner.hook.get().is_null() {
            sys::napi_remove_async_cleanup_hook(inner.hook.get());
        }
        drop(inner);
    }
}
