//! The output stands in the file itself, under its command, behind `> `.

use super::{Printed, Scenario};

/// The file as it should be.
pub fn render(scenario: &Scenario, printed: &Printed) -> String {
    let mut text = String::new();
    for (number, line) in scenario.lines.iter().enumerate() {
        text.push_str(line);
        text.push('\n');
        for output in printed.get(&number).into_iter().flatten() {
            text.push_str("> ");
            text.push_str(output);
            text.push('\n');
        }
    }
    text
}

/// What differs, from the first line that does: a few lines of both.
pub fn difference(file: &str, now: &str) -> Option<String> {
    if file == now {
        return None;
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (file.lines().collect(), now.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let back = |lines: &[&str]| {
        lines.iter().rev().zip(old.iter().rev()).take_while(|(a, b)| a == b).count()
    };
    let tail = back(&new).min(old.len() - same).min(new.len() - same);
    let mut text = format!("from line {} on:\n", same + 1);
    let shown = |sign: char, lines: &[&str], text: &mut String| {
        for line in &lines[same..lines.len() - tail] {
            text.push_str(&format!("  {sign} {line}\n"));
        }
    };
    shown('-', &old, &mut text);
    shown('+', &new, &mut text);
    text.push_str("  (- is in the file, + is what happens; UPDATE=1 or --update writes it)\n");
    Some(text)
}
