//! Sessions. Groups go by numbers that are never given out twice in a session.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use anasazi_sys::{Config, Failure as Why, Group, Kind, Member, Receiver, Status, generated};
use napi::Env;
use napi::bindgen_prelude::{Array, Buffer, BufferSlice, Either, FnArgs, Function};
use napi_derive::napi;

use crate::batch::{Layout, Members, ROW_LEN};
use crate::failure::{Failure, number};
use crate::sys::watch::Watch;

/// Arguments of what sends.
type Sent = FnArgs<(u32, u32, Buffer, f64)>;
/// Events of one call at most.
const BATCH_LEN: usize = 256;

/// A session, and who is woken when it has something.
#[napi]
#[derive(Debug)]
pub struct Session {
    session: anasazi_sys::Session,
    receiver: Receiver,
    groups: Rc<RefCell<HashMap<u32, Group>>>,
    /// Their numbers, by their keys.
    numbers: HashMap<usize, u32>,
    last_number: u32,
    members: Members,
    watch: Option<Watch>,
}

impl Session {
    pub(crate) fn of(session: anasazi_sys::Session) -> Self {
        Self {
            receiver: Receiver::new(&session, BATCH_LEN),
            session,
            groups: Rc::default(),
            numbers: HashMap::new(),
            last_number: 0,
            members: Members::default(),
            watch: None,
        }
    }

    fn group(&self, number: u32) -> Result<Group, Status> {
        self.groups.borrow().get(&number).cloned().ok_or(Status(generated::ANZ_ECLOSED))
    }

    fn add(&mut self, made: Result<Group, Why>) -> Either<u32, Failure> {
        match made {
            Ok(group) => {
                self.last_number += 1;
                self.numbers.insert(group.key(), self.last_number);
                self.groups.borrow_mut().insert(self.last_number, group);
                Either::A(self.last_number)
            }
            Err(why) => Either::B(why.into()),
        }
    }
}

#[napi]
impl Session {
    /// Calls the function whenever there is something to receive, from now on.
    #[napi]
    pub fn watch(&mut self, env: &Env, callback: Function<'_, i32, ()>) -> napi::Result<i32> {
        let fd = match self.session.fd() {
            Ok(fd) => fd,
            Err(status) => return Ok(status.0),
        };
        let session = self.session.clone();
        self.watch = Some(Watch::new(env, fd, &callback, move || session.close())?);
        Ok(0)
    }

    /// Calls it no more, though the loop stays as alive as it is.
    #[napi]
    pub fn pause(&self) {
        if let Some(watch) = &self.watch {
            watch.pause();
        }
    }

    /// Calls it again.
    #[napi]
    pub fn resume(&self) {
        if let Some(watch) = &self.watch {
            watch.resume();
        }
    }

    /// Whether this session keeps the loop alive.
    #[napi]
    pub fn set_ref(&self, keeps_alive: bool) {
        if let Some(watch) = &self.watch {
            watch.set_ref(keeps_alive);
        }
    }

