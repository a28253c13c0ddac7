//! `--check`: says whether the configuration is valid. For people, and with `--json` for programs.

use std::io::Write;

use anasazi_engine::check_rules;
use anasazi_engine::config::{ConfigError, Origin, Problem};
use serde_json::{Value, json};

use crate::configuration::Loaded;
use crate::exit::Exit;

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

/// The same, refused if the rules of access are.
pub(crate) fn with_rules(loaded: Result<Loaded, ConfigError>) -> Result<Loaded, ConfigError> {
    let loaded = loaded?;
    if let Some(path) = &loaded.config.access.file
        && let Err(text) = check_rules(path)
    {
        let origin = loaded.config.effective().iter().find(|of| of.key == "access.file");
        let origin = origin.map_or(Origin::Default, |of| of.origin.clone());
        let key = Some("access.file".to_owned());
        return Err(Problem { key, origin, text, os_error: None }.into());
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
