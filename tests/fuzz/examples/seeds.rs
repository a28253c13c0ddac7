//! Inputs that are accepted, made by the code itself and from files of the project: what a fuzzer
//! does not find by chance, such as checksums and keys.
//!
//!     cargo run -p anasazi-fuzz --example seeds -- DIRECTORY
//!
//! writes them to `DIRECTORY/TARGET/seed-N`. With `target/fuzz-work/corpus` as the directory,
//! `run.py --keep` begins with them as well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anasazi_engine::config::KEYS;
use anasazi_protocol::{
    Audience, Boot, Command, Core, CoreConfig, Destination, GroupId, Incarnation, Input, Instant,
    MemberId, NodeId, Output, Priority, Process, Service, SessionId, ViewId, hash64, wire_kind,
};
use anasazi_queue::hello::{Hello, MAGIC, Welcome};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::SESSION_VERSION;
use anasazi_seal::{KeyId, KeyRing, Mode, Seal, Sealed, Secret};
use anasazi_transport::{MemoryNetwork, Target, Transport};
use bytes::Bytes;

type Inputs = Vec<Vec<u8>>;

fn main() -> std::io::Result<()> {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        panic!("seeds DIRECTORY");
    };
    let datagrams = datagrams();
    let bodies: Inputs = datagrams.iter().map(|d| [&d[1..2], body(d)].concat()).collect();
    let undecided = datagrams.iter().map(|d| d[..d.len() - CHECKSUM_LEN].to_vec()).collect();
    let letters = letters(&datagrams);
    let targets: [(&str, Inputs); 18] = [
        ("auth_open", datagrams.clone()),
        ("wire_decode", undecided),
        ("wire_roundtrip", bodies),
        ("audience_head", letters.iter().filter_map(|letter| head(letter)).collect()),
        ("letter", letters),
        ("recovery_work", recoveries()),
        ("sealed_anything", sealed()),
        ("welcome", welcomes()),
        ("stream_frames", streams()),
        ("stream_greeting", greetings()),
        ("config_text", config_texts()),
        ("config_value", config_values()),
        ("url_text", lines(URLS)),
        ("admin_json", lines(REQUESTS)),
        ("admin_request", lines(REQUESTS)),
        ("scenario_text", scenarios()),
        ("console_answer", answers()),
        ("console_words", command_lines()),
    ];
    for (name, inputs) in targets {
        let place = directory.join(name);
        fs::create_dir_all(&place)?;
        for (index, input) in inputs.iter().enumerate() {
            fs::write(place.join(format!("seed-{index}")), input)?;
        }
    }
    Ok(())
}

// ---- what nodes send

/// Of a datagram before its body, and after it.
const HEADER_LEN: usize = 32;
const CHECKSUM_LEN: usize = 4;
/// Of a letter's ring and number.
const LETTER_AT: usize = HEADER_LEN + 20 + 8;
/// Of a frame before its payload.
const FRAME_LEN: usize = 28;

fn body(datagram: &[u8]) -> &[u8] {
    &datagram[HEADER_LEN..datagram.len() - CHECKSUM_LEN]
}

fn session(node: usize) -> SessionId {
    SessionId(SessionId::first(Incarnation(1)).0 + node as u64)
}

/// Two nodes that find each other, have groups, send, and part. Of each kind of datagram the
/// shortest few.
fn datagrams() -> Inputs {
    let mut now = Instant(1_000_000_000);
    let mut cores = [0, 1].map(|node| core(node, now));
    let mut inboxes = [Vec::new(), Vec::new()];
    let mut kinds: BTreeMap<u8, BTreeSet<(usize, Vec<u8>)>> = BTreeMap::new();
    for step in 0..8_000 {
        for node in 0..2 {
            let mut inputs = std::mem::take(&mut inboxes[node]);
            inputs.push(Input::Drained);
            inputs.extend(inputs_at(step, node));
            if cores[node].deadline().is_some_and(|deadline| deadline <= now) {
                inputs.push(Input::Timeout);
            }
            for input in inputs {
                for (multicast, bytes) in feed(&mut cores[node], now, input) {
                    kinds.entry(bytes[1]).or_default().insert((bytes.len(), bytes.to_vec()));
                    let from = SocketAddr::from(([127, 0, 0, 1], 7_000 + node as u16));
                    inboxes[1 - node].push(Input::Datagram { from, multicast, bytes });
                }
            }
        }
        now = now + Duration::from_millis(1);
    }
    let few = kinds.into_values().flat_map(|kind| {
        let many = kind.iter().any(|(_, datagram)| is_letter(datagram));
        kind.into_iter().take(if many { 20 } else { 3 }).map(|(_, datagram)| datagram)
    });
    few.collect()
}

