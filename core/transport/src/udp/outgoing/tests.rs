use super::*;

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn batch(sizes: &[(u16, usize)]) -> Vec<(Target, Bytes)> {
    let datagram =
        |&(port, len): &(u16, usize)| (Target::Unicast(address(port)), Bytes::from(vec![0; len]));
    sizes.iter().map(datagram).collect()
}

fn plan(outgoing: &mut Outgoing, sizes: &[(u16, usize)]) -> Vec<(u16, usize)> {
    outgoing.plan(&batch(sizes));
    outgoing.runs.iter().map(|run| (run.to.port(), run.count)).collect()
}

fn outgoing() -> Outgoing {
    Outgoing::new(None, true, false, RoomWatch::new().unwrap())
}

#[test]
fn equal_datagrams_to_one_address_are_a_run() {
    let mut out = outgoing();
    assert_eq!(plan(&mut out, &[(1, 9), (1, 9), (1, 9)]), [(1, 3)]);
    assert_eq!(
        plan(&mut out, &[(1, 9), (1, 9), (1, 4), (1, 9)]),
        [(1, 3), (1, 1)],
        "short ends it"
    );
    assert_eq!(plan(&mut out, &[(1, 9), (1, 10)]), [(1, 1), (1, 1)], "longer is another run");
    assert_eq!(
        plan(&mut out, &[(1, 9), (2, 9), (1, 9)]),
        [(1, 1), (2, 1), (1, 1)],
        "order is kept"
    );
    assert_eq!(
        plan(&mut out, &[(1, 9), (2, 4)]),
        [(1, 1), (2, 1)],
        "a short one to another address"
    );
    assert_eq!(plan(&mut out, &[(1, 0), (1, 0)]), [(1, 1), (1, 1)], "empty ones go singly");
    assert_eq!(plan(&mut out, &[(1, 9), (1, 0)]), [(1, 1), (1, 1)], "an empty one ends no run");
    assert_eq!(plan(&mut out, &[]), []);
}

#[test]
fn runs_stay_within_what_kernels_take() {
    let mut out = outgoing();
    assert_eq!(plan(&mut out, &[(1, 9); 150]), [(1, 64), (1, 64), (1, 22)]);
    assert_eq!(plan(&mut out, &[(1, 1_400); 100]), [(1, 46), (1, 46), (1, 8)]);
    assert_eq!(plan(&mut out, &[(1, 40_000), (1, 40_000)]), [(1, 1), (1, 1)]);
    assert_eq!(plan(&mut out, &[(1, 65_507), (1, 65_507)]), [(1, 1), (1, 1)]);
    let full: Vec<_> = (0..64).map(|_| (1, 9)).chain([(1, 3)]).collect();
    assert_eq!(plan(&mut out, &full), [(1, 64), (1, 1)], "the short one is a datagram too");
    assert_eq!(plan(&mut out, &[(1, 9), (2, 9)].repeat(100)).len(), RUNS_MAX);
}

#[test]
fn a_path_that_refuses_runs_gets_single_datagrams() {
    let mut out = outgoing();
    out.runs_refused.insert(address(1), 9);
    assert_eq!(plan(&mut out, &[(1, 9), (1, 9), (2, 9), (2, 9)]), [(1, 1), (1, 1), (2, 2)]);
    assert_eq!(plan(&mut out, &[(1, 8), (1, 8)]), [(1, 2)], "shorter ones may fit");
    out.runs_known = false;
    assert_eq!(plan(&mut out, &[(2, 9), (2, 9)]), [(2, 1), (2, 1)]);
}

#[test]
fn a_probe_goes_out_by_itself() {
    let mut out = outgoing();
    let to = |target: fn(SocketAddr) -> Target| (target(address(1)), Bytes::from_static(b"x"));
    let (data, probe) = (to(Target::Unicast), to(Target::Probe));
    let batch = [data.clone(), data.clone(), probe.clone(), probe, data];
    let mut counts = Vec::new();
    let mut rest = &batch[..];
    while !rest.is_empty() {
        out.plan(rest);
        counts.push(out.runs.iter().map(|run| run.count).collect::<Vec<_>>());
        rest = &rest[out.runs.iter().map(|run| run.count).sum::<usize>()..];
    }
    assert_eq!(counts, [vec![2], vec![1], vec![1], vec![1]]);
}

#[test]
fn a_multicast_needs_a_group() {
    let mut out = outgoing();
    out.plan(&[(Target::Multicast, Bytes::from_static(b"x"))]);
    assert!(out.runs.is_empty());
    out.group = Some(address(9));
    out.plan(&[(Target::Multicast, Bytes::from_static(b"x"))]);
    assert_eq!(out.runs, [Run { to: address(9), count: 1 }]);
}

#[test]
fn failures_are_judged() {
    let (single, run) = (Run { to: address(1), count: 1 }, Run { to: address(1), count: 2 });
    let judge = |errno, run, failures| judge(&io::Error::from_raw_os_error(errno), run, failures);
    assert_eq!(judge(libc::EAGAIN, run, 1), Verdict::Wait);
    assert_eq!(judge(libc::ENOBUFS, run, 1), Verdict::Lost);
    for errno in [libc::EIO, libc::EINVAL, libc::EMSGSIZE] {
        assert_eq!(judge(errno, run, 1), Verdict::Singly);
        assert_eq!(judge(errno, single, 2), Verdict::Lost);
    }
    assert_eq!(judge(libc::ECONNREFUSED, single, 1), Verdict::Again);
    assert_eq!(judge(libc::ECONNREFUSED, single, 2), Verdict::Lost);
    assert_eq!(judge(libc::EPERM, run, 2), Verdict::Lost);
}
