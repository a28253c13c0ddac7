//! Whole nodes. `two_nodes`: honest datagrams in any order, with faults, and the oracle on all of
//! it. `node_ops`: datagrams that somebody who knows the format has tampered with; then nothing is
//! promised but that a node neither panics nor answers without bound, and that its own history is
//! in order.

use std::collections::BTreeMap;

use anasazi_oracle::Entry;
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{
    Audience, Command, Configuration, GroupId, Incarnation, Input as CoreInput, MemberId, NodeId,
    Priority, Process, Service, SessionId, ViewId,
};
use anasazi_sim::explore::{Budget, Step, World};
use bytes::Bytes;

use crate::input::Input;

/// Steps of one run.
const STEPS_MAX: usize = 160;
/// Datagrams that one step may cause: a rotation's window, its repeats, and membership, to two.
const ANSWERS_MAX: usize = 2_500;
/// More under way than this are lost.
const UNDER_WAY_MAX: usize = 64;
/// The group that all are in from the start, and one more.
const GROUPS: [&str; 2] = ["g", "h"];

thread_local! {
    static RING_OF_TWO: World = ring(2);
    static RING_OF_THREE: World = ring(3);
}

fn ring(nodes: usize) -> World {
    let ring = World::in_one_ring(nodes).and_then(|mut world| {
        join_the_other(&mut world, nodes);
        world.settle().map(|()| world)
    });
    ring.unwrap_or_else(|error| panic!("no ring to begin with: {error}"))
}

fn join_the_other(world: &mut World, nodes: usize) {
    for node in 0..nodes {
        let join = Command::Join { session: session(node), name: GROUPS[1].to_owned() };
        world.feed(node, CoreInput::Command(join));
    }
}

/// As the simulated nodes have them.
fn session(node: usize) -> SessionId {
    SessionId(SessionId::first(Incarnation(1)).0 + node as u64)
}

/// Two nodes, from their start or from a ring: the bytes choose what happens next of all that may.
/// Accepted: a message is delivered.
pub(crate) fn two_nodes(data: &[u8]) -> bool {
    let (mut input, mut guests) = (Input::new(data), Guests::new());
    let flags = input.u8();
    let mut world = if flags & 1 == 0 {
        RING_OF_TWO.with(World::clone)
    } else {
        let mut world = World::booted(2);
        world.join();
        join_the_other(&mut world, 2);
        world
    };
    world.allow(Budget { faults: (flags >> 1) % 4, delays: 20, messages: (flags >> 3) % 8 });
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let choices = world.choices();
        let Some(step) = choices.get(input.below(choices.len())) else { break };
        step_within_bounds(&mut world, *step);
        if *step == Step::Send {
            guests.ask(&mut world, 2, &mut input);
        }
    }
    let settle = flags & 0xC0 == 0xC0;
    if settle && let Err(stuck) = world.settle() {
        panic!("{stuck}");
    }
    if let Err(violation) = world.judge(settle) {
        panic!("{violation}");
    }
    has_delivered(&world)
}

/// Three nodes, of which any datagram may be changed on its way. Accepted: a message is
/// delivered.
pub(crate) fn node_ops(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let (mut world, mut guests) = (RING_OF_THREE.with(World::clone), Guests::new());
    world.allow(Budget { faults: u8::MAX, delays: u8::MAX, messages: u8::MAX });
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        operate(&mut world, &mut guests, &mut input);
        while world.under_way() > UNDER_WAY_MAX {
            world.apply(Step::Drop(0));
            world.allow(Budget { faults: u8::MAX, delays: u8::MAX, messages: u8::MAX });
        }
    }
    check_each_history(&world);
    has_delivered(&world)
}