/// Sealed by one who has the keys of the target, behind the byte that is the mode.
fn sealed() -> Inputs {
    let modes = [(1, Mode::Aead), (0, Mode::Integrity)];
    let sealed = modes.map(|(number, mode)| {
        let network = MemoryNetwork::new();
        let attach = |last: u8| {
            let address = SocketAddr::from(([10, 0, 0, last], 1));
            (address, network.attach(address, true).expect("a free address"))
        };
        let ((_, from), (to, mut receiver)) = (attach(1), attach(2));
        let secret = |id| Secret::new(&mut [id; 32]).expect("memory for a key");
        let ring = KeyRing::new(vec![(KeyId(1), secret(1))]).expect("a key");
        let seal = Seal::new(mode, ring, 5, Box::new(|| Some(anasazi_seal::Boot([9; 16]))));
        let content = Bytes::from_static(b"sealed");
        Sealed::new(from, seal).send(&[(Target::Unicast(to), content)]);
        let mut got = Vec::new();
        receiver.receive(1, &mut got);
        [&[number], &got[0].bytes[..]].concat()
    });
    sealed.into()
}

fn feed(core: &mut Core, now: Instant, input: Input) -> Vec<(bool, Bytes)> {
    core.handle(now, input);
    let mut sent = Vec::new();
    while let Some(output) = core.poll() {
        if let Output::Transmit { to, bytes } = output {
            sent.push((to == Destination::Multicast, bytes));
        }
    }
    sent
}

fn core(node: usize, now: Instant) -> Core {
    let process = Process { node: NodeId(node as u32 + 1), incarnation: Incarnation(1) };
    let boot = Boot { process, ring_sequence_floor: 0, ring_sequence_reserved: u64::MAX };
    let cluster = hash64(b"fuzz");
    let config =
        CoreConfig { cluster, multicast: true, seed: node as u64, ..CoreConfig::default() };
    Core::new(config, boot, now)
}

/// What a node's clients do.
fn inputs_at(step: usize, node: usize) -> Vec<Input> {
    let (session, both) = (session(node), ["g", "h"].map(GroupId::of));
    if step == 3_000 {
        let join = |name: &str| Command::Join { session, name: name.to_owned() };
        return vec![Input::Command(join("g")), Input::Command(join("h"))];
    }
    if step == 7_000 && node == 1 {
        return vec![Input::Shutdown];
    }
    if !(3_500..3_512).contains(&step) {
        return Vec::new();
    }
    let member = MemberId { node: NodeId(2 - node as u32), session: self::session(1 - node) };
    let audiences = [
        Audience::Group(both[0], None),
        Audience::Group(both[0], Some(ViewId::default())),
        Audience::Groups(vec![(both[0], None), (both[1], Some(ViewId::default()))]),
        Audience::Member(member),
    ];
    let service = Service::ALL[step % 2 * 4];
    let (to, tag) = (audiences[(step - 3_500) / 2 % 4].clone(), step as u64 % 2);
    let payload = Bytes::from_static(b"hello");
    let (priority, no_self) = (Priority::Normal, false);
    vec![Input::Command(Command::Send { session, to, service, priority, no_self, tag, payload })]
}

fn is_letter(datagram: &[u8]) -> bool {
    wire_kind(datagram) == Some("unordered")
}

/// Contents of letters.
fn letters(datagrams: &Inputs) -> Inputs {
    let letters = datagrams.iter().filter(|datagram| is_letter(datagram));
    letters.map(|datagram| datagram[LETTER_AT..datagram.len() - CHECKSUM_LEN].to_vec()).collect()
}

/// The head of a letter and its message, by the kind of its frame.
fn head(letter: &[u8]) -> Option<Vec<u8>> {
    let scope = letter[0].checked_sub(3)?;
    Some([&[scope, 5], &letter[FRAME_LEN..]].concat())
}

