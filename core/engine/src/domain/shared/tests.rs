use anasazi_protocol::{Boot, Command, CoreConfig, Incarnation, NodeId, Process, SessionId};
use anasazi_transport::{Memory, MemoryNetwork, Target};
use bytes::Bytes;

use super::*;
use crate::recorder::Recorder;
use crate::sys::poll::Poller;
use crate::writer::Writer;

/// A domain, and what its own thread and the engine's wait for.
struct World {
    shared: Arc<Shared<Memory, Option<Writer>>>,
    own: Poller,
    engine: Poller,
    stranger: Memory,
}

const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 1);

fn world() -> World {
    let network = MemoryNetwork::new();
    let process = Process { node: NodeId(3), incarnation: Incarnation(9) };
    let core = CoreConfig { multicast: false, ..CoreConfig::default() };
    let boot = Boot { process, ring_sequence_floor: 0, ring_sequence_reserved: u64::MAX };
    let transport = network.attach(ADDRESS.into(), false).expect("a transport");
    let recorder = Recorder::new(process, None, None);
    let now = Instant(now_ns());
    let mut domain = Domain::new((core, boot), (transport, None, None), recorder, None, now);
    domain.begin(now);
    let [own, engine] = [(); 2].map(|()| Poller::new().expect("a set"));
    let wakers = Wakers { own: own.waker(), engine: engine.waker() };
    let stranger = network.attach(([127, 0, 0, 1], 2).into(), false).expect("a transport");
    World { shared: Arc::new(Shared::new(Box::new(domain), wakers)), own, engine, stranger }
}

impl World {
    fn received(&self) -> u64 {
        self.shared.enter().transport.counters().received_datagrams
    }

    fn join(&self) {
        let (session, name) = (SessionId::first(Incarnation(9)), "orders".to_owned());
        self.shared.enter().command(Instant(0), Command::Join { session, name });
    }
}

/// Whether it was woken since this was last asked.
fn woken(poller: &mut Poller) -> bool {
    let mut outer = Poller::new().expect("a set");
    outer.add(poller.fd(), 1).expect("room");
    let mut ready = Vec::new();
    outer.wait(&mut ready, Some(Duration::ZERO)).expect("a look");
    poller.wait(&mut Vec::new(), Some(Duration::ZERO)).expect("a look");
    !ready.is_empty()
}

#[test]
fn who_makes_it_due_earlier_wakes_its_thread_and_who_looks_does_not() {
    let mut world = world();
    let step = world.shared.step(true, false).expect("it goes on");
    assert_eq!(world.shared.state.lock().sleeps_until, step.deadline);
    world.shared.state.lock().sleeps_until = Some(Instant(u64::MAX));
    assert!(world.shared.enter().core.deadline().is_some());
    assert!(!woken(&mut world.own), "somebody looked");
    world.join();
    assert!(woken(&mut world.own), "it would come too late");
    world.join();
    assert!(!woken(&mut world.own), "it comes in time");
}

#[test]
fn its_thread_tells_the_engine_once_and_the_engine_itself_never() {
    let mut world = world();
    world.shared.enter().up.push(Upward::Told("by the engine".to_owned()));
    assert!(world.shared.has_said() && !woken(&mut world.engine));
    world.shared.hear(SAID_MAX, &mut Vec::new());
    assert!(!world.shared.has_said());
    for round in 0..2 {
        let mut state = world.shared.state.lock();
        let domain = state.domain.as_mut().expect("it is there");
        domain.up.push(Upward::Told(format!("by its thread {round}")));
        drop(state);
        assert!(world.shared.step(false, false).is_some());
        assert_eq!(woken(&mut world.engine), round == 0);
    }
    let mut heard = Vec::new();
    world.shared.hear(1, &mut heard);
    assert!(world.shared.has_said(), "the rest");
    world.shared.hear(SAID_MAX, &mut heard);
    let told = heard.iter().filter_map(|up| match up {
        Upward::Told(text) => Some(text.clone()),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), ["by its thread 0", "by its thread 1"]);
}

