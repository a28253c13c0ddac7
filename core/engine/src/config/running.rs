//! A configuration whose domains change while the engine runs.

use super::error::{ConfigError, Origin, Problem};
use super::kind::{Kind, Value};
use super::settings::{Owner, Setting};
use super::valid::ValidConfig;
use super::{domain, file};

impl ValidConfig {
    /// The same with one more domain, of these keys (as in its table, `ring.window`) and values.
    ///
    /// # Errors
    /// As for one in a configuration file.
    pub fn with_domain(
        &self,
        name: &str,
        settings: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let table = format!("{}.{name}", domain::TABLE);
        if let Some(refusal) = domain::refuse_name(name) {
            return Err(Problem::of_key(&table, Origin::Call, refusal).into());
        }
        let mut all = self.settings().clone();
        all.add_domain(name);
        for (key, value) in settings {
            let key = format!("{table}.{key}");
            let of_domain =
                matches!(domain::look_up(&key), domain::Named::Key(Owner::Domain(_), _));
            if !of_domain {
                let text = file::unknown(&key, false);
                return Err(Problem::of_key(&key, Origin::Call, text).into());
            }
            all.set(&key, value)?;
        }
        all.validate_running()
    }

    /// The same without one of its domains.
    pub fn without_domain(&self, name: &str) -> Self {
        let mut all = self.settings().clone();
        all.remove_domain(name);
        // With fewer domains there is less that does not go together.
        all.validate_running().unwrap_or_else(|_| self.clone())
    }

    /// The table of a domain, as it stands in a configuration file; with what was set for it.
    pub fn section(&self, name: &str) -> String {
        let mut text = format!("[{}.{name}]\n", domain::TABLE);
        for setting in self.settings().own_of_domain(name) {
            text.push_str(&format!("{} = {}\n", setting.key.name, toml(setting)));
        }
        text
    }
}

fn toml(setting: &Setting) -> String {
    let shown = setting.key.kind.show(&setting.value);
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    match &setting.value {
        Value::Boolean(_) => shown,
        Value::Integer(number) if setting.key.kind != Kind::Mode => number.to_string(),
        Value::Integers(_) => format!("[{shown}]"),
        Value::Addresses(all) => list(all.iter().map(|at| quoted(&at.to_string())).collect()),
        Value::Streams(all) => list(all.iter().map(|at| quoted(&at.to_string())).collect()),
        _ => quoted(&shown),
    }
}

/// JSON and TOML write text alike.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::Settings;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_added_is_checked_as_in_a_file_and_its_section_is_one() {
        let config = Settings::new().validate().expect("the defaults fit");
        let peers = ("transport.peers", "10.0.0.1:7001,10.0.0.2:7001");
        let set =
            pairs(&[("preset", "wan"), ("ring.window", "64"), ("trace.file", "/x\"y"), peers]);
        let with = config.with_domain("slow", &set).expect("it is in order");
        assert_eq!(with.domains.len(), 1);
        let section = with.section("slow");
        let text = "[domain.slow]\npreset = \"wan\"\nring.window = 64\ntrace.file = \"/x\\\"y\"\n\
                    transport.peers = [\"10.0.0.1:7001\", \"10.0.0.2:7001\"]\n";
        assert_eq!(section, text);
        let mut read = Settings::new();
        read.load_text(&section, "printed").expect("it can be read");
        assert_eq!(read.validate().expect("it is in order").domains, with.domains);
        assert!(with.without_domain("slow").domains.is_empty());
        let bare = config.with_domain("bare", &[]).expect("nothing has to be set");
        assert_eq!(bare.section("bare"), "[domain.bare]\n");
    }

    #[test]
    fn what_is_wrong_is_refused_with_what_is_allowed() {
        let config = Settings::new().validate().expect("the defaults fit");
        let refused = |name: &str, key: &str, value: &str| {
            let with = config.with_domain(name, &pairs(&[(key, value)]));
            with.expect_err("it is refused").to_string()
        };
        assert!(refused("slow", "ring.windw", "64").contains("domain.slow.ring.window"));
        assert!(refused("slow", "ring.window", "many").contains("allowed"));
        assert!(refused("slow", "client.listen", "/x").contains("for the whole engine"));
        assert!(refused("a.b", "ring.window", "64").contains("is no name for a domain"));
        assert!(refused("default", "ring.window", "64").contains("top level"));
        assert!(refused("slow", "a.b.ring", "64").contains("unknown key"));
        let taken = pairs(&[("transport.bind", "127.0.0.1:7777")]);
        let with = config.with_domain("slow", &taken).expect("nobody has that port");
        let text = with.with_domain("slower", &taken).expect_err("one has it").to_string();
        assert!(text.contains("two domains cannot have one address and port"), "{text}");
    }
}
