//! Files instead of a simulator: any order of files, killed processes, gaps, and what clients saw.

mod log;

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use anasazi_oracle::offline::{Logs, NoVerdict, append_crash};
use anasazi_oracle::{Axiom, ClientEntry, ClientLog, Entry, Options, Record, Summary, Violation};
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{
    Audience, GroupId, MemberId, Priority, Recipients, Service, ViewCause, ViewId,
};
use log::{GROUP, Log, agreed, member, members, message, process, regular, ring, session, view};

type Verdict = Result<Result<Summary, Box<Violation>>, NoVerdict>;

/// The log as files, one a process, each with its records in their order.
struct Files {
    directory: tempfile::TempDir,
    paths: Vec<PathBuf>,
    options: Options,
}

impl Files {
    fn of(log: &Log) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut files = Self { directory, paths: Vec::new(), options: Options::default() };
        for record in log.records() {
            let node = record.process.node;
            let path = files.directory.path().join(format!("node-{node}.jsonl"));
            if !files.paths.contains(&path) {
                files.paths.push(path.clone());
            }
            files.append(&path, record);
        }
        files
    }

    fn append(&self, path: &PathBuf, record: &Record) {
        let mut file = File::options().create(true).append(true).open(path).expect("a file");
        let line = serde_json::to_string(record).expect("a line");
        writeln!(file, "{line}").expect("room");
    }

    fn client(&mut self, node: u32, entries: &[ClientEntry]) {
        let path = self.directory.path().join(format!("client-{node}.jsonl"));
        let mut log = ClientLog::create(&path).expect("a file");
        entries.iter().for_each(|entry| log.write(member(node), entry.clone()).expect("room"));
        self.paths.push(path);
    }

    /// Without the last `records` of a node, the last of them cut in the middle.
    fn tear(&self, node: usize, records: usize) {
        let text = fs::read_to_string(&self.paths[node - 1]).expect("a file");
        let lines: Vec<&str> = text.lines().collect();
        let (kept, gone) = lines.split_at(lines.len() - records);
        let torn = &gone[0][..gone[0].len() / 2];
        fs::write(&self.paths[node - 1], format!("{}\n{torn}", kept.join("\n"))).expect("room");
    }

    fn judge(&self, quiesced: bool) -> Verdict {
        Logs::read(&self.paths)?.judge(&self.options, quiesced)
    }

    fn assert_holds(&self, quiesced: bool) -> Summary {
        self.judge(quiesced).expect("a verdict").unwrap_or_else(|violation| panic!("{violation}"))
    }

    fn violated(&self, quiesced: bool) -> Violation {
        *self.judge(quiesced).expect("a verdict").expect_err("a violation")
    }

    fn incomplete(&self) -> String {
        match self.judge(false) {
            Err(error @ NoVerdict::Incomplete(_)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

/// Two messages of node 2, which node 1 delivers too; node 1's file is the first.
fn two_messages() -> Log {
    let mut log = Log::together(2);
    for (counter, ordinal) in [(1, 1), (2, 2)] {
        log.send(agreed(2, counter, ordinal));
        log.deliver(1, agreed(2, counter, ordinal)).deliver(2, agreed(2, counter, ordinal));
    }
    log
}

#[test]
fn files_are_read_in_an_order_that_can_have_happened() {
    let summary = Files::of(&two_messages()).assert_holds(true);
    assert_eq!((summary.processes, summary.messages, summary.deliveries), (2, 2, 4));
}

#[test]
fn what_a_killed_process_said_last_is_known_from_those_who_saw_it() {
    // Of the second message: its delivery, then the ordinal, then all of it.
    for lost in [1, 2, 3, 4, 5] {
        let files = Files::of(&two_messages());
        files.tear(2, lost);
        files.assert_holds(false);
    }
}

#[test]
fn what_a_clean_process_never_said_is_no_lost_tail() {
    let mut log = two_messages();
    log.trace(2, Trace::Stopped { waited_ms: None });
    let third = agreed(2, 3, 3);
    log.deliver(1, third);
    assert_eq!(Files::of(&log).violated(false).axiom, Axiom::B4);
}

/// What is lost of a killed process's log is its end, not something of the middle.
#[test]
fn what_a_killed_process_never_said_is_lost_only_behind_its_last_words() {
    // An ordinal before one that it said to have bound, and one of a ring that it had left.
    let mut log = Log::together(2);
    log.send(agreed(2, 1, 5)).packet(1, agreed(2, 9, 4), regular(2));
    assert_eq!(Files::of(&log).violated(false).axiom, Axiom::B4);
    let mut log = Log::together(2);
    log.moves(2, (2, 3), &[2]);
    log.packet(1, agreed(2, 9, 4), regular(2));
    assert_eq!(Files::of(&log).violated(false).axiom, Axiom::B4);
    // A message with the number of an earlier one; one that was ordered before the last that was.
    let mut log = Log::together(2);
    log.accept(agreed(2, 5, 0)).deliver(1, agreed(2, 4, 6));
    assert_eq!(Files::of(&log).violated(false).axiom, Axiom::B1);
    let mut log = Log::together(2);
    let (early, late) = (agreed(2, 1, 5), agreed(2, 2, 6));
    log.accept(early).accept(late).slot(early).order(late).deliver(1, early);
    assert_eq!(Files::of(&log).violated(false).axiom, Axiom::B1);
    // Without order, in a ring that its sender had left.
    let mut log = Log::together(2);
    log.moves(2, (2, 3), &[2]);
    log.trace(1, Trace::Unordered { message: message(2, 7), ring: ring(2), hash: 7, to: None });
    assert_eq!(Files::of(&log).violated(false).axiom, Axiom::B1);
}

/// Two survivors saw different packets under one lost ordinal.
#[test]
fn lost_words_must_be_the_same_for_all_who_heard_them() {
    let mut log = Log::together(3);
    log.packet(1, agreed(3, 1, 1), regular(2)).packet(2, agreed(3, 2, 1), regular(2));
    assert_eq!(Files::of(&log).violated(false).axiom, Axiom::B4);
}

#[test]
fn at_rest_a_file_without_an_end_is_of_a_running_process() {
    let mut log = two_messages();
    log.accept(agreed(2, 3, 3)).order(agreed(2, 3, 3));
    let files = Files::of(&log);
    files.assert_holds(false);
    assert_eq!(files.violated(true).axiom, Axiom::Sd);
    append_crash(&files.paths[1]).expect("a crash");
    files.assert_holds(true);
}

#[test]
fn a_node_ends_before_it_starts_again_whatever_its_clock_says() {
    let mut log = two_messages();
    log.boot(log::incarnation(2, 2));
    let files = Files::of(&log);
    let text = fs::read_to_string(&files.paths[1]).expect("a file");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.rotate_right(2);
    fs::write(&files.paths[1], lines.join("\n") + "\n").expect("room");
    files.assert_holds(true);
}

#[test]
fn a_gap_is_no_verdict() {
    let mut log = two_messages();
    log.add(process(1), Entry::Lost { records: 7 });
    assert!(Files::of(&log).incomplete().contains("a gap of 7 records"));
    let files = Files::of(&two_messages());
    let text = fs::read_to_string(&files.paths[0]).expect("a file");
    let lines: Vec<&str> = text.lines().collect();
    fs::write(&files.paths[0], [&lines[..3], &lines[4..]].concat().join("\n") + "\n")
        .expect("room");
    assert!(files.incomplete().contains("number 4 where 3 should be"));
    let mut files = Files::of(&two_messages());
    files.paths.remove(0);
    assert!(files.incomplete().contains("no file has the log of 1.1"));
}

#[test]
fn a_file_without_an_end_is_named() {
    let mut log = two_messages();
    log.trace(1, Trace::Stopped { waited_ms: None });
    let files = Files::of(&log);
    let unended = || {
        let logs = Logs::read(&files.paths).expect("logs");
        let name = |path: &PathBuf| path.file_name().expect("a name").to_owned();
        let unended = logs.unended().into_iter();
        unended.map(|u| (name(&u.path).into_string().expect("text"), u.text)).collect::<Vec<_>>()
    };
    let file = |text: &str| ("node-2.jsonl".to_owned(), text.to_owned());
    assert_eq!(unended(), [file("ends without `stopped`")]);
    let lines = fs::read_to_string(&files.paths[1]).expect("a file").lines().count();
    files.tear(2, 1);
    assert_eq!(unended(), [file(&format!("ends in the middle of line {lines}"))]);
    append_crash(&files.paths[1]).expect("a crash");
    assert_eq!(unended(), []);
}

#[test]
fn a_file_that_is_given_twice_is_named() {
    let mut files = Files::of(&two_messages());
    files.paths.push(files.paths[0].clone());
    let error = files.judge(false).expect_err("no verdict").to_string();
    assert!(error.ends_with("node-1.jsonl: is given twice"), "{error}");
    let link = files.directory.path().join("link");
    std::os::unix::fs::symlink(&files.paths[0], &link).expect("a link");
    *files.paths.last_mut().expect("files") = link;
    let error = files.judge(false).expect_err("no verdict").to_string();
    assert!(error.contains("link: is the same file as"), "{error}");
    let copy = files.directory.path().join("copy");
    fs::copy(&files.paths[0], &copy).expect("a copy");
    *files.paths.last_mut().expect("files") = copy;
    let text = files.incomplete();
    assert!(text.contains("node-1.jsonl, ") && text.contains("a copy of another"), "{text}");
}

#[test]
fn a_line_that_is_no_record_is_named() {
    let files = Files::of(&two_messages());
    fs::write(&files.paths[0], "{\"process\":\n").expect("room");
    let error = files.judge(false).expect_err("no verdict").to_string();
    assert!(error.contains("node-1.jsonl: line 1 is no record"), "{error}");
}

fn view_entry(group: GroupId, id: ViewId, node: u32, nodes: &[u32]) -> ClientEntry {
    ClientEntry::View {
        group,
        id,
        transitional: false,
        cause: ViewCause::Join,
        members: members(nodes),
        joined: members(&[node]),
        left: Vec::new(),
        together: members(&[node]),
        sets: nodes.iter().map(|n| u32::from(*n != node)).collect(),
    }
}

/// The first view of the client of a node.
fn client_view(node: u32, ordinal: u64, nodes: &[u32]) -> ClientEntry {
    let id = view(2, ordinal, 1);
    view_entry(GROUP, id, node, nodes)
}

fn client_message(counter: u64) -> ClientEntry {
    ClientEntry::Message { group: GROUP, sender: member(2), sequence: counter, hash: counter }
}

/// Nodes 1 and 2 have a member each; node 2's sends two messages.
fn with_clients() -> Log {
    let mut log = Log::together(2);
    for node in [1, 2] {
        log.view(node, view(2, 0, 1), &[1, 2], &[3 - node]);
    }
    for (counter, ordinal) in [(1, 1), (2, 2)] {
        let at = agreed(2, counter, ordinal);
        log.send(at);
        log.deliver(1, at).give(1, at, counter);
        log.deliver(2, at).give(2, at, counter);
    }
    log
}

#[test]
fn clients_see_what_their_nodes_gave() {
    let mut files = Files::of(&with_clients());
    let all = [client_view(1, 0, &[1, 2]), client_message(1), client_message(2)];
    files.client(1, &all);
    // It asked not to get its own.
    files.client(2, &[client_view(2, 0, &[1, 2])]);
    assert_eq!(files.assert_holds(true).clients, 2);
    // If it did not, they are missing.
    files.options.clients_hear_themselves = true;
    assert_eq!(files.violated(true).axiom, Axiom::Cl);
}

#[test]
fn a_client_that_sees_something_else_is_found() {
    let [first, one, two] = [client_view(1, 0, &[1, 2]), client_message(1), client_message(2)];
    let lost = [first.clone(), two.clone()];
    let swapped = [first.clone(), two.clone(), one.clone()];
    let doubled = [first.clone(), one.clone(), one.clone(), two.clone()];
    let invented = [first.clone(), one.clone(), two.clone(), client_message(3)];
    let other_view = [client_view(1, 0, &[1]), one.clone(), two.clone()];
    let left = [first.clone(), one.clone(), ClientEntry::Left { group: GROUP }, two.clone()];
    let with = |change: fn(&mut Vec<MemberId>, &mut Vec<u32>, &mut ViewCause)| {
        let mut view = first.clone();
        if let ClientEntry::View { joined, sets, cause, .. } = &mut view {
            change(joined, sets, cause);
        }
        [view, one.clone(), two.clone()]
    };
    let other_joined = with(|joined, _, _| joined.clear());
    let other_sets = with(|_, sets, _| sets.reverse());
    let other_cause = with(|_, _, cause| *cause = ViewCause::Merge);
    let other = [&other_joined[..], &other_sets, &other_cause];
    let all = [&lost[..], &swapped, &doubled, &invented, &other_view, &left];
    for wrong in all.into_iter().chain(other) {
        let mut log = with_clients();
        let mut files = Files::of(log.trace(1, Trace::Stopped { waited_ms: None }));
        files.client(1, wrong);
        let violation = files.violated(false);
        assert_eq!(violation.axiom, Axiom::Cl, "{violation}");
        assert!(violation.to_string().contains("client 1/"), "{violation}");
    }
    // Late is fine while things go on, and not at rest.
    let mut files = Files::of(&with_clients());
    files.client(1, &[first, one]);
    files.assert_holds(false);
    assert_eq!(files.violated(true).axiom, Axiom::Cl);
}

/// Nodes 1 and 2 have a member each in two groups; node 2's sends one message to both groups, one
/// to node 1's alone, and one without order.
fn with_all_services() -> (Log, Vec<ClientEntry>) {
    const TWIN: GroupId = GroupId(8);
    let mut log = Log::together(2);
    for node in [1, 2] {
        log.view(node, view(2, 0, 1), &[1, 2], &[3 - node]);
        let twin = Trace::GroupView {
            group: TWIN,
            id: view(2, 0, 2),
            transitional: false,
            cause: ViewCause::Join,
            members: members(&[1, 2]),
            sets: vec![u32::from(node == 1), u32::from(node == 2)],
            together: members(&[3 - node]),
            local: vec![session(node)],
            local_left: Vec::new(),
        };
        log.trace(node, twin);
    }
    let (sender, both) = (member(2), vec![GROUP, TWIN]);
    let audiences = [
        Audience::Groups(both.iter().map(|group| (*group, None)).collect()),
        Audience::Member(member(1)),
    ];
    for (to, counter) in audiences.into_iter().zip(1..) {
        let at = agreed(2, counter, counter);
        let (message, from, service) = (at.message, session(2), Service::Agreed);
        let priority = Some(Priority::High);
        let send = Trace::Send {
            message,
            session: from,
            to: to.clone(),
            service,
            priority,
            hash: counter,
        };
        log.trace(2, send);
        log.order(at);
        for node in [1, 2] {
            log.deliver(node, at);
            for (group, _) in to.groups() {
                log.trace(node, Trace::GroupMessage { group, sender, sequence: 1, hash: counter });
            }
        }
        if to == Audience::Member(member(1)) {
            log.trace(1, Trace::Unicast { message, session: session(1) });
        }
    }
    let message = message(2, 3);
    let (to, service) = (Audience::Group(GROUP, None), Service::Unreliable);
    let priority = Some(Priority::Normal);
    let send = Trace::Send { message, session: session(2), to, service, priority, hash: 3 };
    log.trace(2, send);
    let to = Some(Recipients::Group(GROUP, 0));
    log.trace(1, Trace::Unordered { message, ring: ring(2), hash: 3, to });
    // Whichever of the two files is read first, the other way was sent and taken, too.
    let message = self::message(1, 1);
    let (to, service) = (Audience::Group(GROUP, None), Service::Unreliable);
    let send = Trace::Send { message, session: session(1), to, service, priority, hash: 4 };
    log.trace(1, send);
    let to = Some(Recipients::Group(GROUP, 0));
    log.trace(2, Trace::Unordered { message, ring: ring(2), hash: 4, to });
    let twin_view = view_entry(TWIN, view(2, 0, 2), 1, &[1, 2]);
    let seen = vec![
        client_view(1, 0, &[1, 2]),
        twin_view,
        ClientEntry::Several { groups: both, sender, sequence: 1, hash: 1 },
        ClientEntry::Unicast { sender, hash: 2 },
        ClientEntry::Message { group: GROUP, sender, sequence: 0, hash: 3 },
    ];
    (log, seen)
}

#[test]
fn clients_see_what_goes_to_several_groups_and_to_them_alone() {
    let (log, seen) = with_all_services();
    let mut files = Files::of(&log);
    files.client(1, &seen);
    files.assert_holds(true);
    let wrong = |change: &dyn Fn(&mut Vec<ClientEntry>)| {
        let mut seen = seen.clone();
        change(&mut seen);
        let mut files = Files::of(&log);
        files.client(1, &seen);
        let violation = files.violated(true);
        assert_eq!(violation.axiom, Axiom::Cl, "{violation}");
    };
    for missing in 2..5 {
        wrong(&|seen| _ = seen.remove(missing));
    }
    wrong(&|seen| seen.push(seen[3].clone()));
    // Each group by itself is in order, and what goes to the session alone.
    wrong(&|seen| seen.swap(0, 1));
    wrong(&|seen| seen.swap(3, 4));
    wrong(&|seen| {
        let (sender, sequence, hash) = (member(2), 1, 1);
        seen[2] = ClientEntry::Message { group: GROUP, sender, sequence, hash };
    });
    wrong(&|seen| seen[3] = ClientEntry::Unicast { sender: member(1), hash: 2 });
}

#[test]
fn a_client_may_have_seen_more_than_its_killed_node_wrote() {
    let mut files = Files::of(&with_clients());
    files.client(1, &[client_view(1, 0, &[1, 2]), client_message(1), client_message(2)]);
    files.tear(1, 2);
    files.assert_holds(false);
}

/// Its node's last words are lost, not those of all others.
#[test]
fn a_client_of_a_killed_node_sees_only_what_there_was() {
    let [first, one, two] = [client_view(1, 0, &[1, 2]), client_message(1), client_message(2)];
    let invented = [first.clone(), one.clone(), two.clone(), client_message(3)];
    let twice = [first.clone(), one.clone(), two.clone(), two.clone()];
    let backwards = [first.clone(), two, one];
    let alone = [first.clone(), client_view(1, 0, &[1])];
    let stranger = [first, client_view(1, 9, &[2])];
    for wrong in [&invented[..], &twice, &backwards, &alone, &stranger] {
        let mut files = Files::of(with_clients().trace(2, Trace::Stopped { waited_ms: None }));
        files.client(1, wrong);
        files.tear(1, 4);
        assert_eq!(files.violated(false).axiom, Axiom::Cl);
    }
}

#[test]
fn a_record_survives_its_file() {
    let mut log = with_clients();
    log.transitional(1, (2, 3), &[1], &[1, 2]).trace(1, Trace::Stopped { waited_ms: None });
    log.trace(2, Trace::TokenVisit { ring: ring(2), token_sequence: u64::MAX });
    for record in log.records() {
        let line = serde_json::to_string(record).expect("a line");
        assert!(!line.contains('\n') && line.len() < 1_000, "{line}");
        assert_eq!(serde_json::from_str::<Record>(&line).expect("a record"), *record);
    }
}