fn operate(world: &mut World, guests: &mut Guests, input: &mut Input<'_>) {
    let (operation, flight) = (input.u8(), input.below(world.under_way()));
    let node = usize::from(operation >> 4) % 3;
    let under_way = world.under_way() > 0;
    match operation % 16 {
        0..=5 if under_way => {
            let step = Step::Deliver { flight, busy: operation & 16 != 0 };
            step_within_bounds(world, step);
        }
        // Damaged, and the original comes, too.
        6..=8 if under_way => {
            world.apply(Step::Double(flight));
            for _ in 0..1 + input.below(4) {
                world.damage(flight, input.below(256), input.u8());
            }
            step_within_bounds(world, Step::Deliver { flight, busy: false });
        }
        9 if under_way => world.apply(Step::Drop(flight)),
        10 => {
            let len = 36 + input.below(200);
            let mut bytes = header(input.u8(), node, input.u16());
            bytes.extend_from_slice(input.take(len - 32));
            world.forge(node, (node + 1 + usize::from(operation >> 7)) % 3, bytes);
        }
        11 => step_within_bounds(world, Step::Send),
        15 => guests.ask(world, 3, input),
        12 => match input.below(6) {
            about @ ..3 => world.unreachable(node, about),
            about => world.ended(node, about - 3),
        },
        13 if operation > 250 => world.leave(node),
        14 if operation > 250 => world.apply(Step::Crash(node)),
        _ => step_within_bounds(world, Step::Fire(node)),
    }
    world.allow(Budget { faults: u8::MAX, delays: u8::MAX, messages: u8::MAX });
}

/// A second client of a node, that comes and goes: it joins what it is not in, and leaves what it
/// is in, as an engine sees to.
struct Guest {
    number: u64,
    is_in: [bool; 2],
}

/// Of every node.
struct Guests(Vec<Guest>);

impl Guests {
    fn new() -> Self {
        Self((0..3).map(|_| Guest { number: 1, is_in: [false; 2] }).collect())
    }

    /// What clients ask for: mostly messages, and comings and goings between them.
    fn ask(&mut self, world: &mut World, nodes: usize, input: &mut Input<'_>) {
        let choice = input.u8();
        if choice % 8 < 4 {
            return send(world, nodes, choice, input);
        }
        let (node, which) = (usize::from(choice >> 4) % nodes, usize::from(choice >> 3 & 1));
        let guest = &mut self.0[node];
        let session = SessionId(session(node).0 + 256 * guest.number);
        let (name, group) = (GROUPS[which].to_owned(), GroupId::of(GROUPS[which]));
        let command = match choice % 8 {
            4 => Command::Hold { groups: vec![group], for_ms: u16::from(input.u8()) },
            5 => {
                *guest = Guest { number: guest.number + 1, is_in: [false; 2] };
                Command::Disconnect { session }
            }
            _ => {
                let is_in = &mut guest.is_in[which];
                *is_in = !*is_in;
                let join = Command::Join { session, name };
                if *is_in { join } else { Command::Leave { session, group } }
            }
        };
        let before = world.under_way();
        world.feed(node, CoreInput::Command(command));
        let answers = world.under_way().saturating_sub(before);
        assert!(answers <= ANSWERS_MAX, "{answers} datagrams for one wish");
    }
}

/// A message of any service to anybody, in any view, of up to four fragments.
fn send(world: &mut World, nodes: usize, choice: u8, input: &mut Input<'_>) {
    let flags = input.u8();
    let (node, other) = (usize::from(choice >> 3) % nodes, usize::from(choice >> 5) % nodes);
    let [group, second] = GROUPS.map(GroupId::of);
    let view = |of| view_of(world, node, of);
    let to = match choice % 4 {
        0 => Audience::Group(second, None),
        1 => Audience::Group(group, Some(view(group))),
        2 => {
            let both = (choice & 64 != 0).then(|| (view(group), view(second)));
            Audience::Groups(vec![(group, both.map(|b| b.0)), (second, both.map(|b| b.1))])
        }
        _ => Audience::Member(MemberId { node: NodeId(other as u32 + 1), session: session(other) }),
    };
    let service = Service::ALL[usize::from(flags) % Service::ALL.len()];
    let len = if flags & 128 == 0 { 1 } else { 1 + usize::from(input.u16()) % 5_000 };
    let (no_self, tag) = (flags & 64 != 0, u64::from(flags >> 5 & 1));
    let payload = Bytes::from(vec![flags; len]);
    let priority =
        [Priority::Normal, Priority::High, Priority::Bulk][usize::from(flags >> 3 & 3) % 3];
    let session = session(node);
    let send = Command::Send { session, to, service, priority, no_self, tag, payload };
    let before = world.under_way();
    world.feed(node, CoreInput::Command(send));
    let answers = world.under_way().saturating_sub(before);
    assert!(answers <= ANSWERS_MAX, "{answers} datagrams for one message");
}

