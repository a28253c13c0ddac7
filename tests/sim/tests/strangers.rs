//! Nodes that should not be there: a second one with the same id, one of another cluster, one that
//! is set up otherwise.

mod scene;

use anasazi_protocol::{CoreConfig, limits};
use anasazi_sim::cluster::Cluster;
use anasazi_sim::options::Options;
use scene::{Scene, ms};

/// The last machine has the first one's configuration file.
fn with_twin(nodes: usize) -> Cluster {
    let mut cluster = Cluster::new(Options::quiet(nodes));
    let twin = nodes - 1;
    cluster.nodes[twin].id = cluster.nodes[0].id;
    cluster.expect_twins(0);
    cluster.expect_stop(0);
    cluster.expect_stop(twin);
    cluster
}

fn told(cluster: &Cluster, node: usize, what: &str) -> bool {
    cluster.nodes[node].lines.iter().any(|line| line.contains(what))
}

fn expect_good(cluster: &Cluster) {
    assert!(cluster.failure().is_none(), "{}", cluster.failure().unwrap());
}

#[test]
fn a_second_node_with_a_taken_id_is_turned_away() {
    let mut cluster = with_twin(4);
    (0..3).for_each(|node| cluster.boot(node));
    cluster.run_for(ms(1_000));
    assert_eq!(cluster.settled(), Ok(()));
    let installed = cluster.installed();
    cluster.boot(3);
    cluster.run_for(ms(3_000));
    expect_good(&cluster);
    assert!(cluster.nodes[3].core().is_none(), "it stopped by itself");
    assert!(told(&cluster, 3, "is in use by the process at 10.0.0.1:7000"));
    assert!(told(&cluster, 0, "DuplicateNode"), "the other one too: {}", cluster.last_lines());
    assert_eq!(cluster.settled(), Ok(()));
    assert_eq!(cluster.installed(), installed, "the others were not disturbed");
    assert!(cluster.finish(true).is_ok());
}

#[test]
fn of_two_that_start_together_with_one_id_one_gives_way() {
    let mut cluster = with_twin(3);
    cluster.boot(0);
    cluster.boot(1);
    cluster.run_for(ms(5));
    cluster.boot(2);
    cluster.run_for(ms(3_000));
    expect_good(&cluster);
    let running = [0, 2].iter().filter(|n| cluster.nodes[**n].core().is_some()).count();
    assert_eq!(running, 1, "{}", cluster.last_lines());
    assert_eq!(cluster.settled(), Ok(()), "{}", cluster.last_lines());
    assert!(cluster.finish(true).is_ok());
}

/// They start on the two sides of a partition, so neither knows of the other in time: both say so,
/// and never share a ring.
#[test]
fn twins_that_meet_later_never_share_a_ring() {
    let mut cluster = with_twin(4);
    let cuts = cluster.partition(&[&[0, 1], &[2, 3]]);
    for node in 0..4 {
        cluster.boot(node);
        cluster.run_for(ms(5));
    }
    cluster.run_for(ms(1_000));
    cluster.mend(&cuts);
    cluster.run_for(ms(10_000));
    expect_good(&cluster);
    let either = told(&cluster, 0, "DuplicateNode") || told(&cluster, 3, "DuplicateNode");
    assert!(either, "{}", cluster.last_lines());
    let before = cluster.installed();
    cluster.run_for(ms(5_000));
    assert_eq!(cluster.installed(), before, "it ends\n{}", cluster.last_lines());
    // The oracle has seen that no ring had both.
    assert!(cluster.finish(false).is_ok());
}

#[test]
fn another_cluster_on_the_same_network_is_not_met() {
    let mut cluster = Cluster::new(Options::quiet(4));
    cluster.configure = Some(Box::new(|node, config| {
        if node >= 2 {
            config.cluster = 42;
        }
    }));
    (0..4).for_each(|node| cluster.boot(node));
    cluster.run_for(ms(3_000));
    expect_good(&cluster);
    for node in &cluster.nodes {
        let members = node.ring.as_ref().map(|(_, members)| members.len());
        assert_eq!(members, Some(2), "node {}", node.id);
        let stats = node.core().unwrap().stats();
        assert!(stats.dropped_other_cluster > 0);
    }
    assert!(cluster.finish(true).is_ok());
}

