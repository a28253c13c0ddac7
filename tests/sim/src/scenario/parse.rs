//! A file becomes a scenario, or an error that names the line and what is allowed there.

use crate::options::Options;
use crate::session::Reading;

use super::command::{Command, Deed, Part};
use super::expect::Expectation;
use super::packets::Rule;
use super::settings::Setting;
use super::swarm::Swarm;
use super::words::{NODES_MAX, Words, time};

const VERBS: &str = "\
    title, shows, sweep, swarm, nodes, ring, configure, twin, network, boot, crash, wipe, \
    boot-cut-unwritten, boot-cut-written, restart, pause, suspend, resume, shutdown, may-stop, \
    clock, join, leave, disconnect, send, load, reads, slow, fail-sends, cut, mend, narrow, \
    partition, clog, spoil, outage, heal, drop, duplicate, delay, hold, replay, corrupt, \
    release, clear, record, again, tick, settle, rest, wait, mark, expect, story, repeat, end, \
    apart, plant";

/// A scenario that was read.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// Of the file.
    pub name: String,
    /// What it is about, in a line.
    pub title: String,
    /// What it stands for: `row 3`, `pitfall 6`, `correction U1`, `transition left`.
    pub shows: Vec<String>,
    /// The lines of the file without its output.
    pub(crate) lines: Vec<String>,
    /// Where each of them stands in the file, from 1.
    pub(crate) numbers: Vec<usize>,
    /// Commands and the lines on which they stand.
    pub(crate) commands: Vec<(usize, Command)>,
    /// It is a seed of which something is left out.
    pub(crate) swarm: Option<Swarm>,
    sweep: Option<(u64, u64, u64)>,
}

impl Scenario {
    /// The seed that it is, if it is one.
    pub fn swarm(&self) -> Option<&Swarm> {
        self.swarm.as_ref()
    }

    /// `FILE:LINE`, by the index of a line without the output.
    pub(crate) fn place(&self, line: usize) -> String {
        let last = self.numbers.last().copied().unwrap_or(1);
        format!("{}:{}", self.name, self.numbers.get(line).copied().unwrap_or(last))
    }

    /// Every value that it is repeated with.
    pub(crate) fn sweep(&self) -> Vec<Option<u64>> {
        let Some((first, last, step)) = self.sweep else { return vec![None] };
        (first..=last).step_by(step as usize).map(Some).collect()
    }
}

/// Reads a scenario. Lines that begin with `>` are output and play no part.
pub fn parse(name: &str, text: &str) -> Result<Scenario, String> {
    let mut scenario = Scenario { name: name.to_owned(), ..Scenario::default() };
    let (mut depth, mut nodes) = (0, NODES_MAX);
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('>') {
            continue;
        }
        let at = scenario.lines.len();
        scenario.lines.push(line.to_owned());
        scenario.numbers.push(number + 1);
        let code = line.trim();
        if code.is_empty() || code.starts_with('#') {
            continue;
        }
        let error = |what: String| format!("{name}:{}: {what}: {code}", number + 1);
        let mut words = Words::new(code, nodes);
        let command = scenario.line(&mut words).map_err(error)?;
        words.end().map_err(error)?;
        let Some(command) = command else { continue };
        match command {
            Command::Nodes { count, .. } | Command::Ring { count, .. } => nodes = count,
            Command::Repeat(_) => depth += 1,
            Command::EndRepeat if depth == 0 => {
                return Err(error("nothing is repeated here".to_owned()));
            }
            Command::EndRepeat => depth -= 1,
            _ => {}
        }
        scenario.commands.push((at, command));
    }
    scenario.check(depth).map_err(|what| format!("{name}: {what}"))?;
    Ok(scenario)
}

impl Scenario {
    /// The line as a whole fits: the first command makes a cluster, loops end.
    fn check(&self, depth: u32) -> Result<(), String> {
        let makes = |c: &Command| matches!(c, Command::Nodes { .. } | Command::Ring { .. });
        let made = self.commands.iter().filter(|(_, c)| makes(c)).count();
        let first = self.commands.iter().find(|(_, c)| !matches!(c, Command::Plant));
        let good = match (&self.swarm, first) {
            (Some(_), None) => true,
            (None, Some((_, first))) => made == 1 && makes(first),
            _ => false,
        };
        if self.title.is_empty() {
            Err("`title` is missing".to_owned())
        } else if !good {
            Err("the first command is `nodes` or `ring`, and the only one of them; or the file \
                 is a `swarm` without commands"
                .to_owned())
        } else if depth > 0 {
            Err("`repeat` without `end`".to_owned())
        } else {
            Ok(())
        }
    }

