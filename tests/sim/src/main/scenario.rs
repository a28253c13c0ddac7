//! `anasazi-sim scenario`: files of the small language, wherever they are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anasazi_protocol::planted::set as plant;
use anasazi_sim::cluster::Cell;
use anasazi_sim::scenario::{difference, parse, render, run};
use clap::Args;

use crate::print;

/// Which files.
#[derive(Args)]
pub struct Arguments {
    /// The files; tests/scenarios/README.md describes their language.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write the output into the files where it is not what they say.
    #[arg(long)]
    update: bool,
    /// Say which changes of state there were, and on what input.
    #[arg(long)]
    changes: bool,
    /// Plant this bug first; see `planted`.
    #[arg(long, conflicts_with = "update")]
    planted: Option<String>,
}

impl Arguments {
    /// Runs them one after the other and prints each with its output; whether all of them hold.
    pub fn play(&self) -> bool {
        if let Err(unknown) = plant(self.planted.as_deref()) {
            eprintln!("{unknown}");
            return false;
        }
        let mut good = 0;
        for path in &self.files {
            let result = play(path, self.update, |text, cells| {
                print(text);
                let cells = cells.iter().filter(|_| self.changes);
                cells.for_each(|(row, from, on)| eprintln!("{row} from {from} on {on}"));
            });
            match result {
                Ok(()) => good += 1,
                Err(what) => eprintln!("{what}"),
            }
        }
        eprintln!("{good} of {} files hold", self.files.len());
        good == self.files.len()
    }
}

/// One file. `told` gets it as it would be with its output, if it comes to its end.
fn play(path: &Path, update: bool, told: impl FnOnce(&str, &BTreeSet<Cell>)) -> Result<(), String> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| format!("{name} cannot be read: {error}"))?;
    let scenario = parse(&name, &text)?;
    let outcome = run(&scenario)?;
    let now = render(&scenario, &outcome.printed);
    told(now.trim_end(), &outcome.cells);
    if update && outcome.holds(&scenario, &now).is_ok() {
        if difference(&text, &now).is_some() {
            fs::write(path, &now).map_err(|error| format!("{name} cannot be written: {error}"))?;
        }
        return Ok(());
    }
    outcome.holds(&scenario, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "title Three\nring 3\nsend n1 g 100 agreed\nrest within 1s\nstory\n";

    /// What came of a file with this text, what was printed, and the file afterwards.
    fn played(name: &str, text: &str, update: bool) -> (Result<(), String>, String, String) {
        let path = std::env::temp_dir().join(format!("{}-{name}.txt", std::process::id()));
        fs::write(&path, text).expect("a file can be written");
        let mut told = String::new();
        let result = play(&path, update, |text, _| told = text.to_owned());
        let after = fs::read_to_string(&path).expect("it is there");
        fs::remove_file(&path).expect("it is there");
        (result, told, after)
    }

    #[test]
    fn a_file_without_output_is_told_with_it_and_holds() {
        let (result, told, after) = played("good", GOOD, false);
        assert_eq!(result, Ok(()));
        assert!(told.ends_with("story\n> n1 n2 n3\n>   1 to g from n1"), "{told}");
        assert_eq!(after, GOOD);
    }

    #[test]
    fn other_output_does_not_hold_until_it_is_updated() {
        let wrong = format!("{GOOD}> n1 n2 n3\n>   2 to g from n1\n");
        let (result, told, after) = played("wrong", &wrong, false);
        let what = result.unwrap_err();
        assert!(what.contains("from line 7 on:\n  - >   2 to g from n1"), "{what}");
        assert!(told.ends_with("  1 to g from n1"), "{told}");
        assert_eq!(after, wrong);
        let (result, told, after) = played("wrong", &wrong, true);
        assert_eq!((result, after), (Ok(()), told + "\n"));
    }

    #[test]
    fn what_is_wrong_names_the_file_and_the_line() {
        let (result, ..) = played("bad", "title x\n\nring 5 mtu=99\n", false);
        let what = result.unwrap_err();
        assert!(what.contains("-bad.txt:3: `99` is not allowed for `mtu`"), "{what}");
        let missing = play(Path::new("/nowhere/x.txt"), false, |_, _| {}).unwrap_err();
        assert!(missing.starts_with("/nowhere/x.txt cannot be read: No such file"), "{missing}");
    }
}
