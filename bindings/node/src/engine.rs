//! Engines in the process.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use anasazi_sys::Status;
use napi::Env;
use napi::bindgen_prelude::{Either, Function};
use napi_derive::napi;

use crate::failure::{Failure, number};
use crate::session::{Session, config};
use crate::sys::watch::Watch;
use crate::threads;

/// An engine.
#[napi]
#[derive(Debug)]
pub struct Engine {
    engine: Option<Arc<anasazi_sys::Engine>>,
    watch: Option<Watch>,
}

impl Engine {
    fn with(&self, call: impl FnOnce(&anasazi_sys::Engine) -> Result<(), Status>) -> i32 {
        let closed = Status(anasazi_sys::generated::ANZ_ECLOSED);
        number(self.engine.as_deref().ok_or(closed).and_then(call))
    }
}

/// Makes an engine, or says why not.
#[napi]
pub fn new_engine(file: Option<String>, settings: Vec<String>) -> Either<Engine, Failure> {
    let made = config(file.as_deref(), &settings)
        .and_then(|config| anasazi_sys::Engine::new(Some(&config)));
    match made {
        Ok(engine) => Either::A(Engine { engine: Some(Arc::new(engine)), watch: None }),
        Err(why) => Either::B(why.into()),
    }
}

#[napi]
impl Engine {
    /// Drives it in a thread of the library.
    #[napi]
    pub fn start_thread(&self) -> i32 {
        self.with(anasazi_sys::Engine::start_thread)
    }

    /// Calls the function whenever the engine has something to do.
    #[napi]
    pub fn watch(&mut self, env: &Env, callback: Function<'_, i32, ()>) -> napi::Result<i32> {
        let closed = Status(anasazi_sys::generated::ANZ_ECLOSED);
        let engine = self.engine.as_deref().ok_or(closed);
        match engine.and_then(anasazi_sys::Engine::fd) {
            Ok(fd) => {
                // When the environment ends this object does, and with it the engine.
                self.watch = Some(Watch::new(env, fd, &callback, || ())?);
                Ok(0)
            }
            Err(status) => Ok(status.0),
        }
    }

    /// Whether it keeps the loop alive.
    #[napi]
    pub fn set_ref(&self, keeps_alive: bool) {
        if let Some(watch) = &self.watch {
            watch.set_ref(keeps_alive);
        }
    }

    /// Drives it a bounded while: 1 if there is more to do, 0, or a status.
    #[napi]
    pub fn process(&self) -> i32 {
        let Some(engine) = &self.engine else {
            return anasazi_sys::generated::ANZ_ECLOSED;
        };
        engine.process(0).map_or_else(|status| status.0, i32::from)
    }

    /// A session with it, or why not.
    #[napi]
    pub fn connect(&self, file: Option<String>, settings: Vec<String>) -> Either<Session, Failure> {
        let Some(engine) = &self.engine else {
            return Either::B(crate::failure_of(anasazi_sys::generated::ANZ_ECLOSED));
        };
        let opened =
            config(file.as_deref(), &settings).and_then(|config| engine.connect(Some(&config)));
        match opened {
            Ok(session) => Either::A(Session::of(session)),
            Err(why) => Either::B(why.into()),
        }
    }

    /// Asks for a clean leave.
    #[napi]
    pub fn stop(&self) -> i32 {
        self.with(anasazi_sys::Engine::stop)
    }

    /// Gives it back, in a thread, since a clean leave takes a while, and calls the function then.
    #[napi]
    pub fn free(
        &mut self,
        env: &Env,
        callback: Function<'_, i32, ()>,
    ) -> napi::Result<Option<Freeing>> {
        self.watch = None;
        let engine = Arc::new(Mutex::new(self.engine.take()));
        let place = Arc::clone(&engine);
        let take = move || place.lock().unwrap_or_else(PoisonError::into_inner).take();
        match threads::now(move || drop(take())) {
            Ok(end) => {
                let watch = Watch::new(env, end.as_raw_fd(), &callback, || ())?;
                Ok(Some(Freeing { watch: Some(watch), end: Some(end) }))
            }
            Err(_) => {
                // Then here.
                drop(engine.lock().unwrap_or_else(PoisonError::into_inner).take());
                Ok(None)
            }
        }
    }
}

/// An engine that is given back.
#[napi]
#[derive(Debug)]
pub struct Freeing {
    watch: Option<Watch>,
    /// Readable once that is done; open as long as it is watched.
    end: Option<UnixStream>,
}

#[napi]
impl Freeing {
    /// It is done: the function was called.
    #[napi]
    pub fn done(&mut self) {
        self.watch = None;
        self.end = None;
    }
}
