//! What cannot be opened says what, where, and what to do: the whole text, as people will read it.

use std::net::UdpSocket;

use super::*;

fn refused(options: &UdpOptions) -> String {
    match Udp::open(options) {
        Ok(_) => panic!("{options:?} was opened"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_port_in_use() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    assert_eq!(
        refused(&options(&format!("127.0.0.1:{port}"))),
        format!(
            "UDP port {port} of 127.0.0.1 is in use (transport.bind): stop the program that has it \
             (`ss -ulpn 'sport = :{port}'` names it), or use another port; 0 takes a free one"
        )
    );
    drop(taken);
    open(&options(&format!("127.0.0.1:{port}")));
}

#[test]
fn two_transports_cannot_share_a_unicast_address() {
    let first = open(&options("127.0.0.1:0"));
    let text = refused(&options(&first.local_address().to_string()));
    assert!(text.contains("is in use"), "{text}");
}

#[test]
fn an_unknown_interface() {
    let unknown = UdpOptions { interface: Some("eht7".to_owned()), ..options("127.0.0.1:0") };
    let text = refused(&unknown);
    let start = "network interface \"eht7\" (transport.interface) does not exist on this machine: \
                 use one of ";
    assert!(text.starts_with(start), "{text}");
    assert!(text[start.len()..].split(", ").any(|name| name == "lo"), "{text}");
}

#[test]
fn an_address_that_is_not_on_this_host() {
    let text = refused(&options("192.0.2.77:0"));
    let start = "192.0.2.77 (transport.bind) is not an address of this machine, or its interface \
                 is down: use one of ";
    assert!(text.starts_with(start), "{text}");
    assert!(text.contains("127.0.0.1 (lo)"), "{text}");
    assert!(!text.contains("::1"), "only addresses of the same family: {text}");
}

#[test]
fn an_address_that_says_nothing() {
    let text = refused(&options("0.0.0.0:0"));
    let start = "0.0.0.0 (transport.bind) says nothing about where others can reach this machine: \
                 use one of ";
    assert!(text.starts_with(start), "{text}");
    assert!(text.contains("127.0.0.1 (lo)") && text.contains("transport.interface"), "{text}");
}

#[test]
fn a_group_that_does_not_fit() {
    let with = |bind: &str, group: &str| {
        refused(&UdpOptions { multicast: Some(group.parse().unwrap()), ..options(bind) })
    };
    assert_eq!(
        with("127.0.0.1:0", "10.1.2.3:7745"),
        "10.1.2.3:7745 (transport.multicast) is not a multicast address: use a group such as \
         239.192.77.1:7745, or \"off\""
    );
    assert_eq!(
        with("127.0.0.1:0", "239.192.77.1:0"),
        "239.192.77.1:0 (transport.multicast) has no port: use a group such as 239.192.77.1:7745, \
         or \"off\""
    );
    assert_eq!(
        with("[::1]:0", "239.192.77.1:7745"),
        "239.192.77.1:7745 (transport.multicast) is not of the same family (IPv4, IPv6) as \
         transport.bind: use a group such as [ff15::7745]:7745, or \"off\""
    );
}

#[test]
fn a_ttl_that_does_not_exist() {
    assert_eq!(
        refused(&UdpOptions { multicast_ttl: 256, ..options("127.0.0.1:0") }),
        "256 (transport.multicast_ttl) is too large: use 0 to 255"
    );
}

#[test]
fn a_port_that_this_process_may_not_use() {
    let text = std::thread::spawn(|| {
        if let Err(error) = sys::drop_privileges() {
            eprintln!("privileges were not dropped ({error})");
        }
        // Nobody listens on it, and it is privileged unless the system says otherwise.
        Udp::open(&options("127.0.0.1:1")).err().map(|error| error.to_string())
    })
    .join()
    .unwrap();
    let Some(text) = text else {
        eprintln!("SKIPPED: this system lets everybody use port 1");
        return;
    };
    assert_eq!(
        text,
        "no permission to use 127.0.0.1:1 (transport.bind): Permission denied (os error 13); ports \
         below 1024 need the capability CAP_NET_BIND_SERVICE, a larger port does not"
    );
}
