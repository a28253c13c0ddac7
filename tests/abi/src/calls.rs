//! What a function of a shared library can reach, read from its instructions as objdump has them.
//!
//! A function's instructions are followed from its first one, so that what is only there for
//! unwinding, and never runs, does not count. x86-64 only.

use std::collections::{BTreeMap, BTreeSet};

/// The instructions of a library, and what its calls by table lead to.
pub struct Code {
    /// By address.
    instructions: BTreeMap<u64, Instruction>,
    functions: BTreeMap<u64, String>,
    /// Address of an entry of the loader's table, to the name or address that is put there.
    table: BTreeMap<u64, Target>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Inside(u64),
    Outside(String),
}

#[derive(Debug)]
struct Instruction {
    name: String,
    /// Where a jump or call goes, if that can be read from it.
    target: Option<Target>,
    next: u64,
}

impl Code {
    /// Of what `objdump -d --no-show-raw-insn` and `readelf -rW` print.
    pub fn read(listing: &str, relocations: &str) -> Self {
        let mut code = Self {
            instructions: BTreeMap::new(),
            functions: BTreeMap::new(),
            table: relocations.lines().filter_map(relocation).collect(),
        };
        let mut before = None;
        for line in listing.lines() {
            if let Some((address, name)) = line.split_once(" <")
                && let Some(name) = name.strip_suffix(">:")
            {
                let name = name.split('@').next().unwrap_or(name).to_owned();
                code.functions.insert(hex(address), name);
            } else if let Some((address, text)) = line.split_once(":\t") {
                let address = hex(address.trim());
                if let Some(before) = before.and_then(|at| code.instructions.get_mut(&at)) {
                    before.next = address;
                }
                before = Some(address);
                let instruction = code.instruction(text);
                code.instructions.insert(address, instruction);
            }
        }
        code
    }

    /// Names of the functions of other libraries that a function of this one can reach, and
    /// `(unknown)` if it calls or jumps to where cannot be read; names of its own that contain one
    /// of `words` too.
    pub fn reaches(&self, function: &str, words: &[&str]) -> BTreeSet<String> {
        let start = self.functions.iter().find(|(_, name)| *name == function);
        let (start, _) = start.unwrap_or_else(|| panic!("no function {function}"));
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![*start];
        while let Some(address) = open.pop() {
            if !seen.insert(address) {
                continue;
            }
            let name = self.functions.get(&address);
            found.extend(name.filter(|name| words.iter().any(|word| name.contains(word))).cloned());
            let Some(instruction) = self.instructions.get(&address) else {
                found.insert(format!("({address:x})"));
                continue;
            };
            let goes = instruction.name.starts_with('j') || instruction.name.starts_with("call");
            match &instruction.target {
                Some(Target::Inside(target)) => open.push(*target),
                Some(Target::Outside(name)) => _ = found.insert(name.clone()),
                None if goes => _ = found.insert("(unknown)".to_owned()),
                None => {}
            }
            if !["jmp", "ret", "ud2", "hlt"].contains(&&instruction.name[..]) {
                open.push(instruction.next);
            }
        }
        found
    }

    fn instruction(&self, text: &str) -> Instruction {
        let words = text.split_whitespace().filter(|word| !["notrack", "bnd"].contains(word));
        let mut words = words.skip_while(|word| *word == "lock" || word.starts_with("rep"));
        let name = words.next().unwrap_or_default().to_owned();
        let operand = words.next().unwrap_or_default();
        let goes = name.starts_with('j') || name.starts_with("call");
        let target = match (goes, operand.starts_with('*')) {
            (true, false) => Some(Target::Inside(hex(operand))),
            // Through the table: objdump says of which entry.
            (true, true) => {
                let entry = text.split_once("# ").and_then(|(_, entry)| entry.split(' ').next());
                entry.and_then(|entry| self.table.get(&hex(entry))).cloned()
            }
            _ => None,
        };
        Instruction { name, target, next: 0 }
    }
}

fn relocation(line: &str) -> Option<(u64, Target)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (place, kind) = (words.first()?, words.get(2)?);
    match *kind {
        "R_X86_64_RELATIVE" => Some((hex(place), Target::Inside(hex(words.get(3)?)))),
        "R_X86_64_GLOB_DAT" | "R_X86_64_JUMP_SLOT" => {
            let name = words.get(4)?.split('@').next()?;
            Some((hex(place), Target::Outside(name.to_owned())))
        }
        _ => None,
    }
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap_or(u64::MAX)
}
