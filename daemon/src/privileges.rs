//! What the daemon may do: as little as its configuration needs. Decided before there is a socket
//! or a thread, and for good.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;

use anasazi_engine::config::{Origin, StreamAddress, ValidConfig};
use anasazi_engine::sys::names::{self, User};
use anasazi_engine::sys::privileges::{self, Capability};
use anasazi_engine::sys::socket::own_uid;

use crate::exit::Exit;
use crate::options::Options;

/// What was done, for the log.
pub(crate) struct Kept {
    pub(crate) told: String,
    /// What could not be done.
    pub(crate) warnings: Vec<String>,
}

/// Gives up what is not needed, as `options` say. Err: how to exit, and why.
pub(crate) fn give_up(options: &Options, config: &ValidConfig) -> Result<Kept, (Exit, String)> {
    let mut warnings = Vec::new();
    let who = match &options.user {
        Some(name) => become_user(name, config, !options.check)?,
        None if own_uid() == 0 => {
            "runs as root, with all its privileges; --user NAME gives them up".to_owned()
        }
        None => format!("runs as user {}", own_uid()),
    };
    let mut note = |what: &str, done: io::Result<()>| {
        if let Err(error) = done {
            warnings.push(format!("{what}: {error}"));
        }
    };
    note("new privileges cannot be ruled out", privileges::forbid_new_privileges());
    if options.debuggable {
        return Ok(Kept { told: format!("{who}; debuggers may attach"), warnings });
    }
    let hidden = privileges::hide_memory();
    let is_hidden = hidden.is_ok();
    note("debuggers and core files cannot be ruled out", hidden);
    // Where a sandbox forbids this, there are no core files all the same.
    let limited = rlimit::setrlimit(rlimit::Resource::CORE, 0, 0);
    note("core files cannot be ruled out", if is_hidden { Ok(()) } else { limited });
    Ok(Kept { told: format!("{who}; no new privileges, no debuggers, no core files"), warnings })
}

