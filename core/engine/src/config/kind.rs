//! The types that a key can have: what is allowed, and how what was written becomes a value.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The type of a key, with its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ip:port` of this host; port 0 lets the system choose.
    Address,
    /// `true` or `false`.
    Boolean,
    /// User or group numbers.
    Ids,
    /// A whole number.
    Integer {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
        /// What it counts.
        unit: &'static str,
    },
    /// Name of a network interface; empty for none.
    Interface,
    /// Log levels, by target.
    LogFilter,
    /// Permission bits in octal, as text.
    Mode,
    /// `ip:port` of a multicast group, or `off`.
    Multicast,
    /// A node number, or `random`.
    Node,
    /// An absolute path; empty for none.
    Path {
        /// Longest, in bytes.
        len_max: usize,
    },
    /// `ip:port` of other nodes.
    Peers,
    /// `unix:/path` or `tcp://ip:port`, at which sessions come in as streams.
    Streams,
    /// A number of bytes, or text such as `4 MiB`.
    Size {
        /// Smallest, in bytes.
        min: u64,
        /// Largest, in bytes.
        max: u64,
        /// Only powers of two.
        power_of_two: bool,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// Text without control characters.
    Text {
        /// Shortest, in bytes.
        len_min: usize,
        /// Longest, in bytes.
        len_max: usize,
    },
}

/// The value of a key, in the form that fits its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `Address`, and `Multicast` when it is on.
    Address(SocketAddr),
    /// `Peers`.
    Addresses(Vec<SocketAddr>),
    /// `Boolean`.
    Boolean(bool),
    /// `Integer`, `Size`, `Mode`, and `Node` when it is given.
    Integer(u64),
    /// `Ids`.
    Integers(Vec<u32>),
    /// `Streams`.
    Streams(Vec<StreamAddress>),
    /// `Text`, `Path`, `Interface`, `LogFilter`, `Word`.
    Text(String),
    /// `off`, `random`.
    Unset,
}

/// Where sessions come in as streams, written as their URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamAddress {
    /// `unix:/path`
    Unix(PathBuf),
    /// `tcp://ip:port`
    Tcp(SocketAddr),
}

impl fmt::Display for StreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// What was written, before its kind is known to fit.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Written {
    Boolean(bool),
    Integer(i128),
    List(Vec<Self>),
    /// Something no key takes; its name, with an article.
    Other(&'static str),
    Text(String),
}

/// Why a value is refused: what is wrong with it. What is allowed is added by the caller.
type Refusal = String;

impl Kind {
    /// Reads what a program or a command line gives: numbers in decimal, lists separated by commas.
    pub(super) fn read_text(&self, text: &str) -> Result<Value, Refusal> {
        let text = text.trim();
        let item = |text: &str| match text.trim().parse::<i128>() {
            Ok(number) if self.takes_numbers() => Written::Integer(number),
            _ => Written::Text(text.trim().to_owned()),
        };
        self.read(match (self, text) {
            (Self::Boolean, "true") => Written::Boolean(true),
            (Self::Boolean, "false") => Written::Boolean(false),
            (Self::Peers | Self::Ids | Self::Streams, "") => Written::List(Vec::new()),
            (Self::Peers | Self::Ids | Self::Streams, _) => {
                Written::List(text.split(',').map(item).collect())
            }
            _ => item(text),
        })
    }

    /// Checks what was written against this kind.
    pub(super) fn read(&self, written: Written) -> Result<Value, Refusal> {
        match (self, written) {
            (Self::Boolean, Written::Boolean(value)) => Ok(Value::Boolean(value)),
            (Self::Integer { min, max, .. }, Written::Integer(number)) => {
                in_range(number, *min, *max)
            }
            (Self::Size { .. }, Written::Integer(number)) => self.read_size(number),
            (Self::Size { .. }, Written::Text(text)) => {
                self.read_size(size(&text).ok_or_else(|| not_allowed(&Written::Text(text)))?)
            }
            (Self::Node, Written::Integer(number)) => in_range(number, 1, u32::MAX.into()),
            (Self::Peers, Written::List(items)) => {
                items.into_iter().map(peer).collect::<Result<_, _>>().map(Value::Addresses)
            }
            (Self::Streams, Written::List(items)) => {
                items.into_iter().map(stream).collect::<Result<_, _>>().map(Value::Streams)
            }
            (Self::Ids, Written::List(items)) => {
                items.into_iter().map(id).collect::<Result<_, _>>().map(Value::Integers)
            }
            (_, Written::Text(text)) => self.read_word(text),
            (_, other) => Err(not_allowed(&other)),
        }
    }