/// A ring has one set of times: who is set up otherwise stays apart, and both sides can say why.
#[test]
fn nodes_with_other_times_are_not_merged_with() {
    stay_apart("ring.token_loss_ms", |config| config.timers.token_loss *= 2);
}

/// And one contract.
#[test]
fn nodes_with_another_contract_are_not_merged_with() {
    stay_apart("contract.lag_ms", |config| config.contract.lag = Some(ms(300)));
}

/// Two of four nodes are set up otherwise.
fn stay_apart(key: &str, otherwise: fn(&mut CoreConfig)) {
    let mut cluster = Cluster::new(Options::quiet(4));
    cluster.configure = Some(Box::new(move |node, config| {
        config.same_terms = true;
        if node >= 2 {
            otherwise(config);
        }
    }));
    (0..4).for_each(|node| cluster.boot(node));
    cluster.run_for(ms(10_000));
    expect_good(&cluster);
    for node in 0..4 {
        let members = cluster.nodes[node].ring.as_ref().map(|(_, members)| members.len());
        assert_eq!(members, Some(2), "node {node}");
        let others = if node < 2 { [2, 3] } else { [0, 1] };
        let of_other = others.iter().any(|other| {
            let id = cluster.nodes[*other].id;
            told(&cluster, node, &format!("SettingsDiffer {{ node: {id:?}"))
        });
        assert!(of_other && told(&cluster, node, key), "{}", cluster.last_lines());
        let begin = |line: &&String| line.contains("SettingsDiffer");
        let said = cluster.nodes[node].lines.iter().filter(begin).count();
        assert!(said <= 2, "node {node} said it {said} times");
    }
    assert!(cluster.finish(true).is_ok());
}

/// Of two nodes, after five seconds beside so many other clusters of one node each: what they sent,
/// and what they keep.
fn beside(strangers: usize) -> Vec<[u64; 6]> {
    let mut cluster = Cluster::new(Options::quiet(2 + strangers));
    cluster.configure = Some(Box::new(|node, config| {
        if node >= 2 {
            config.cluster = 1_000 + node as u64;
        }
    }));
    (0..2 + strangers).for_each(|node| cluster.boot(node));
    cluster.run_for(ms(5_000));
    expect_good(&cluster);
    let ours = cluster.nodes[..2].iter().map(|node| {
        let members = node.ring.as_ref().map(|(_, members)| members.len());
        assert_eq!(members, Some(2), "node {}", node.id);
        let stats = node.core().unwrap().stats();
        let least = 4 * strangers as u64;
        assert!(stats.dropped_other_cluster >= least, "{}", stats.dropped_other_cluster);
        let kept = [stats.candidates, stats.book_entries, stats.link_entries, stats.part_bytes];
        [stats.configurations_installed, stats.datagrams_sent, kept[0], kept[1], kept[2], kept[3]]
    });
    let ours = ours.collect();
    assert!(cluster.finish(true).is_ok());
    ours
}

/// They cost a look at each of their beacons, and nothing else.
#[test]
fn fifty_other_clusters_cost_nothing() {
    let (alone, among) = (beside(0), beside(50));
    for (alone, among) in alone.iter().zip(&among) {
        assert_eq!(alone[0], among[0], "configurations");
        // Times differ, by chance of the network; a rotation more or less does not count.
        let (fewest, most) = (alone[1] * 9 / 10, alone[1] * 11 / 10);
        assert!((fewest..=most).contains(&among[1]), "{} sent, alone {}", among[1], alone[1]);
        assert_eq!(alone[2..], among[2..], "what is kept");
    }
}

