//! Systematic exploration: from one start, every order in which datagrams may arrive, be lost or be
//! doubled, timers may run out, messages may be sent and nodes may die, up to a bound; and the
//! oracle on every path. What random runs hit by luck is hit here because it is there.
//!
//! A path ends where everything is at rest, or after so many choices ([`Bounds::depth`]; a step
//! without an alternative is none). A state reached twice, with the same history at every process,
//! is followed once: what one node does commutes with what another does, so most paths meet again.
//! At the end of a path the oracle reads its log; of some paths ([`Bounds::settle_every`]) the end
//! is healed and run until all nodes are in one ring, which also finds those that are stuck.
//!
//! It was shown to find something. Of the planted bugs, with three nodes, one message, one fault
//! and 12 choices: `ghost_members` after 1,209 states, `safe_as_agreed` after 4,042,
//! `aru_off_by_one` after 6,829 (a ring that never rests), `last_delivered_again` after 46,670. Not
//! with two nodes, four messages, two faults and 9 choices: `install_in_one_visit`, which takes
//! longer paths.
//!
//! | file | what |
//! |---|---|
//! | `world` | a small cluster at one moment, and what may happen next |
//! | `digest` | fingerprints of 128 bits |

mod digest;
mod world;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::time::{Duration, Instant};

pub use world::{Budget, Step, World};

/// Steps without an alternative, one after the other, after which a path counts as endless.
const FORCED_MAX: u32 = 2_000;

/// Between two reports of what was seen so far.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Steps of a failure that are shown.
const STORY_LINES_MAX: usize = 80;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// All nodes in one ring, at rest.
    Ring,
    /// All nodes started at this moment.
    Boot,
}

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many nodes.
    pub nodes: usize,
    /// Where to begin.
    pub start: Start,
    /// What may go wrong on one path.
    pub budget: Budget,
    /// Choices on one path.
    pub depth: u16,
    /// One of so many path ends is healed and must settle.
    pub settle_every: u64,
    /// Stop after this, whatever is left.
    pub limit: Option<Duration>,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Different states.
    pub states: u64,
    /// Steps taken.
    pub steps: u64,
    /// Path ends that the oracle judged.
    pub paths: u64,
    /// Of those, ended at rest.
    pub at_rest: u64,
    /// Of those, healed and run until they settled.
    pub settled: u64,
    /// Most choices on one path.
    pub deepest: u16,
    /// Steps that led to a state that was known.
    pub pruned: u64,
    /// Nothing within the bounds was left out.
    pub complete: bool,
    /// What was found: the first only.
    pub failure: Option<Failure>,
}

/// A path that must not be, step by step, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The steps, in words.
    pub story: Vec<String>,
    /// What the oracle says, or that nodes are stuck.
    pub what: String,
}

/// Explores everything within the bounds.
///
/// # Errors
/// The start cannot be reached.
pub fn explore(bounds: Bounds) -> Result<Report, String> {
    explore_and_tell(bounds, |_| {})
}

/// The same; `progress` is told every ten seconds what was seen so far.
///
/// # Errors
/// The start cannot be reached.
pub fn explore_and_tell(bounds: Bounds, progress: impl FnMut(&Report)) -> Result<Report, String> {
    let mut world = match bounds.start {
        Start::Ring => World::in_one_ring(bounds.nodes)?,
        Start::Boot => World::booted(bounds.nodes),
    };
    if bounds.start == Start::Boot {
        world.join();
    }
    world.allow(bounds.budget);
    let mut explorer = Explorer {
        start: world.clone(),
        bounds,
        known: HashMap::new(),
        path: Vec::new(),
        report: Report::default(),
        began: Instant::now(),
        told: Instant::now(),
        progress,
    };
    explorer.report.complete = true;
    explorer.follow(world, 0);
    Ok(explorer.report)
}

struct Explorer<P> {
    start: World,
    bounds: Bounds,
    /// States, and how many choices were left when each was followed.
    known: HashMap<u128, u16>,
    path: Vec<Step>,
    report: Report,
    began: Instant,
    told: Instant,
    progress: P,
}