    /// What may be written, for error messages and documentation.
    pub fn allowed(&self) -> String {
        match self {
            Self::Address => "\"ip:port\" of this host, IPv4 or [IPv6]; port 0 = any".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Ids => "a list of numbers, such as [1000, 1001]".to_owned(),
            Self::Integer { min, max, unit } => format!("{min} to {max} ({unit})"),
            Self::Interface => "an interface name of 1 to 15 bytes, or \"\" for none".to_owned(),
            Self::LogFilter => {
                "off, error, warn, info, debug or trace; for parts: \"info,anasazi_engine=debug\""
                    .to_owned()
            }
            Self::Mode => "octal permission bits as text, \"0000\" to \"0777\"".to_owned(),
            Self::Multicast => "\"group-ip:port\", IPv4 or [IPv6], or \"off\"".to_owned(),
            Self::Node => format!("1 to {}, or \"random\"", u32::MAX),
            Self::Path { len_max } => {
                format!("an absolute path of at most {len_max} bytes, or \"\" for none")
            }
            Self::Peers => "a list of \"ip:port\", IPv4 or [IPv6]".to_owned(),
            Self::Streams => {
                "a list of \"unix:/path\" and \"tcp://ip:port\", IPv4 or [IPv6]".to_owned()
            }
            Self::Size { min, max, power_of_two } => format!(
                "{} to {} (bytes, or text such as \"4 MiB\"){}",
                size_text(*min),
                size_text(*max),
                if *power_of_two { ", a power of two" } else { "" }
            ),
            Self::Word(words) => words.join(", "),
            Self::Text { len_min, len_max } => {
                format!("text of {len_min} to {len_max} bytes without control characters")
            }
        }
    }

    /// A value in the form in which [`read_text`](Self::read_text) takes it.
    pub(super) fn show(&self, value: &Value) -> String {
        let join = |items: Vec<String>| items.join(",");
        match value {
            Value::Address(address) => address.to_string(),
            Value::Addresses(list) => join(list.iter().map(ToString::to_string).collect()),
            Value::Streams(list) => join(list.iter().map(ToString::to_string).collect()),
            Value::Boolean(value) => value.to_string(),
            Value::Integer(number) => match self {
                Self::Mode => format!("{number:04o}"),
                Self::Size { .. } => size_text(*number),
                _ => number.to_string(),
            },
            Value::Integers(list) => join(list.iter().map(ToString::to_string).collect()),
            Value::Text(text) => text.clone(),
            Value::Unset if *self == Self::Node => "random".to_owned(),
            Value::Unset => "off".to_owned(),
        }
    }

    fn takes_numbers(&self) -> bool {
        matches!(self, Self::Integer { .. } | Self::Size { .. } | Self::Node | Self::Ids)
    }

    /// Kinds that are written as text.
    fn read_word(&self, text: String) -> Result<Value, Refusal> {
        match (self, text.as_str()) {
            (Self::Multicast, "off") | (Self::Node, "random") => Ok(Value::Unset),
            (Self::Multicast, _) => multicast(&text),
            (Self::Address, _) => own_address(&text),
            (Self::Mode, _) => mode(&text),
            (Self::LogFilter, _) => log_filter(text),
            (Self::Interface, _) => interface(text),
            (Self::Path { len_max }, _) => path(text, *len_max),
            (Self::Word(words), word) if words.contains(&word) => Ok(Value::Text(text)),
            (Self::Text { len_min, len_max }, _) => plain_text(text, *len_min, *len_max),
            _ => Err(not_allowed(&Written::Text(text))),
        }
    }

    fn read_size(&self, number: i128) -> Result<Value, Refusal> {
        let Self::Size { min, max, power_of_two } = self else {
            return Err(not_allowed(&Written::Integer(number)));
        };
        let value = in_range(number, *min, *max)?;
        if *power_of_two && number.count_ones() != 1 {
            return Err(format!("{number} is not a power of two"));
        }
        Ok(value)
    }
}

impl Written {
    fn describe(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::List(_) => "a list".to_owned(),
            Self::Other(name) => (*name).to_owned(),
            Self::Text(text) => quoted(text),
        }
    }
}

/// Text as it is shown in messages: escaped, and cut when it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN_LEN_MAX) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn not_allowed(written: &Written) -> Refusal {
    format!("{} is not allowed", written.describe())
}

fn in_range(number: i128, min: u64, max: u64) -> Result<Value, Refusal> {
    match u64::try_from(number) {
        Ok(value) if (min..=max).contains(&value) => Ok(Value::Integer(value)),
        _ => Err(format!("{number} is out of range")),
    }
}

fn id(written: Written) -> Result<u32, Refusal> {
    match written {
        Written::Integer(number) => {
            u32::try_from(number).map_err(|_| format!("{number} is out of range"))
        }
        other => Err(not_allowed(&other)),
    }
}

fn address(text: &str) -> Result<SocketAddr, Refusal> {
    text.parse().map_err(|_| {
        let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
        if text.parse::<std::net::IpAddr>().is_ok() {
            format!("{} has no port", quoted(text))
        } else if host.starts_with(|first: char| first.is_ascii_alphabetic()) && !host.contains(':')
        {
            format!("{}: host names are not resolved, write the IP address", quoted(text))
        } else {
            format!("{} is not an address", quoted(text))
        }
    })
}

