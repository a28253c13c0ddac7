//! `--check`: says whether the configuration is valid. For people, and with `--json` for programs.

use std::io::Write;

use anasazi_engine::config::{ConfigError, Origin, Problem};
use anasazi_engine::domains::DEFAULT_NAME;
use anasazi_engine::{check_keys, check_rules};
use serde_json::{Value, json};

use crate::configuration::Loaded;
use crate::exit::Exit;
use crate::options::Options;
use crate::privileges;

pub(crate) fn report(loaded: &Result<Loaded, ConfigError>, as_json: bool) -> Exit {
    let text = match loaded {
        _ if as_json => json_report(loaded).to_string(),
        Ok(loaded) => accepted(loaded),
        Err(error) => error.to_string(),
    };
    // Nobody left to tell if the output is closed; the exit code still says it.
    let _ = if loaded.is_ok() || as_json {
        writeln!(std::io::stdout(), "{text}")
    } else {
        writeln!(std::io::stderr(), "{text}")
    };
    if loaded.is_ok() { Exit::Clean } else { Exit::Configuration }
}

/// The same, refused if files that it names are not in order: the rules of access, and keys. They
/// are read as the user that would run, since others may read other files.
pub(crate) fn with_files(
    loaded: Result<Loaded, ConfigError>,
    options: &Options,
) -> Result<Loaded, ConfigError> {
    let loaded = loaded?;
    let config = &loaded.config;
    privileges::give_up(options, config).map_err(|(_, text)| Problem {
        key: None,
        origin: Origin::Call,
        text,
        os_error: None,
    })?;
    let problem = |key: String, text: String| {
        let origin = config.effective().iter().find(|of| of.key == key);
        let origin = origin.map_or(Origin::Default, |of| of.origin.clone());
        Problem { key: Some(key), origin, text, os_error: None }
    };
    if let Some(path) = &config.access.file {
        check_rules(path).map_err(|text| problem("access.file".to_owned(), text))?;
    }
    for domain in config.all_domains() {
        let table = match &domain.name[..] {
            DEFAULT_NAME => String::new(),
            name => format!("domain.{name}."),
        };
        let key = format!("{table}seal.key_file");
        check_keys(&domain.seal).map_err(|text| problem(key, text))?;
    }
    Ok(loaded)
}

fn accepted(loaded: &Loaded) -> String {
    let mut lines = vec![match &loaded.file {
        Some(file) => format!("{}: valid", file.display()),
        None => "valid (no configuration file)".to_owned(),
    }];
    lines.extend(loaded.config.warnings().iter().map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}

fn json_report(loaded: &Result<Loaded, ConfigError>) -> Value {
    match loaded {
        Ok(Loaded { config, file }) => json!({
            "valid": true,
            "file": file,
            "warnings": config.warnings(),
            "config": config.effective().iter().map(|effective| json!({
                "key": effective.key,
                "value": effective.value,
                "origin": effective.origin.to_string(),
            })).collect::<Vec<_>>(),
        }),
        Err(error) => json!({
            "valid": false,
            "problems": error.problems().iter().map(problem).collect::<Vec<_>>(),
        }),
    }
}

fn problem(problem: &Problem) -> Value {
    let mut fields = json!({
        "key": problem.key,
        "text": problem.text,
        "origin": problem.origin.to_string(),
    });
    if let Origin::File { path, line, column } = &problem.origin {
        fields["file"] = json!(**path);
        if *line > 0 {
            fields["line"] = json!(line);
            fields["column"] = json!(column);
        }
    }
    fields
}
