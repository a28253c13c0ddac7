//! The status codes of the C ABI: 0 or a negative number. Values are frozen on every OS: the
//! negative errno where Linux has one, numbers from -1001 otherwise. Retired numbers stay reserved.

/// A status code; `OK` or one of the errors below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Status(pub i32);

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The name in the C header, for logs: "ANZ_EAGAIN".
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($value => concat!("ANZ_", stringify!($name)),)*
                    _ => "ANZ_UNKNOWN",
                }
            }

            /// What it means, in a sentence.
            pub const fn text(self) -> &'static str {
                match self.0 {
                    $($value => $text,)*
                    _ => "a status that this version of the library does not know",
                }
            }
        }
    };
}

statuses! {
    /// Success.
    OK = 0, "success";
    /// A wait ended early.
    EINTR = -4, "the wait was ended early, by a wake or a signal";
    /// Struct too new.
    E2BIG = -7, "a struct from a newer header sets a field that this library does not know";
    /// Would block.
    EAGAIN = -11, "would block: wait for WRITABLE, or for the descriptor";
    /// No memory.
    ENOMEM = -12, "out of memory";
    /// Refused by access rules.
    EACCES = -13, "refused by the daemon's access rules";
    /// Owner call under way elsewhere.
    EBUSY = -16, "a call that one thread at a time may make is under way in another thread";
    /// Already there.
    EEXIST = -17, "it exists already";
    /// Bad argument.
    EINVAL = -22, "an argument is not valid";
    /// Message too large.
    EMSGSIZE = -90, "the message is larger than the limit";
    /// Not built in.
    ENOTSUP = -95, "known to the header, but not built into this library";
    /// Timed out.
    ETIMEDOUT = -110, "the time is up";
    /// Nobody listens.
    ECONNREFUSED = -111, "nothing accepts connections there; is the daemon running?";
    /// Not a member.
    ENOTMEMBER = -1001, "not a member of the group";
    /// Handle or session closed.
    ECLOSED = -1002, "the handle or the session is closed";
    /// Used after fork.
    EFORKED = -1003, "the handle belongs to the parent process: open a new one after fork";
    /// Wrong state.
    ESTATE = -1004, "not possible in the present state";
    /// Versions do not fit.
    EVERSION = -1005, "the versions of the two sides do not fit";
    /// Cut off as a slow receiver.
    ESLOW = -1006, "this session was cut off because it did not read fast enough";
    /// Bad configuration.
    ECONFIG = -1007, "the configuration is not valid";
    /// View changed before ordering.
    EVIEW = -1008, "the view changed before the message was ordered";
    /// Engine went away first.
    ELOST = -1009, "accepted, but the engine went away before it told what became of it";
    /// Our bug.
    EINTERNAL = -1999, "a bug in Anasazi was caught; this engine is out of use";
}