fn own_address(text: &str) -> Result<Value, Refusal> {
    let address = address(text)?;
    if address.ip().is_unspecified() {
        return Err(format!(
            "{address} does not say which address: name the one at which the other nodes reach \
             this host"
        ));
    }
    if address.ip().is_multicast() {
        return Err(format!("{address} is a multicast group, not an address of this host"));
    }
    Ok(Value::Address(address))
}

fn multicast(text: &str) -> Result<Value, Refusal> {
    let address = address(text)?;
    if !address.ip().is_multicast() {
        return Err(format!(
            "{address} is not a multicast group (those are 224.0.0.0/4 and ff00::/8)"
        ));
    }
    if address.port() == 0 {
        return Err(format!("{address} has port 0: every node needs the same port"));
    }
    Ok(Value::Address(address))
}

fn peer(written: Written) -> Result<SocketAddr, Refusal> {
    let Written::Text(text) = written else {
        return Err(not_allowed(&written));
    };
    let address = address(&text)?;
    if address.ip().is_multicast() || address.ip().is_unspecified() {
        return Err(format!("{address} is not the address of one host"));
    }
    if address.port() == 0 {
        return Err(format!("{address} has port 0: write the port of that node's transport.bind"));
    }
    Ok(address)
}

fn stream(written: Written) -> Result<StreamAddress, Refusal> {
    let Written::Text(text) = written else {
        return Err(not_allowed(&written));
    };
    if let Some(place) = text.strip_prefix("tcp://") {
        let address = address(place)?;
        let is_multicast = address.ip().is_multicast();
        return if is_multicast {
            Err(not_allowed(&Written::Text(text)))
        } else {
            Ok(StreamAddress::Tcp(address))
        };
    }
    match text.strip_prefix("unix:") {
        Some("") | None => Err(not_allowed(&Written::Text(text))),
        Some(place) => match path(place.to_owned(), SOCKET_PATH_LEN_MAX)? {
            Value::Text(path) => Ok(StreamAddress::Unix(path.into())),
            _ => Err(not_allowed(&Written::Text(text))),
        },
    }
}

fn mode(text: &str) -> Result<Value, Refusal> {
    let plain = text.bytes().all(|digit| digit.is_ascii_digit());
    match u64::from_str_radix(text, 8) {
        Ok(bits) if plain && bits <= 0o777 => Ok(Value::Integer(bits)),
        _ => Err(format!("{} is not an octal mode", quoted(text))),
    }
}

fn log_filter(text: String) -> Result<Value, Refusal> {
    for item in text.split(',').map(str::trim) {
        let (target, level) = item.split_once('=').unwrap_or(("anasazi", item));
        if !LOG_LEVELS.contains(&level) {
            return Err(format!("{} is not a log level", quoted(level)));
        }
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
        if target.is_empty() || !target.chars().all(named) {
            return Err(format!("{} is not the name of a log target", quoted(target)));
        }
    }
    Ok(Value::Text(text))
}

fn interface(text: String) -> Result<Value, Refusal> {
    if text.len() > 15 || text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/') {
        return Err(format!("{} is not an interface name", quoted(&text)));
    }
    Ok(Value::Text(text))
}

fn path(text: String, len_max: usize) -> Result<Value, Refusal> {
    if text.len() > len_max {
        return Err(format!("{} is {} bytes long", quoted(&text), text.len()));
    }
    if !text.is_empty() && !text.starts_with('/') {
        return Err(format!("{} does not start with /", quoted(&text)));
    }
    if text.contains(char::is_control) {
        return Err(format!("{} has a control character in it", quoted(&text)));
    }
    Ok(Value::Text(text))
}

fn plain_text(text: String, len_min: usize, len_max: usize) -> Result<Value, Refusal> {
    if !(len_min..=len_max).contains(&text.len()) {
        return Err(format!("{} is {} bytes long", quoted(&text), text.len()));
    }
    if text.contains(char::is_control) {
        return Err(format!("{} has a control character in it", quoted(&text)));
    }
    Ok(Value::Text(text))
}

/// Bytes of "4 MiB" and the like.
fn size(text: &str) -> Option<i128> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: i128 = text[..digits_end].parse().ok()?;
    let unit = text[digits_end..].trim_start();
    let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(i128::from(*factor))
}

fn size_text(len: u64) -> String {
    let unit = SIZE_UNITS.iter().find(|(_, factor)| len != 0 && len.is_multiple_of(*factor));
    match unit {
        Some((name, factor)) if *factor > 1 => format!("{} {name}", len / factor),
        _ => len.to_string(),
    }
}

const SIZE_UNITS: [(&str, u64); 4] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];
const LOG_LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// `sockaddr_un` has room for 108 bytes, the last of them NUL.
pub(super) const SOCKET_PATH_LEN_MAX: usize = 107;
/// Characters of a refused value that a message repeats.
const SHOWN_LEN_MAX: usize = 60;