#[test]
fn nodes_with_other_limits_get_on() {
    let mut cluster = Cluster::new(Options::quiet(4));
    cluster.configure = Some(Box::new(|node, config| {
        config.mtu = [limits::MTU_MIN, 1_400, 4_000, limits::MTU_MAX][node];
        config.window = [8, 64, 512, limits::WINDOW_MAX][node];
        config.timers.token_loss *= [1, 2, 1, 3][node];
        config.timers.consensus *= [2, 1, 3, 1][node];
    }));
    (0..4).for_each(|node| cluster.boot(node));
    cluster.run_for(ms(2_000));
    let sessions: Vec<_> = (0..4).map(|node| cluster.open_session(node)).collect();
    for (node, session) in sessions.iter().enumerate() {
        cluster.with_session(node, *session, |s| {
            s.join("all");
            (0..50).for_each(|i| {
                s.send(anasazi_protocol::GroupId::of("all"), 100 * i + 1, i % 2 == 0, false)
            });
        });
    }
    assert!(cluster.run_until(ms(5_000), |c| c.at_rest().is_ok()), "{}", cluster.last_lines());
    cluster.crash(3);
    assert!(cluster.run_until(ms(5_000), |c| c.at_rest().is_ok()), "{}", cluster.last_lines());
    expect_good(&cluster);
    assert!(cluster.finish(true).is_ok());
}

/// A hundred thousand members on three nodes. While their tables of groups meet, nobody is kept
/// waiting for longer than it takes to notice a lost token.
#[test]
fn a_hundred_thousand_members_merge() {
    const SESSIONS: usize = 9;
    const GROUPS_EACH: usize = 3_704;
    let mut scene = Scene::new(3);
    let cuts = scene.cluster.partition(&[&[0], &[1, 2]]);
    scene.run(ms(1_000));
    for node in 0..3 {
        for session in 0..SESSIONS {
            let id = scene.cluster.open_session(node);
            scene.cluster.with_session(node, id, |s| {
                (0..GROUPS_EACH).for_each(|group| s.join(&format!("{session}.{group}")));
            });
        }
    }
    let is_served =
        |cluster: &Cluster| cluster.nodes.iter().all(|n| n.sessions.iter().all(|s| s.is_served()));
    assert!(scene.cluster.run_until(ms(60_000), is_served), "{}", scene.cluster.last_lines());
    scene.run(ms(1_000));
    let sent = |scene: &Scene| (0..3).map(|node| scene.stats(node).packets_ordered).sum::<u64>();
    let before = sent(&scene);
    scene.cluster.mend(&cuts);
    let (mut outside, mut longest) = ([0; 3], 0);
    while scene.cluster.settled().is_err() {
        scene.run(ms(1));
        for (node, since) in outside.iter_mut().enumerate() {
            let operational = scene.cluster.nodes[node].state == "operational";
            *since = if operational { 0 } else { *since + 1 };
            longest = longest.max(*since);
        }
        assert!(scene.cluster.now < 120_000_000_000, "{}", scene.cluster.last_lines());
    }
    let packets = sent(&scene) - before;
    // Each of the two parts tells of all its groups, a dozen to a packet.
    let most = (2 * SESSIONS * GROUPS_EACH / 12) as u64;
    assert!(packets <= most, "{packets} packets, {most} are enough");
    assert!((1..=250).contains(&longest), "{longest} ms between two configurations");
    scene.rest(ms(5_000));
    scene.end();
}

/// Tables of groups that need many packets.
#[test]
fn many_groups_with_long_names_merge() {
    let mut scene = Scene::new(3);
    let cuts = scene.cluster.partition(&[&[0], &[1, 2]]);
    scene.run(ms(1_000));
    for node in 0..3 {
        let session = scene.sessions[node];
        scene.cluster.with_session(node, session, |s| {
            for group in 0..400 {
                s.join(&format!("{:0>250}", group * (node + 1)));
            }
        });
    }
    scene.run(ms(1_000));
    scene.load(20, 100);
    scene.cluster.mend(&cuts);
    scene.settle(ms(5_000));
    scene.end();
}
