//! What a bridge may be, and what is said of one that may not.

use super::super::Settings;
use super::*;

const DOMAINS: &str = "[domain.fast]\n[domain.slow]\n[domain.far]\n";

fn read(bridges: &str) -> Result<ValidConfig, String> {
    let mut settings = Settings::new();
    let text = format!("{DOMAINS}{bridges}");
    settings.load_text(&text, "a.toml").map_err(|error| error.to_string())?;
    settings.validate().map_err(|error| error.to_string())
}

fn refused(bridges: &str) -> String {
    read(bridges).expect_err("it is refused")
}

#[test]
fn a_bridge_is_read_and_both_directions_are_two() {
    let both = "[bridge.up]\nfrom = \"fast/prices\"\nto = \"prices\"\nrate_per_s = 100\n\
                latest_key_len = 8\nqueue_len = \"1 MiB\"\n\
                [bridge.down]\nfrom = \"prices\"\nto = \"fast/prices\"\n\
                prefix = \"x\"\nsafe = true\n";
    let config = read(both).expect("it is in order");
    let [down, up] = &config.bridges[..] else { panic!("two bridges") };
    assert_eq!((&up.name[..], up.rate_per_s, up.queue_len), ("up", 100, 1 << 20));
    assert_eq!((up.from.to_string(), up.to.to_string()), ("fast/prices".into(), "prices".into()));
    assert_eq!((&down.prefix[..], down.safe, down.hops_max), ("x", true, 4));
    let shown = config.effective().iter().find(|row| row.key == "bridge.up.rate_per_s");
    assert_eq!(shown.map(|row| &row.value[..]), Some("100"));
}

#[test]
fn what_makes_no_bridge_is_refused_in_words() {
    let with =
        |from: &str, to: &str| refused(&format!("[bridge.up]\nfrom = \"{from}\"\nto = \"{to}\"\n"));
    assert!(with("fast/g", "fsat/g").contains("no domain \"fsat\"; it has: default, far, fast"));
    assert!(with("fast/g", "fast/h").contains("both ends are in the domain \"fast\""));
    assert!(with("fast/g", "fast/g").contains("both ends"));
    assert!(with("fast/", "g").contains("names a domain, and no group in it"));
    assert!(with("fast/g", &format!("slow/{}", "x".repeat(256))).contains("256 bytes"));
    let missing = refused("[bridge.up]\nfrom = \"fast/g\"\n");
    assert!(missing.contains("bridge.up.to: not given; allowed"), "{missing}");
    assert!(refused("[bridge.Up]\n").contains("is no name for a bridge"));
    assert!(refused("[bridge]\nup = 1\n").contains("it is a table: [bridge.up]"));
    assert!(refused("[bridge.up]\nform = \"x\"\n").contains("did you mean bridge.up.from?"));
    assert!(refused("[bridge.up]\nx.y = 1\n").contains("unknown key"));
    assert!(refused("[bridge.up]\noverflow = \"block\"\n").contains("allowed: drop-oldest"));
    let small = "[bridge.up]\nfrom = \"fast/g\"\nto = \"slow/g\"\nqueue_len = 1024\n";
    assert!(refused(small).contains("too little for one message"));
}

#[test]
fn circles_are_refused() {
    let bridge = |name: &str, from: &str, to: &str, prefix: &str| {
        format!("[bridge.{name}]\nfrom = \"{from}\"\nto = \"{to}\"\nprefix = \"{prefix}\"\n")
    };
    let way = bridge("a", "fast/g", "slow/g", "") + &bridge("b", "slow/g", "far/g", "");
    assert!(read(&way).is_ok());
    // What leads elsewhere has no part in it.
    let way = way + &bridge("aside", "fast/h", "slow/h", "");
    for (from, to, words) in [
        ("far/g", "fast/g", "bridges a, b lead from fast/g back to far/g: a circle"),
        ("fast/g", "far/g", "bridges a, b lead from fast/g to far/g already"),
    ] {
        let text = refused(&(way.clone() + &bridge("c", from, to, "")));
        assert!(text.contains(&format!("bridge.c.to: {words}")), "{text}");
        assert!(text.contains("(a: fast/g -> slow/g, b: slow/g -> far/g)"), "{text}");
    }
    let apart = bridge("a", "fast/g", "slow/g", "") + &bridge("b", "far/g", "slow/g", "");
    let text = refused(&(apart + &bridge("c", "far/g", "fast/g", "")));
    let words = "bridges b, a join far/g and fast/g already: messages would arrive twice";
    assert!(text.contains(words), "{text}");
    assert!(read(&(way.clone() + &bridge("c", "far/h", "fast/g", ""))).is_ok());
    let twice = bridge("a", "fast/g", "slow/g", "EUR") + &bridge("b", "fast/g", "slow/g", "EURUSD");
    assert!(refused(&twice).contains("arrive twice"));
    let apart = bridge("a", "fast/g", "slow/g", "EUR") + &bridge("b", "fast/g", "slow/g", "USD");
    assert!(read(&apart).is_ok());
}

#[test]
fn a_domain_of_a_bridge_may_go_from_a_running_engine_and_come_back() {
    let config = read("[bridge.up]\nfrom = \"fast/g\"\nto = \"slow/g\"\n").expect("in order");
    let without = config.without_domain("slow");
    assert_eq!((without.domains.len(), without.bridges.len()), (2, 1));
    let again = without.with_domain("slow", &[]).expect("it comes back");
    assert_eq!(again.domains.len(), 3);
    let further = without.without_domain("fast").with_domain("other", &[]);
    assert_eq!(further.expect("both ends are gone").domains.len(), 2);
}