/// What nodes 1 and 2 send while a ring recovers: an old packet, and their tables in pieces.
fn recoveries() -> Inputs {
    let none = 0_u32.to_le_bytes().to_vec();
    let mut one = vec![1, 0, 0, 0, 1, 0, b'g'];
    one.extend([7; 20 + 8 + 4 + 8]);
    one.extend([0, 1, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    let packet = |origin: u8, content: &[u8]| [&[origin, content.len() as u8], content].concat();
    let old = |ordinal: u8, component: u8| {
        let content = [0, component, 0, ordinal, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, b'x'];
        packet(2, &content)
    };
    let table = |component: u8, table: &[u8], pieces: usize| {
        let piece = |(index, bytes): (usize, &[u8])| {
            let place = [1, component, 0, index as u8, 0, 0, 0, pieces as u8, 0, 0, 0];
            packet(component + 1, &[&place, bytes].concat())
        };
        let len = table.len().div_ceil(pieces);
        table.chunks(len).enumerate().map(piece).collect::<Inputs>().concat()
    };
    vec![
        [table(0, &none, 1), table(1, &none, 1)].concat(),
        [table(0, &one, 1), table(1, &none, 2)].concat(),
        [old(1, 0), table(0, &one, 3), old(3, 0), old(2, 1), table(1, &one, 4)].concat(),
    ]
}

/// After the flags of the target: an honest welcome, and refusals with and without a reason.
/// Records, a hole and positions, cut and whole, at both sides.
fn streams() -> Inputs {
    let frame = |len: u32, kind: u16, bytes: &[u8]| {
        let head = u64::from(len) | u64::from(kind) << 32;
        [&head.to_le_bytes(), bytes].concat()
    };
    let record = |len: u8| frame(len.into(), 3, &vec![len; usize::from(len)]);
    let position = |kind: u16, at: u64| frame(8, kind, &at.to_le_bytes());
    let frames = [
        record(0),
        record(9),
        frame(40, 0, &[]),
        record(100),
        position(u16::MAX - 1, 4_000),
        position(u16::MAX, 512),
        record(180),
    ]
    .concat();
    let cut = |len: usize| -> Vec<u8> {
        frames.chunks(len).flat_map(|piece| [&[piece.len() as u8], piece].concat()).collect()
    };
    let acts = [&[250, 250][..], &cut(199), &[200, 201, 220, 250], &cut(5), &[200, 221]].concat();
    [0, 1].map(|side| [&[side], &acts[..]].concat()).to_vec()
}

fn greetings() -> Inputs {
    let hello = |capacity: u32| {
        let hello = Hello {
            magic: MAGIC,
            version_min: SESSION_VERSION,
            version_max: SESSION_VERSION,
            send_capacity: capacity,
            receive_capacity: capacity,
            slow: 0,
            ..Hello::default()
        };
        [&(hello.as_bytes().len() as u32).to_le_bytes(), hello.as_bytes()].concat()
    };
    vec![hello(64 << 10), hello(1 << 20), hello(4 << 20), hello(5)]
}

fn welcomes() -> Inputs {
    let honest = Welcome {
        magic: MAGIC,
        version: SESSION_VERSION,
        reason_len: 0,
        status: 0,
        message_len_max: 10_000,
        node: 1,
        session: 5,
        reason: [0; _],
        lane_key: 77,
    };
    let mut refusal = Welcome { version: 0, status: -13, reason_len: 7, ..honest };
    refusal.reason[..7].copy_from_slice(b"not you");
    let busy = Welcome { status: -11, reason_len: u16::MAX, ..refusal };
    let other = Welcome { version: SESSION_VERSION + 1, ..honest };
    let all = [honest, refusal, busy, other];
    let mut inputs: Inputs = all.iter().map(|w| [&[0], w.as_bytes()].concat()).collect();
    inputs.extend([vec![7], vec![1, 1, 2, 3], [&[4], honest.as_bytes()].concat()]);
    inputs
}

// ---- what people write

fn lines(text: &str) -> Inputs {
    text.lines().map(|line| line.trim().as_bytes().to_vec()).collect()
}

fn file(path: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The example file, entry by entry, each in its table.
fn config_texts() -> Inputs {
    let (mut table, mut inputs) = (String::new(), Inputs::new());
    for line in file("packaging/anasazi.toml").lines() {
        if line.starts_with('[') {
            table = format!("{line}\n");
        }
        let entry = line.strip_prefix('#').filter(|line| !line.starts_with(' '));
        inputs.extend(entry.map(|entry| format!("{table}{entry}\n").into_bytes()));
    }
    inputs
}

/// Every key with its default, and some values that are not defaults.
fn config_values() -> Inputs {
    let of_key = KEYS.iter().flat_map(|key| {
        [Some(key.default), key.daemon_default]
            .map(|value| Some(format!("{}={}", key.name, value?)))
    });
    let mut inputs: Inputs = of_key.flatten().map(String::into_bytes).collect();
    inputs.extend(lines(VALUES));
    inputs
}

/// The smallest scenarios, and a line of each command.
fn scenarios() -> Inputs {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let Ok(entries) = fs::read_dir(&directory) else { panic!("no {}", directory.display()) };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let paths = paths.filter(|path| path.extension().is_some_and(|ending| ending == "txt"));
    let texts: Vec<String> = paths.map(file).collect();
    let code = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with(['#', '>']) && !line.is_empty());
        lines.map(|line| format!("{}\n", line.trim())).collect::<Vec<String>>()
    };
    let mut whole: Vec<String> = texts.iter().map(|text| code(text).concat()).collect();
    whole.sort_by_key(String::len);
    whole.truncate(8);
    let mut verbs: BTreeMap<String, String> = BTreeMap::new();
    for line in texts.iter().flat_map(|text| code(text)) {
        let words: Vec<&str> = line.split_whitespace().collect();
        // Expectations differ in their third word.
        let verb = if words[0] == "expect" { words.get(2) } else { words.first() };
        let shortest = verbs.entry(verb.unwrap_or(&"").to_string()).or_insert_with(|| line.clone());
        if line.len() < shortest.len() {
            *shortest = line;
        }
    }
    let of_verbs = verbs.into_values().map(|line| match line.split(' ').next() {
        Some("title" | "nodes" | "ring" | "swarm") => format!("title x\n{line}"),
        Some("repeat") => format!("title x\nring 2\n{line}end\n"),
        _ => format!("title x\nring 5\n{line}"),
    });
    of_verbs.chain(whole).map(String::into_bytes).collect()
}

/// One of each kind, as an engine gives it, behind the number of its question.
fn answers() -> Inputs {
    let numbered = |(number, answer): (u8, Vec<u8>)| [vec![number], answer].concat();
    (0..).zip(lines(&file("tests/fuzz/examples/answers.txt"))).map(numbered).collect()
}

/// Words are lines.
fn command_lines() -> Inputs {
    lines(COMMAND_LINES)
        .iter()
        .map(|line| line.iter().map(|b| if *b == b' ' { b'\n' } else { *b }).collect())
        .collect()
}

const COMMAND_LINES: &str = "status
    members --json --url shm:/run/a
    monitor g
    send g hello --timeout 1.5
    chat g --name me --wait-for 2
    trace check a b
    query {\"query\":\"status\"}
    isolate 1 2
    loss 100
    config --set cluster=b";

const URLS: &str = "shm:/run/anasazi/anasazi.sock
    unix:/run/a.sock
    tcp://127.0.0.1:7745
    tcp://[::1]:7745
    inproc:default";

const REQUESTS: &str = r#"{"query":"status"}
    {"query":"members"}
    {"query":"groups"}
    {"query":"sessions"}
    {"query":"stats"}
    {"query":"events"}
    {"query":"config"}
    {"query":"nothing"}
    {"do":"isolate","nodes":[1,2]}
    {"do":"isolate","nodes":[]}
    {"do":"isolate","nodes":[3]}
    {"do":"isolate","nodes":["1"]}
    {"do":"heal"}
    {"do":"loss","permille":1000}
    {"do":"loss","permille":1001}
    {"do":"loss"}
    {"do":"break"}
    {"do":"break","in":"core"}
    {"do":"break","in":"engine"}
    {"do":"shutdown"}
    {"do":"nothing"}
    {"query":"status","do":"heal"}"#;

const VALUES: &str = "node.id=4294967295
    transport.bind=[fe80::1%3]:7745
    transport.multicast=off
    transport.multicast=[ff02::1]:7745
    transport.peers=10.0.0.1:7745, [::1]:7745
    transport.peers=host:7745
    transport.receive_buffer_len=64 KiB
    message.len_max=+1024
    state.dir=/var/lib/anasazi
    client.listen_mode=0777
    client.allow_uids=0,4294967295
    client.backlog_len=4 GiB
    log.level=info,anasazi_engine=debug
    session.send_ring_len=65536
    session.send_ring_len=65537
    ring.token_los_ms=250";