/// `makes_places`: with the directories that it will need.
fn become_user(
    name: &str,
    config: &ValidConfig,
    makes_places: bool,
) -> Result<String, (Exit, String)> {
    let refused = |text: String| (Exit::Configuration, format!("--user {name}: {text}"));
    let looked_up = names::user(name);
    let user = looked_up
        .map_err(|error| refused(format!("cannot be looked up: {error}")))?
        .ok_or_else(|| refused("this system has no such user".to_owned()))?;
    if user.uid == own_uid() && user.uid != 0 {
        return Ok(format!("runs as user {name} ({}) already", user.uid));
    }
    if user.uid == 0 {
        return Err(refused("is root: name another user, or leave it out".to_owned()));
    }
    if own_uid() != 0 {
        let text = format!("only root becomes another user, and this is user {}", own_uid());
        return Err(refused(text));
    }
    let groups = names::groups_of(name, user.gid)
        .map_err(|error| refused(format!("its groups cannot be looked up: {error}")))?;
    for place in places(config).filter(|_| makes_places) {
        make_directory(place, &user).map_err(|error| {
            let place = place.display();
            (Exit::Socket, format!("{place} cannot be made for --user {name}: {error}"))
        })?;
    }
    let needed = needed(config);
    let keep: Vec<Capability> = needed.iter().map(|(capability, _)| *capability).collect();
    privileges::become_user(&user, &groups, &keep).map_err(|error| {
        let text = format!(
            "cannot become that user: {error}; it takes CAP_SETUID, CAP_SETGID and \
                            CAP_SETPCAP"
        );
        refused(text)
    })?;
    let kept = match needed.len() {
        0 => "no capabilities".to_owned(),
        _ => needed
            .iter()
            .map(|(capability, why)| format!("{} for {why}", capability.name()))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let User { uid, gid } = user;
    Ok(format!("has become user {name} (uid {uid}, gid {gid}), with {kept}"))
}

/// Where the sockets are to be that programs find.
fn places(config: &ValidConfig) -> impl Iterator<Item = &Path> {
    let streams = config.client.listen_streams.iter().filter_map(|address| match address {
        StreamAddress::Unix(path) => Some(path),
        StreamAddress::Tcp(_) => None,
    });
    let paths = config.client.listen.iter().chain(streams);
    paths.filter_map(|path| path.parent())
}

/// Makes a directory that only is missing, as systemd makes it for the unit.
fn make_directory(place: &Path, user: &User) -> io::Result<()> {
    match fs::create_dir(place) {
        Ok(()) => {
            // Whatever the mask of this process is.
            fs::set_permissions(place, Permissions::from_mode(0o755))?;
            lchown(place, Some(user.uid), Some(user.gid))
        }
        // Whatever else is wrong shows when the socket gets its place.
        Err(_) => Ok(()),
    }
}

/// The capabilities without which the configuration cannot be carried out, and the keys that need
/// them.
fn needed(config: &ValidConfig) -> Vec<(Capability, String)> {
    let mut needed = Vec::new();
    if let Some(port) = privileged_port(config) {
        needed.push((Capability::NetBindService, format!("port {port}")));
    }
    if let Some(key) = large_buffer(config) {
        needed.push((Capability::NetAdmin, key));
    }
    if config.thread.realtime_priority > 0 {
        needed.push((Capability::SysNice, "thread.realtime_priority".to_owned()));
    }
    needed
}

fn privileged_port(config: &ValidConfig) -> Option<u16> {
    let first = setting_of_system("net/ipv4/ip_unprivileged_port_start").unwrap_or(1_024);
    let domains = config.all_domains();
    let of_domains = domains.iter().flat_map(|domain| {
        [Some(domain.transport.bind), domain.transport.multicast].into_iter().flatten()
    });
    let streams = config.client.listen_streams.iter().filter_map(|address| match address {
        StreamAddress::Tcp(address) => Some(*address),
        StreamAddress::Unix(_) => None,
    });
    let mut ports = of_domains.chain(streams).map(|address| address.port());
    ports.find(|port| *port != 0 && u64::from(*port) < first)
}

/// The key of a receive buffer that somebody has asked for, and that the system does not grant.
fn large_buffer(config: &ValidConfig) -> Option<String> {
    let granted = setting_of_system("net/core/rmem_max")?;
    let is_larger = |key: &str| {
        let name = key.strip_prefix("domain.").and_then(|rest| rest.split('.').next());
        let domains = config.all_domains();
        let domain = domains.iter().find(|domain| domain.name == name.unwrap_or("default"));
        domain.is_some_and(|domain| domain.transport.receive_buffer_len as u64 > granted)
    };
    let mut set = config.effective().iter().filter(|effective| {
        let by_hand =
            !matches!(effective.origin, Origin::Default | Origin::Derived | Origin::Preset(_));
        by_hand && effective.key.ends_with("transport.receive_buffer_len")
    });
    set.find(|effective| is_larger(&effective.key)).map(|effective| effective.key.clone())
}

fn setting_of_system(name: &str) -> Option<u64> {
    fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use anasazi_engine::config::Settings;

    use super::*;

    fn needed_with(set: &[(&str, &str)]) -> Vec<(Capability, String)> {
        let mut settings = Settings::for_daemon();
        set.iter().for_each(|(key, value)| settings.set(key, value).expect("allowed"));
        needed(&settings.validate().expect("valid"))
    }

    #[test]
    fn capabilities_are_kept_for_what_is_configured_and_nothing_else() {
        assert_eq!(needed_with(&[]), []);
        let urgent = needed_with(&[("thread.realtime_priority", "5")]);
        assert_eq!(urgent, [(Capability::SysNice, "thread.realtime_priority".to_owned())]);
        for low in [
            ("transport.bind", "127.0.0.1:700"),
            ("transport.multicast", "239.1.1.1:700"),
            ("client.listen_streams", "tcp://127.0.0.1:700"),
            ("domain.a.transport.bind", "127.0.0.1:700"),
        ] {
            let expected = [(Capability::NetBindService, "port 700".to_owned())];
            assert_eq!(needed_with(&[low]), expected, "{low:?}");
        }
        let granted = setting_of_system("net/core/rmem_max").expect("Linux has it");
        for key in ["transport.receive_buffer_len", "domain.a.transport.receive_buffer_len"] {
            let more = needed_with(&[(key, &(granted + 1).max(65_536).to_string())]);
            assert_eq!(more, [(Capability::NetAdmin, key.to_owned())]);
            assert_eq!(needed_with(&[(key, "64 KiB")]), []);
        }
    }
}