#[test]
fn a_thread_that_does_not_come_by_is_late() {
    let world = world();
    let tick = Duration::from_millis(1);
    std::thread::sleep(2 * tick);
    assert!(world.shared.lateness() >= tick, "it never came");
    let step = world.shared.step(true, false).expect("it goes on");
    assert!(!step.more && step.deadline > Some(Instant(now_ns())));
    assert_eq!(world.shared.lateness(), Duration::ZERO);
    world.shared.set_due(Some(Instant(now_ns())));
    std::thread::sleep(2 * tick);
    assert!(world.shared.lateness() >= tick, "it does not come again");
    world.shared.set_due(None);
    assert_eq!(world.shared.lateness(), Duration::ZERO, "nothing is due");
}

/// It takes in no datagrams, and does not forget that there are some.
#[test]
fn who_is_not_heard_is_deaf_until_he_is() {
    let mut world = world();
    let fill = |items: usize, len: usize| {
        let mut said = world.shared.said.lock();
        said.items.extend((0..items).map(|_| Upward::Told(String::new())));
        said.len = len;
        world.shared.has_said.store(true, Ordering::Release);
    };
    for (round, (items, len)) in [(SAID_MAX, 0), (1, SAID_LEN_MAX)].into_iter().enumerate() {
        assert!(!world.shared.step(true, false).expect("it goes on").is_deaf);
        world.shared.hear(usize::MAX, &mut Vec::new());
        woken(&mut world.own);
        world.stranger.send(&[(Target::Unicast(ADDRESS.into()), Bytes::from_static(b"?"))]);
        fill(items, len);
        let before = world.received();
        let step = world.shared.step(true, false).expect("it goes on");
        assert!(step.is_deaf && !step.more && step.deadline.is_some());
        assert_eq!(world.received(), before);
        if round == 0 {
            world.shared.hear(1, &mut Vec::new());
            assert!(woken(&mut world.own), "it may hear again");
        } else {
            world.shared.said.lock().len = 0;
        }
        assert!(!world.shared.step(false, false).expect("it goes on").is_deaf);
        assert_eq!(world.received(), before + 1);
    }
}

/// Alone in its ring a core orders what it is given at once, and has room always.
#[test]
fn who_is_not_heard_takes_no_commands_either() {
    let world = world();
    world.shared.hear(usize::MAX, &mut Vec::new());
    assert!(world.shared.accepts_sends());
    let mut inside = world.shared.enter();
    inside.up.extend((0..SAID_MAX).map(|_| Upward::Told(String::new())));
    drop(inside);
    assert!(!world.shared.accepts_sends() && world.shared.enter().core.accepts_sends());
    world.shared.hear(1, &mut Vec::new());
    assert!(world.shared.accepts_sends());
}

/// The engine does not wait for ever for a thread that is inside, which finds out later.
#[test]
fn a_lease_that_cannot_be_taken_back_ends_the_thread_all_the_same() {
    let world = world();
    let lease = Lease::new(Arc::clone(&world.shared));
    let inside = world.shared.state.lock();
    assert!(world.shared.take_back(Duration::from_millis(1)).is_none());
    assert!(inside.domain.is_some());
    drop(inside);
    assert!(world.shared.step(true, false).is_none());
    assert!(world.shared.state.lock().domain.is_none(), "its sockets are closed");
    drop(lease);
}

#[test]
fn time_does_not_go_back_for_who_read_the_clock_earlier() {
    let world = world();
    assert!(world.shared.step(true, false).is_some());
    let before = world.shared.enter().latest;
    world.shared.enter().shutdown(Instant(1));
    assert!(before > Instant(1) && world.shared.enter().latest >= before);
}

#[test]
fn its_thread_ends_with_the_lease_or_with_a_bug_that_it_tells() {
    let mut world = world();
    let lease = Lease::new(Arc::clone(&world.shared));
    assert!(world.shared.step(true, false).is_some());
    woken(&mut world.own);
    drop(lease);
    assert!(woken(&mut world.own) && world.shared.step(true, false).is_none());

    for is_outside in [true, false] {
        let mut world = self::world();
        world.shared.hear(usize::MAX, &mut Vec::new());
        if is_outside {
            world.shared.broke(&"outside the core");
        } else {
            world.shared.enter().recorder.break_next();
            world.shared.enter().shutdown(Instant(1));
        }
        assert!(world.shared.step(true, false).is_none());
        assert!(woken(&mut world.engine) || !is_outside);
        let mut heard = Vec::new();
        world.shared.hear(usize::MAX, &mut heard);
        assert!(matches!(heard.last(), Some(Upward::Broken { .. })));
    }
}
