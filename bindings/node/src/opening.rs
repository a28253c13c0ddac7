//! Sessions that are being opened, in a few threads: that may take as long as `connect.timeout_ms`
//! says.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use anasazi_sys::{Failure as Why, Status, generated};
use napi::Env;
use napi::bindgen_prelude::{Either, Function};
use napi_derive::napi;

use crate::failure::Failure;
use crate::session::{Session, config};
use crate::sys::watch::Watch;
use crate::threads::{self, Ticket};

type Opened = Result<anasazi_sys::Session, Why>;

/// A session that is being opened. Dropped before, the session is closed once it is there.
#[napi]
#[derive(Debug)]
pub struct Opening {
    opened: Arc<Mutex<Option<Opened>>>,
    watch: Option<Watch>,
    /// Readable once that is done, for which a thread has the other end; open as long as it is
    /// watched.
    end: Option<UnixStream>,
    ticket: Option<Ticket>,
}

impl Opening {
    fn stop_watching(&mut self) {
        self.watch = None;
        self.end = None;
    }
}

#[napi]
impl Opening {
    /// What came of it, once the function was called that was given for that; not twice.
    #[napi]
    pub fn take(&mut self) -> Either<Session, Failure> {
        self.stop_watching();
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        match opened {
            Some(Ok(session)) => Either::A(Session::of(session)),
            Some(Err(why)) => Either::B(why.into()),
            None => Either::B(crate::failure_of(generated::ANZ_ECLOSED)),
        }
    }

    /// Nobody waits for it any more.
    #[napi]
    pub fn abandon(&mut self) {
        self.stop_watching();
        // One that is there already; a later one goes with the thread.
        self.opened = Arc::default();
        self.ticket = None;
    }
}

/// Opens a session, and calls the function once it is there, or is not to be had.
#[napi]
pub fn open(
    env: &Env,
    url: Option<String>,
    file: Option<String>,
    settings: Vec<String>,
    callback: Function<'_, i32, ()>,
) -> napi::Result<Either<Opening, Failure>> {
    let opened = Arc::new(Mutex::new(None));
    let place = Arc::clone(&opened);
    let open = move || {
        let session = config(file.as_deref(), &settings)
            .and_then(|config| anasazi_sys::Session::connect(url.as_deref(), Some(&config)));
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    };
    let (end, ticket) = match threads::soon(open) {
        Ok(begun) => begun,
        Err(why) => return Ok(Either::B(cannot_open(&why).into())),
    };
    let watch = Watch::new(env, end.as_raw_fd(), &callback, || ())?;
    Ok(Either::A(Opening { opened, watch: Some(watch), end: Some(end), ticket: Some(ticket) }))
}

fn cannot_open(why: &io::Error) -> Why {
    Why {
        os_errno: why.raw_os_error().unwrap_or(0),
        message: format!(
            "a connection takes two descriptors and a thread while it is opened: {why}; open \
             fewer at once, or allow the process more"
        ),
        ..Status(generated::ANZ_ENOMEM).into()
    }
}
