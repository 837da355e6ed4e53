use super::*;
use crate::read::schema::Shapes;

fn shape() -> Shape {
    let schema = "action x appliesTo { principal: [User], resource: [Code], context: {
        labels: Set<String>, sensitive: Set<String>, release: Bool, strict: Bool, keep: String, risk: Long, riskMax: Long,
    }};";
    Shapes::parse(schema).unwrap().0.remove("x").unwrap()
}

fn policy(conditions: &str) -> String {
    format!(
        "@id(\"a/b\") @message(\"permit (x) when\") forbid (principal, action in [A::\"x\"], resource) {conditions};"
    )
}

fn needed(conditions: &str) -> Option<(String, String)> {
    let text = policy(conditions);
    let need = Sight::of(&text, &shape()).need?;
    Some((need.name.to_owned(), format!("{:?}", need.value)))
}

#[test]
fn what_a_policy_needs_is_found() {
    for (conditions, name, value) in [
        (r#"when { context.labels.contains("pii") }"#, "labels", r#"OneOf(["pii"])"#),
        (
            r#"when { context . labels // labels
               .contains("pii") && (context.release || context.x == "}") } unless { true || false }"#,
            "labels",
            r#"OneOf(["pii"])"#,
        ),
        (r#"when { context.release && context.labels.contains("pii") }"#, "labels", r#"OneOf(["pii"])"#),
        (
            r#"when { context.risk > 3 && context.risk <= context.riskMax && !context.labels.contains("x") && context.keep == "all" }"#,
            "keep",
            r#"OneOf(["all"])"#,
        ),
        (r#"when { context.keep != "metrics" && !context.release && 1 + 1 > 2 }"#, "release", "Truth(false)"),
        (
            r#"when { context.release && context.x + 1 > 2 && context.keep == "all" }"#,
            "release",
            "Truth(true)",
        ),
        (r#"unless { context.release }"#, "release", "Truth(false)"),
        (r#"unless { !context.release }"#, "release", "Truth(true)"),
        (r#"unless { context.sensitive.isEmpty() }"#, "sensitive", "Empty(false)"),
        (r#"when { !context.sensitive.isEmpty() }"#, "sensitive", "Empty(false)"),
        (r#"unless { !context.labels.contains("pii") } when { context.x }"#, "labels", r#"OneOf(["pii"])"#),
        (r#"when { context.labels.containsAny(["pii", "phi",]) }"#, "labels", r#"OneOf(["pii", "phi"])"#),
        (r#"unless { !context.labels.containsAll(["pii"]) }"#, "labels", r#"OneOf(["pii"])"#),
        (r#"when { !context.labels.containsAny(["x"]) && context.strict }"#, "strict", "Truth(true)"),
        (r#"when { context.labels.containsAll([]) && context.strict }"#, "strict", "Truth(true)"),
        (r#"unless { context.keep != "all" }"#, "keep", r#"OneOf(["all"])"#),
    ] {
        assert_eq!(needed(conditions), Some((name.to_owned(), value.to_owned())), "{conditions}");
    }
}

#[test]
fn where_it_may_speak_or_fail_without_nothing_is_needed() {
    for conditions in [
        "",
        r#"unless { context.labels.contains("pii") }"#,
        r#"when { context.labels.contains("pii") || true }"#,
        r#"when { context.labels.contains("pii") && true || true }"#,
        r#"when { context.labels.contains("pii") == false }"#,
        r#"when { !context.labels.contains("pii") }"#,
        r#"when { context.labels.contains("p\u{69}i") }"#,
        r#"when { context.labels.contains(context.keep) }"#,
        r#"when { context.labels.contains("pii").x }"#,
        r#"when { context.labels.containsAny(["pii", context.keep]) }"#,
        r#"when { context.labels.containsAny(["pii", "a\\b"]) }"#,
        r#"when { context.labels.containsAny(context.labels) }"#,
        r#"when { context.labels.containsAll([]) }"#,
        r#"when { context.labels.containsAny(["1", "2", "3", "4", "5", "6", "7", "8", "9"]) }"#,
        r#"when { principal.labels.contains("pii") }"#,
        r#"when { true } when { context.labels.contains("pii") }"#,
        r#"when { context.keep.contains("pii") && context.release }"#,
        r#"when { !context.keep == "all" && context.release }"#,
        r#"when { context.keep == "a*\u{61}" && context.release }"#,
        r#"when { context.keep like "a*" && context.release }"#,
        r#"when { context.risk > 3 + context.riskMax && context.release }"#,
        r#"when { context.risk > context.keep && context.release }"#,
        r#"when { context.missing && context.release }"#,
        r#"when { (context.release) }"#,
        r#"when { if context.release then true else true }"#,
        r#"unless { context.release && context.strict }"#,
        r#"unless { context.release || context.strict }"#,
    ] {
        assert_eq!(needed(conditions), None, "{conditions}");
    }
}

#[test]
fn whether_conditions_look_at_the_resource_is_seen() {
    let sees = |text: &str| Sight::of(text, &shape()).resource;
    assert!(!sees(&policy("")));
    assert!(!sees(&policy(r#"when { context.keep == "resource" } // resource"#)));
    assert!(sees(&policy(r#"when { context.release } unless { resource in Project::"x" }"#)));
    assert!(sees("forbid (principal"));
    assert_eq!(Sight::of("forbid (principal", &shape()), Sight::UNKNOWN);
}