/// The group's view that a node gave last.
fn view_of(world: &World, node: usize, of: GroupId) -> ViewId {
    let own = world.records().filter(|record| record.process.node.0 == node as u32 + 1);
    let mut views = own.filter_map(|record| match &record.entry {
        Entry::Trace(Trace::GroupView { group, id, .. }) if *group == of => Some(*id),
        _ => None,
    });
    views.next().unwrap_or_default()
}

fn has_delivered(world: &World) -> bool {
    let delivers = |entry: &Entry| {
        use Trace::{GroupMessage, Unicast, Unordered};
        matches!(entry, Entry::Trace(GroupMessage { .. } | Unicast { .. } | Unordered { .. }))
    };
    world.records().any(|record| delivers(&record.entry))
}

/// As the simulated nodes write it; see `wire::header` of the protocol.
fn header(kind: u8, node: usize, counter: u16) -> Vec<u8> {
    let mut bytes = vec![0xA1, kind % (anasazi_protocol::fuzz::KIND_MAX + 2), 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(&anasazi_protocol::CoreConfig::default().cluster.to_le_bytes());
    bytes.extend_from_slice(&(node as u32 + 1).to_le_bytes());
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    bytes.extend_from_slice(&(u64::from(counter) + 100).to_le_bytes());
    bytes
}

fn step_within_bounds(world: &mut World, step: Step) {
    let before = world.under_way();
    world.apply(step);
    let answers = world.under_way().saturating_sub(before);
    assert!(answers <= ANSWERS_MAX, "{answers} datagrams after {step:?}");
}

/// What a process says of itself is in order, whatever it was told: configurations by turns, itself
/// among their members, packets in ascending order and in the configuration that it is in.
fn check_each_history(world: &World) {
    let mut records: Vec<_> = world.records().collect();
    records.reverse();
    let mut states: BTreeMap<Process, (Option<Configuration>, u64)> = BTreeMap::new();
    for record in records {
        let Entry::Trace(trace) = &record.entry else { continue };
        let me = record.process;
        let (current, ordinal) = states.entry(me).or_default();
        match trace {
            Trace::Regular { ring, members } => {
                let fits = match current {
                    None => true,
                    Some(Configuration::Transitional { new, .. }) => new == ring,
                    Some(Configuration::Regular(_)) => false,
                };
                assert!(fits && members.contains(&me), "{me} installs {trace:?} in {current:?}");
                (*current, *ordinal) = (Some(Configuration::Regular(*ring)), 0);
            }
            Trace::Transitional { old, new, members, .. } => {
                let fits = *current == Some(Configuration::Regular(*old)) && old < new;
                assert!(fits && members.contains(&me), "{me} installs {trace:?} in {current:?}");
                *current = Some(Configuration::Transitional { old: *old, new: *new });
            }
            Trace::Packet { configuration, ordinal: next, .. } => {
                assert_eq!(Some(*configuration), *current, "{me} delivers elsewhere: {trace:?}");
                assert!(next > ordinal, "{me} delivers {next} after {ordinal}");
                *ordinal = *next;
            }
            _ => {}
        }
    }
}
