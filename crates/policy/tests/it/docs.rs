//! The page on policies names what is shipped.

use crate::golden::forbids;
use crate::world::{SHIPPED, trains};

const PAGE: &str = include_str!("../../../../docs/policy.md");

#[test]
fn the_page_has_a_row_for_every_shipped_rule() {
    for rule in forbids() {
        let rows = PAGE.lines().filter(|line| line.starts_with(&format!("| `{rule}` |"))).count();
        assert_eq!(rows, 1, "docs/policy.md has {rows} rows for {rule}");
    }
    for id in SHIPPED.ids() {
        assert!(PAGE.contains(&format!("`{id}`")), "docs/policy.md does not name {id}");
    }
}

#[test]
fn the_page_says_what_every_context_has() {
    let schema = &SHIPPED.document().files["base/schema.cedarschema"];
    let lines = schema.lines().filter(|line| !line.starts_with("//"));
    for word in lines
        .collect::<Vec<_>>()
        .join("\n")
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '?' && c != ':')
    {
        let Some(name) = word.strip_suffix(':').map(|name| name.trim_end_matches('?')) else { continue };
        if !["principal", "resource", "context"].contains(&name) {
            assert!(PAGE.contains(&format!("`{name}`")), "docs/policy.md does not say what `{name}` is");
        }
    }
}

#[test]
fn the_page_names_everything_that_risk_counts() {
    let everything = crate::world::evaluates()
        .evaluations(20)
        .labelled("pii")
        .labelled("non-commercial")
        .network("*.example.org:443")
        .network("192.0.2.7:443,tls=any")
        .without_landlock()
        .without_limit("cpus")
        .soft("memory")
        .unpinned("code", "dirty")
        .gpus("all")
        .replays();
    let inputs = everything.question().risk.unwrap().inputs;
    assert_eq!(inputs.len(), 15, "the case has not everything");
    for input in inputs {
        assert!(
            PAGE.contains(&format!("| `{}` |", input.fact)),
            "docs/policy.md does not count {}",
            input.fact
        );
    }
    assert!(trains().question().risk.unwrap().inputs.is_empty());
}
