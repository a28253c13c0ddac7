//! Claims that clients keep open.

use super::*;

impl Engine {
    /// What is told a while later.
    fn claims_after(&mut self, ms: u64) -> Vec<String> {
        self.now = self.now + Duration::from_millis(ms);
        self.run();
        self.sessions.watch(self.now)
    }

    fn claim_open_since(&self, session: usize) -> Option<Instant> {
        self.sessions.describe()[session].claim_open_since
    }
}

#[test]
fn a_claim_that_is_kept_open_is_told_once_and_so_is_its_end() {
    let mut engine = Engine::new();
    let (client, other) = (engine.open(), engine.open());
    client.join(1, "room");
    other.join(1, "room");
    assert_eq!(engine.claims_after(5_000), [""; 0]);
    client.drain();
    other.drain();
    let claim = client.producer.claim(request::SEND, 0, 100).expect("room");
    client.send(1, 4, 2, b"behind it");
    other.send(1, 4, 3, b"of another");
    let seen_at = Instant(engine.now.0 + 1_000_000_000);
    assert_eq!(engine.claims_after(1_000), [""; 0], "it may be new");
    assert_eq!([0, 1].map(|at| engine.claim_open_since(at)), [Some(seen_at), None]);
    assert_eq!(other.expect_message().1, b"of another");
    other.expect_nothing();
    assert_eq!(engine.claims_after(999), [""; 0]);
    let told = engine.claims_after(500);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("session 1 of process"), "{told:?}");
    assert!(told[0].contains("open for 1.5 s"), "{told:?}");
    assert_eq!(engine.claims_after(60_000), [""; 0], "once");
    client.producer.abort(claim);
    client.wake_engine();
    let told = engine.claims_after(2_000);
    assert!(told.len() == 1 && told[0].contains("goes on after"), "{told:?}");
    assert_eq!(other.expect_message().1, b"behind it");
    assert_eq!((engine.claim_open_since(0), engine.claims_after(2_000)), (None, Vec::new()));
}