    /// What has come: how many events, or a status. `rows` takes 256 of them, `small` the small
    /// data if it has room for it, `extras` the rest.
    #[napi]
    pub fn receive<'env>(
        &mut self,
        env: &'env Env,
        mut rows: BufferSlice<'env>,
        mut small: BufferSlice<'env>,
        mut extras: Array<'env>,
    ) -> napi::Result<i32> {
        let most = rows.len() / ROW_LEN;
        let batch = match self.receiver.receive_up_to(most) {
            Ok(batch) => batch,
            Err(status) => return Ok(status.0),
        };
        let (members, groups) = (&mut self.members, &self.numbers);
        let (rows, small, extras) = (&mut *rows, &mut *small, &mut extras);
        Layout { env, rows, small, extras, members, groups }.put(&batch)?;
        for ended in batch.iter().filter(|event| event.kind() == Kind::Left) {
            if let Some(number) = ended.group().and_then(|key| self.numbers.remove(&key)) {
                self.groups.borrow_mut().remove(&number);
            }
        }
        Ok(batch.len() as i32)
    }

    /// Numbers members from 0 again.
    #[napi]
    pub fn forget_members(&mut self) {
        self.members.clear();
    }

    /// Asks to join a group: its number, or why not.
    #[napi]
    pub fn join(&mut self, name: String, flags: u32) -> Either<u32, Failure> {
        let joined = self.session.join(&name, flags);
        self.add(joined)
    }

    /// An address for one member, given in decimal.
    #[napi]
    pub fn peer(&mut self, node: String, session: String) -> Either<u32, Failure> {
        let made = member(&node, &session)
            .ok_or_else(|| Status(generated::ANZ_EINVAL).into())
            .and_then(|member| self.session.peer(Some("default"), member));
        self.add(made)
    }

    /// Asks to leave it.
    #[napi]
    pub fn leave(&self, group: u32) -> i32 {
        number(self.group(group).and_then(|group| group.leave()))
    }

    /// A function that sends a message to one group, given its number, a service, the data, and a
    /// tag. Not a method: those take twice as long.
    #[napi]
    pub fn sender<'env>(&self, env: &'env Env) -> napi::Result<Function<'env, Sent, i32>> {
        let groups = Rc::clone(&self.groups);
        env.create_function_from_closure("mcast", move |call| {
            let (group, service): (u32, u32) = (call.get(0)?, call.get(1)?);
            let (data, tag): (BufferSlice<'_>, f64) = (call.get(2)?, call.get(3)?);
            let groups = groups.borrow();
            let group = groups.get(&group).ok_or(Status(generated::ANZ_ECLOSED));
            Ok(number(group.and_then(|group| group.mcast(service, &data, tag as u64))))
        })
    }

    /// Sends a message to several groups.
    #[napi]
    pub fn mcast_groups(&self, groups: Vec<u32>, service: u32, data: &[u8], tag: f64) -> i32 {
        let groups: Result<Vec<Group>, Status> =
            groups.into_iter().map(|number| self.group(number)).collect();
        number(groups.and_then(|groups| {
            let groups: Vec<&Group> = groups.iter().collect();
            anasazi_sys::Session::mcast_groups(&groups, service, data, tag as u64)
        }))
    }

    /// Asks something, in JSON.
    #[napi]
    pub fn query(&self, json: String, tag: f64) -> i32 {
        number(self.session.query(&json, tag as u64))
    }

    /// Node and session of this one; a status; or 0 before its first connection.
    #[napi]
    pub fn member(&self) -> Either<Vec<String>, i32> {
        match self.session.member() {
            Ok(Some(member)) => {
                Either::A(vec![member.node.to_string(), member.session.to_string()])
            }
            Ok(None) => Either::B(0),
            Err(status) => Either::B(status.0),
        }
    }

    /// A member's name for people, or a status.
    #[napi]
    pub fn member_name(&self, node: String, session: String) -> Either<String, i32> {
        let member = member(&node, &session).ok_or(Status(generated::ANZ_EINVAL));
        match member.and_then(|member| self.session.name_of(member)) {
            Ok(name) => Either::A(name),
            Err(status) => Either::B(status.0),
        }
    }

    /// Figures, in the order of `anz_conn_stats_t`, or a status.
    #[napi]
    pub fn stats(&self) -> Either<Vec<f64>, i32> {
        match self.session.stats() {
            Ok(stats) => Either::A(
                [
                    stats.sent_messages,
                    stats.sent_bytes,
                    stats.send_again,
                    stats.received_messages,
                    stats.received_bytes,
                    stats.views,
                    stats.send_ring_used,
                    stats.send_ring_size,
                    stats.receive_ring_used,
                    stats.receive_ring_size,
                    stats.lag_ns,
                    stats.reconnects,
                ]
                .map(|figure| figure as f64)
                .into(),
            ),
            Err(status) => Either::B(status.0),
        }
    }

    /// Ends it.
    #[napi]
    pub fn close(&mut self) {
        self.watch = None;
        self.session.close();
    }
}

fn member(node: &str, session: &str) -> Option<Member> {
    Some(Member { node: node.parse().ok()?, session: session.parse().ok()? })
}

/// Settings, given as one list of keys and values in turn, and before them those of a file.
pub(crate) fn config(file: Option<&str>, settings: &[String]) -> Result<Config, Why> {
    let config = Config::new()?;
    if let Some(file) = file {
        config.load(file)?;
    }
    for setting in settings.chunks_exact(2) {
        config.set(&setting[0], &setting[1])?;
    }
    Ok(config)
}
