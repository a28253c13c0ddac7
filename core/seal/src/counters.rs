//! What has been sealed and opened, and what has not.

/// Numbers of datagrams since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SealCounters {
    /// Sealed and sent, greetings too.
    pub sealed: u64,
    /// Opened.
    pub opened: u64,
    /// Too short for a sealed one, or of a version that does not exist.
    pub malformed: u64,
    /// Without a seal, from an engine that is configured so.
    pub unsealed: u64,
    /// Sealed in another mode than this engine is configured for.
    pub other_mode: u64,
    /// Sealed with a key that is not here.
    pub key_missing: u64,
    /// Sealed with a key that has the id of one of ours and is another one, or in another domain.
    pub key_other: u64,
    /// The tag is not that of the content: forged, or changed on the way.
    pub forged: u64,
    /// Seen before, or one of our own.
    pub replayed: u64,
    /// Too far behind the newest of its sender to be told from one that was seen before.
    pub late: u64,
    /// From an engine that has not greeted yet: it may be a recording.
    pub ungreeted: u64,
    /// For another engine, or for this one before it started again.
    pub misdirected: u64,
    /// With a key that would have to be derived, and more of these than time is given to.
    pub deferred: u64,
    /// Greetings sent, and taken.
    pub greetings_sent: u64,
    /// See [`greetings_sent`](Self::greetings_sent).
    pub greetings_taken: u64,
}

impl SealCounters {
    /// Each with its name.
    pub fn fields(&self) -> [(&'static str, u64); 15] {
        [
            ("sealed", self.sealed),
            ("opened", self.opened),
            ("malformed", self.malformed),
            ("unsealed", self.unsealed),
            ("other_mode", self.other_mode),
            ("key_missing", self.key_missing),
            ("key_other", self.key_other),
            ("forged", self.forged),
            ("replayed", self.replayed),
            ("late", self.late),
            ("ungreeted", self.ungreeted),
            ("misdirected", self.misdirected),
            ("deferred", self.deferred),
            ("greetings_sent", self.greetings_sent),
            ("greetings_taken", self.greetings_taken),
        ]
    }

    /// All datagrams that were dropped.
    pub fn dropped(&self) -> u64 {
        self.malformed
            + self.unsealed
            + self.other_mode
            + self.key_missing
            + self.key_other
            + self.forged
            + self.replayed
            + self.late
            + self.ungreeted
            + self.misdirected
            + self.deferred
    }
}