impl<P: FnMut(&Report)> Explorer<P> {
    /// Follows every path from here; the steps taken are taken back from `path` in the end.
    fn follow(&mut self, mut world: World, depth: u16) {
        let taken = self.path.len();
        for _ in 0..FORCED_MAX {
            let steps = if world.is_at_rest() { Vec::new() } else { world.choices() };
            match steps.as_slice() {
                [step] => {
                    self.take(&mut world, *step);
                    if !self.is_new(&world, depth) {
                        self.path.truncate(taken);
                        return;
                    }
                }
                steps => {
                    if steps.is_empty() || depth == self.bounds.depth {
                        self.end(world, steps.is_empty());
                    } else {
                        self.branch(&world, steps, depth + 1);
                    }
                    self.path.truncate(taken);
                    return;
                }
            }
        }
        self.fail(format!("{FORCED_MAX} steps without a choice, and no end"));
        self.path.truncate(taken);
    }

    fn branch(&mut self, world: &World, steps: &[Step], depth: u16) {
        self.report.deepest = self.report.deepest.max(depth);
        for step in steps {
            if self.is_over() {
                return;
            }
            self.tell();
            let mut next = world.clone();
            self.take(&mut next, *step);
            if self.is_new(&next, depth) {
                self.follow(next, depth);
            }
            self.path.pop();
        }
    }

    fn take(&mut self, world: &mut World, step: Step) {
        self.report.steps += 1;
        self.path.push(step);
        world.apply(step);
        // Here, and not at the path's end: it may come to where another one has been.
        if let Some((node, row)) = world.contradiction() {
            self.fail(format!("n{}: {row}", node + 1));
        }
    }

    /// The state is new, or was followed less far.
    fn is_new(&mut self, world: &World, depth: u16) -> bool {
        let left = self.bounds.depth - depth;
        match self.known.entry(world.fingerprint()) {
            Entry::Vacant(entry) => {
                entry.insert(left);
                self.report.states += 1;
                true
            }
            Entry::Occupied(mut entry) if *entry.get() < left => {
                entry.insert(left);
                true
            }
            Entry::Occupied(_) => {
                self.report.pruned += 1;
                false
            }
        }
    }

    /// The end of a path.
    fn end(&mut self, mut world: World, at_rest: bool) {
        self.report.paths += 1;
        self.report.at_rest += u64::from(at_rest);
        let settle = self.report.paths.is_multiple_of(self.bounds.settle_every.max(1));
        if settle {
            self.report.settled += 1;
            if let Err(stuck) = world.settle() {
                return self.fail(stuck);
            }
        }
        let quiesced = world.are_together() && (at_rest || settle);
        if let Err(violation) = world.judge(quiesced) {
            self.fail(violation.to_string());
        }
    }

    fn fail(&mut self, what: String) {
        let mut world = self.start.clone();
        let mut story = Vec::new();
        for step in &self.path {
            let words = world.describe(*step);
            world.apply(*step);
            story.push(format!("{world}  {words}"));
        }
        self.report.failure.get_or_insert(Failure { story, what });
    }

    fn tell(&mut self) {
        if self.told.elapsed() >= PROGRESS_EVERY {
            self.told = Instant::now();
            (self.progress)(&self.report);
        }
    }

    fn is_over(&mut self) -> bool {
        let late = self.bounds.limit.is_some_and(|limit| self.began.elapsed() >= limit);
        if late || self.report.failure.is_some() {
            self.report.complete = false;
        }
        !self.report.complete
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(failure) = &self.failure {
            let hidden = failure.story.len().saturating_sub(STORY_LINES_MAX);
            let story = &failure.story[hidden..];
            writeln!(f, "{hidden} steps, and then\n{}\n{}", story.join("\n"), failure.what)?;
        }
        write!(
            f,
            "states={} steps={} paths={} at_rest={} settled={} deepest={} pruned={} complete={} \
             violations={}",
            self.states,
            self.steps,
            self.paths,
            self.at_rest,
            self.settled,
            self.deepest,
            self.pruned,
            if self.complete { "yes" } else { "no" },
            u8::from(self.failure.is_some()),
        )
    }
}