    fn line(&mut self, words: &mut Words<'_>) -> Result<Option<Command>, String> {
        let verb = words.next("a command")?;
        if let Some(swarm) = &mut self.swarm
            && swarm.line(verb, words)?
        {
            return Ok(None);
        }
        match verb {
            "title" => self.title = words.rest(),
            "shows" => {
                let all = words.rest();
                self.shows.extend(all.split(',').map(|s| s.trim().to_owned()));
            }
            "sweep" => self.sweep = Some(sweep(words)?),
            "swarm" => {
                let line = self.lines.len() - 1;
                self.swarm = Some(Swarm { line, ..Swarm::new(words.number("a seed")?) });
            }
            _ => return command(verb, words).map(Some),
        }
        Ok(None)
    }
}

/// `0us..2ms by 20us`.
fn sweep(words: &mut Words<'_>) -> Result<(u64, u64, u64), String> {
    let range = words.next("a range of times")?;
    let (first, last) = range.split_once("..").ok_or("`sweep 0us..2ms by 20us`")?;
    words.must("by")?;
    let step = time(words.next("a step")?)?;
    if step == 0 {
        return Err("a step is more than nothing".to_owned());
    }
    Ok((time(first)?, time(last)?, step))
}

fn command(verb: &str, words: &mut Words<'_>) -> Result<Command, String> {
    if let Some(deed) = deed(verb) {
        return Ok(Command::Process { deed, nodes: words.nodes()? });
    }
    Ok(match verb {
        "nodes" => {
            let (count, settings) = cluster(words)?;
            Command::Nodes { count, settings }
        }
        "ring" => {
            let (count, settings) = cluster(words)?;
            Command::Ring { count, settings }
        }
        "configure" => {
            let nodes = words.nodes()?;
            let mut config = anasazi_protocol::CoreConfig::default();
            let settings = settings(words, |s| s.configure(&mut config))?;
            Command::Configure { nodes, settings }
        }
        "network" => Command::Network(cluster_settings(words)?),
        "twin" => {
            let node = words.node()?;
            words.must("of")?;
            Command::Twin { node, of: words.node()? }
        }
        "clock" => clock(words)?,
        "join" | "leave" | "disconnect" | "send" | "load" => client(verb, words)?,
        "reads" => reads(words)?,
        "slow" => {
            let nodes = words.nodes()?;
            words.must("by")?;
            Command::Slow { nodes, time: words.time()? }
        }
        "fail-sends" => {
            let nodes = words.nodes()?;
            words.must("for")?;
            Command::FailSends { nodes, time: words.time()? }
        }
        "cut" | "mend" | "partition" | "clog" | "spoil" | "outage" | "narrow" | "heal" => {
            link(verb, words)?
        }
        "drop" | "duplicate" | "delay" | "hold" | "replay" | "corrupt" => {
            Command::Packets(Rule::parse(verb, words)?)
        }
        "release" => Command::Release,
        "clear" => Command::Clear,
        "record" => Command::Record,
        "again" => Command::Again { from: words.nodes()? },
        "tick" => Command::Tick(words.time()?),
        "settle" | "rest" | "wait" => wait(verb, words)?,
        "mark" => Command::Mark,
        "expect" => Command::Expect(Expectation::parse(words)?),
        "story" => Command::Story(part(words)?),
        "repeat" => Command::Repeat(words.number("how often")?),
        "end" => Command::EndRepeat,
        "apart" => Command::Apart,
        "plant" => {
            words.must("forgotten-packet")?;
            Command::Plant
        }
        _ => return Err(format!("`{verb}` is no command; they are {VERBS}")),
    })
}

fn wait(verb: &str, words: &mut Words<'_>) -> Result<Command, String> {
    if verb == "wait" {
        let nodes = words.nodes()?;
        let state = words.next("a state")?.to_owned();
        words.must("within")?;
        return Ok(Command::Wait { nodes, state, time: words.time()? });
    }
    words.must("within")?;
    let time = words.time()?;
    Ok(if verb == "settle" { Command::Settle(time) } else { Command::Rest(time) })
}

fn reads(words: &mut Words<'_>) -> Result<Command, String> {
    let client = words.client()?;
    let reading = match words.next("how it reads")? {
        "all" => Reading::Eager,
        "slowly" => Reading::Slow,
        "nothing" => Reading::Stopped,
        word => return Err(format!("`all`, `slowly` or `nothing` expected, not `{word}`")),
    };
    Ok(Command::Reads { client, reading })
}

