//! Keys: made here, changed by the engine.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::options::General;
use crate::print;
use crate::table::{list, new_table, shown, text};

/// Keys for sealed datagrams. To change them while all runs: `generate` adds a key to a file, which
/// is then copied to all nodes; `stage` on each of them; `activate` on one; `retire` the old one on
/// each, and delete its line once `status` shows it in no domain. Without --domain that is done in
/// every domain that is sealed.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key: a new file, or one more line of a file that is there
    Generate {
        /// Readable by its owner only when it is new
        file: PathBuf,
    },
    /// Which keys there are, who has them, and what came sealed with others
    Status(OfDomains),
    /// Have the engine read its key file again
    Stage(OfDomains),
    /// Have all members seal with a key that all of them have
    Activate {
        /// Its number
        #[arg(value_parser = clap::value_parser!(u8).range(1..))]
        id: u8,
        #[command(flatten)]
        of: OfDomains,
    },
    /// Have this engine open nothing with a key any more
    Retire {
        /// Its number
        #[arg(value_parser = clap::value_parser!(u8).range(1..))]
        id: u8,
        #[command(flatten)]
        of: OfDomains,
    },
}

#[derive(Debug, Args)]
pub(crate) struct OfDomains {
    /// One of the engine's domains [default: all of them, one after the other]
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
}

impl Key {
    /// Keys are not only shown.
    pub(crate) fn is_change(&self) -> bool {
        !matches!(self, Self::Generate { .. } | Self::Status(_))
    }

    /// What is asked of the engine.
    pub(crate) fn request(&self) -> Value {
        match self {
            Self::Generate { .. } | Self::Status(_) => json!({ "query": "keys" }),
            Self::Stage(_) => json!({ "do": "key-stage" }),
            Self::Activate { id, .. } => json!({ "do": "key-activate", "id": id }),
            Self::Retire { id, .. } => json!({ "do": "key-retire", "id": id }),
        }
    }

    pub(crate) fn domain(&self) -> Option<&str> {
        match self {
            Self::Generate { .. } => None,
            Self::Status(of)
            | Self::Stage(of)
            | Self::Activate { of, .. }
            | Self::Retire { of, .. } => of.domain.as_deref(),
        }
    }

    pub(crate) fn for_people(&self, answer: &Value) -> String {
        let done = match self {
            Self::Generate { .. } | Self::Status(_) => return keys(&answer["keys"]),
            Self::Stage(_) => "the key file was read".to_owned(),
            Self::Activate { id, .. } => {
                format!("all members are asked to seal with key {id}, and do so together")
            }
            Self::Retire { id, .. } => format!(
                "key {id} opens nothing here any more: once `anasazi key status` shows it in no \
                 domain, delete its line in the key file, or the next start has it again"
            ),
        };
        format!("{done}\n\n{}", keys(&answer["keys"]))
    }
}

/// Makes a key; no engine is asked.
pub(crate) fn generate(general: &General, file: &PathBuf) -> Result<(), Fault> {
    let made = anasazi_engine::generate_key(file).map_err(Fault::failed)?;
    let place = file.display();
    let line = if general.json {
        json!({ "done": true, "file": file, "key": made.id.0, "new_file": made.is_new_file })
            .to_string()
    } else if made.is_new_file {
        format!(
            "{place} has key {}, readable by its owner only: give a copy to every node, and name \
             it in seal.key_file",
            made.id
        )
    } else {
        format!(
            "{place} has key {id}, too: give a copy to every node, then `anasazi key stage` on \
             each of them, then `anasazi key activate {id}` on one",
            id = made.id
        )
    };
    print::line(&line)?;
    Ok(())
}

fn keys(keys: &Value) -> String {
    if keys["key"].is_null() {
        return "datagrams are not sealed (seal.mode is \"checksum\"): there are no keys"
            .to_owned();
    }
    let head = format!("{}, {}, key {}", text(&keys["mode"]), text(&keys["cipher"]), keys["key"]);
    let members = list(&keys["members"]);
    let mut table = new_table(&["KEY", "DIGEST", "HERE", "MEMBERS WITH IT", "SEALING"]);
    for key in list(&keys["keys"]) {
        let has = |member: &&Value| list(&member["keys"]).contains(key);
        let seals = |member: &&Value| member["key"] == key["id"];
        let here = if keys["key"] == key["id"] { "seals" } else { "opens" };
        table.add_row([
            text(&key["id"]),
            text(&key["digest"]),
            here.to_owned(),
            format!("{} of {}", members.iter().filter(has).count(), members.len()),
            members.iter().filter(seals).count().to_string(),
        ]);
    }
    let mut lines = vec![head, shown(&table)];
    let silent: Vec<String> = (members.iter().filter(|member| member["key"].is_null()))
        .map(|member| text(&member["node"]))
        .collect();
    if !silent.is_empty() {
        lines.push(format!("not heard of yet: the keys of node {}", silent.join(", ")));
    }
    for missing in list(&keys["missing"]) {
        lines.push(format!(
            "key {} is not here, and {} seals with it: a node that has it already, or a stranger",
            text(&missing["id"]),
            text(&missing["used_by"])
        ));
    }
    let counters = keys["counters"].as_object();
    let counted = counters.into_iter().flatten().filter(|(_, count)| **count != json!(0));
    let counted: Vec<_> = counted.map(|(name, count)| format!("{name} {count}")).collect();
    lines.push(format!("datagrams: {}", counted.join(", ")));
    lines.join("\n")
}
