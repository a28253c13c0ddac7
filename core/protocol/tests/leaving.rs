//! What a core that leaves owes to its sessions.

use anasazi_protocol::{
    Audience, Boot, Command, Core, CoreConfig, Fate, GroupId, Incarnation, Input, Instant, NodeId,
    Output, Priority, Process, Service, SessionId,
};
use bytes::Bytes;

/// It leaves before it has a ring: nothing was ordered, and each tag is told, once and in order,
/// before the end.
#[test]
fn tags_of_messages_that_were_not_delivered_are_told_to_be_lost() {
    let process = Process { node: NodeId(1), incarnation: Incarnation(1) };
    let boot = Boot { process, ring_sequence_floor: 0, ring_sequence_reserved: u64::MAX };
    let mut core = Core::new(CoreConfig::default(), boot, Instant(0));
    let session = SessionId(9);
    for tag in [7, 0, 8] {
        core.handle(
            Instant(1),
            Input::Command(Command::Send {
                session,
                to: Audience::Group(GroupId::of("orders"), None),
                service: Service::Safe,
                priority: Priority::Normal,
                no_self: false,
                tag,
                payload: Bytes::from_static(b"never"),
            }),
        );
        while core.poll().is_some() {}
    }
    core.handle(Instant(2), Input::Shutdown);
    let mut ends = Vec::new();
    while let Some(output) = core.poll() {
        match output {
            Output::Receipt { session: to, tag, fate, .. } => {
                assert_eq!((to, fate), (session, Fate::Lost));
                ends.push(Some(tag));
            }
            Output::Stopped { fault: None } => ends.push(None),
            _ => {}
        }
    }
    assert_eq!(ends, [Some(7), Some(8), None]);
}