fn deed(verb: &str) -> Option<Deed> {
    Some(match verb {
        "boot" => Deed::Boot,
        "boot-cut-unwritten" => Deed::BootCut { written: false },
        "boot-cut-written" => Deed::BootCut { written: true },
        "crash" => Deed::Crash,
        "wipe" => Deed::Wipe,
        "restart" => Deed::Restart,
        "pause" => Deed::Pause,
        "suspend" => Deed::Suspend,
        "resume" => Deed::Resume,
        "shutdown" => Deed::Shutdown,
        "may-stop" => Deed::MayStop,
        _ => return None,
    })
}

fn part(words: &mut Words<'_>) -> Result<Part, String> {
    let Some(word) = words.peek() else { return Ok(Part::All) };
    words.next("a part")?;
    match word {
        "rings" => Ok(Part::Rings),
        "views" => Ok(Part::Views),
        "causes" => Ok(Part::Causes),
        _ => Err(format!("`{word}` is no part of the story; they are rings, views, causes")),
    }
}

fn cluster(words: &mut Words<'_>) -> Result<(usize, Vec<Setting>), String> {
    let count = words.number("a number of nodes")? as usize;
    if !(1..=NODES_MAX).contains(&count) {
        return Err(format!("1 to {NODES_MAX} nodes"));
    }
    Ok((count, cluster_settings(words)?))
}

fn cluster_settings(words: &mut Words<'_>) -> Result<Vec<Setting>, String> {
    let mut options = Options::quiet(1);
    settings(words, |setting| setting.apply(&mut options))
}

fn settings(
    words: &mut Words<'_>,
    mut check: impl FnMut(&Setting) -> Result<(), String>,
) -> Result<Vec<Setting>, String> {
    let mut settings = Vec::new();
    while words.peek().is_some() {
        let setting = Setting::parse(words.next("a setting")?);
        check(&setting)?;
        settings.push(setting);
    }
    Ok(settings)
}

/// `clock n1 wall -1000ms`, `clock n1 leap 400ms`.
fn clock(words: &mut Words<'_>) -> Result<Command, String> {
    let node = words.node()?;
    match words.next("`wall` or `leap`")? {
        "leap" => Ok(Command::Leap { node, time: words.time()? }),
        "wall" => {
            let word = words.next("a time with its sign")?;
            let (sign, length) = match word.strip_prefix('-') {
                Some(length) => (-1, length),
                None => (1, word.strip_prefix('+').unwrap_or(word)),
            };
            Ok(Command::Wall { node, ms: sign * (time(length)? / 1_000_000) as i64 })
        }
        word => Err(format!("`wall` or `leap` expected, not `{word}`")),
    }
}

fn client(verb: &str, words: &mut Words<'_>) -> Result<Command, String> {
    if verb == "load" {
        let count = words.number("a number of messages for each")?;
        let len = words.number("their length in bytes")? as usize;
        return Ok(Command::Load { count, len });
    }
    let client = words.client()?;
    if verb == "disconnect" {
        return Ok(Command::Disconnect { client });
    }
    let group = words.next("a group")?.to_owned();
    Ok(match verb {
        "join" => Command::Join { client, group },
        "leave" => Command::Leave { client, group },
        _ => {
            let len = words.number("a length in bytes")? as usize;
            let safe = match words.next("`agreed` or `safe`")? {
                "agreed" => false,
                "safe" => true,
                word => return Err(format!("`agreed` or `safe` expected, not `{word}`")),
            };
            let count = if words.peek().is_some() { words.number("how many")? } else { 1 };
            Command::Send { client, group, len, safe, count }
        }
    })
}

fn link(verb: &str, words: &mut Words<'_>) -> Result<Command, String> {
    if verb == "heal" {
        return Ok(Command::Heal);
    }
    if verb == "partition" {
        let mut sets = vec![words.nodes()?];
        while words.take("|") {
            sets.push(words.nodes()?);
        }
        return Ok(Command::Partition(sets));
    }
    let (from, to, both) = words.route()?;
    Ok(match verb {
        "cut" => Command::Cut { from, to, both },
        "mend" => Command::Mend { from, to, both },
        "clog" => Command::Clog { from, to, both, time: words.time()? },
        "narrow" => {
            let len = words.number("bytes")? as usize;
            Command::Narrow { from, to, both, len, silent: words.take("silently") }
        }
        "spoil" => Command::Spoil { from, to, both, time: words.time()? },
        _ => {
            let begins = !words.take("ends");
            Command::Outage { from, to, both, begins }
        }
    })
}
