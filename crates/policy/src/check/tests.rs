use super::*;
use crate::Severity;

mod settings;

fn document<const N: usize>(files: [(&str, &str); N]) -> PolicyDocument {
    PolicyDocument::new(files.map(|(path, text)| (path.to_owned(), text.to_owned())).into())
}

fn rendered(document: &PolicyDocument) -> String {
    check(document).iter().map(|problem| problem.render(document)).collect()
}

/// The problems of `text` as `policy/own.cedar`: place, length, message and help.
fn problems(text: &str) -> Vec<(usize, usize, usize, String, String)> {
    let found = check(&document([("policy/own.cedar", text)])).into_iter();
    found.map(|one| (one.line, one.column, one.length, one.message, one.help)).collect()
}

#[track_caller]
fn assert_problem(text: &str, at: (usize, usize, usize), message: &str, help: &str) {
    let found = problems(text);
    let (message, help) = (message.to_owned(), help.to_owned());
    assert_eq!(found, [(at.0, at.1, at.2, message, help)]);
}

#[test]
fn the_shipped_policies_have_no_problem() {
    assert_eq!(super::problems(&document([]), Which::All), []);
    assert!(document([]).has_this_base());
    let mut other = document([]);
    other.files.insert("base/more.cedar".to_owned(), "permit (principal, action, resource);".to_owned());
    assert!(!other.has_this_base());
    assert_ne!(rendered(&other), "");
}

#[test]
fn leaving_out_the_shipped_ones_leaves_out_no_problem_of_the_project() {
    let link = "format = 'aseptic.settings/1'\n[[link]]\nid = 'own/x'\ntemplate = 'dataset/closed'\nresource = 'Host::\"x\"'\n";
    for (path, text) in [
        ("policy/own.cedar", "@id(\"own/x\") forbid (principal, action == Action::\"Mont\", resource);"),
        ("policy/own.cedar", "@id(\"own/x\") @message(\"{nothing}\") forbid (principal, action, resource);"),
        ("policy/own.cedar", "@id(\"role/x\") forbid (principal, action, resource);"),
        ("policy/settings.toml", link),
    ] {
        let document = document([(path, text)]);
        let found = super::problems(&document, Which::All);
        assert!(!found.is_empty(), "{text}");
        assert_eq!(super::problems(&document, Which::OfProject), found, "{text}");
    }
}

#[test]
fn every_template_can_be_linked() {
    let reading = Reading::of(&document([]));
    assert!(reading.templates.len() >= 8);
    for (id, template) in &reading.templates {
        let Body::Text(text) = &template.body else { panic!("{id}") };
        let kinds: &[&str] = match id.split('/').next() {
            Some("dataset") => &["Dataset", "Version", "Project"],
            Some("host") => &["Host", "Endpoint"],
            _ => &["Project"],
        };
        for kind in kinds {
            let mut settings =
                format!("format = 'aseptic.settings/1'\n[[link]]\nid = 'own/x'\ntemplate = '{id}'\n");
            for (slot, value) in
                [("principal", "Group::\"lab\"".to_owned()), ("resource", format!("{kind}::\"x\""))]
            {
                if text.contains(&format!("?{slot}")) {
                    settings.push_str(&format!("{slot} = '{value}'\n"));
                }
            }
            let document = document([("policy/settings.toml", &settings)]);
            assert_eq!(rendered(&document), "", "{id} with {kind}");
        }
    }
}

#[test]
fn what_the_schema_does_not_know_is_named_with_the_nearest() {
    let text =
        "@id(\"own/x\")\nforbid (principal, action == Action::\"Mount\", resource)\nwhen { context.presnt };";
    let document = document([("policy/own.cedar", text)]);
    let [problem] = check(&document).try_into().unwrap();
    assert_eq!(
        problem.render(&document),
        "error: `presnt` is not in the context of `Action::\"Mount\"`\n \
         --> policy/own.cedar:3:8\n  \
           |\n\
         3 | when { context.presnt };\n  \
           |        ^^^^^^^^^^^^^^\n  \
           = help: did you mean `present`?\n"
    );
}

/// Cedar says it for each of the thirty actions that there are.
#[test]
fn what_no_action_or_only_some_actions_have_is_said_once() {
    let policy =
        |condition: &str| format!("@id(\"own/x\")\nforbid (principal, action, resource)\n{condition}");
    let others = |action: &str, more: usize| {
        format!(
            "is not in the context of `Action::\"{action}\"` and of {more} others that the policy speaks of"
        )
    };
    let actions = Reading::of(&document([])).shapes.0.len();
    assert_problem(
        &policy("when { context.rsk > 3 };"),
        (3, 8, 11),
        &format!("`rsk` {}", others("Accept", actions - 1)),
        "did you mean `risk`?",
    );
    assert_problem(
        &policy("when { context.risk > 3 };"),
        (3, 8, 12),
        &format!("`risk` {}", others("Accept", actions - 2)),
        "name the actions that have it, which are `Action::\"Start\"`, or begin with `context has risk &&`",
    );
    assert_eq!(problems(&policy("when { context has risk && context.risk > 3 };")), []);
    let two = "@id(\"own/x\")\nforbid (principal, action in [Action::\"View\", Action::\"Stop\"], resource) when { context.a };";
    assert_problem(
        two,
        (2, 81, 9),
        "`a` is not in the context of `Action::\"Stop\"` and of another action that the policy speaks of",
        "name the action; `docs/policy.md` lists the context of each",
    );
}

#[test]
fn a_quote_that_is_missing_is_named_where_it_is_missing() {
    let rest = "forbid (principal, action, resource);\n@id(\"own/y\") forbid (principal, action, resource);";
    let text = format!("@id(\"own/x\")\n@message(\"世界)\n@advice(\"a\")\n{rest}");
    assert_problem(&text, (2, 10, 4), "this text has no end", "end it with `\"`");
    let last = "@id(\"own/x\") forbid (principal, action, resource) when { principal == User::\"ada };";
    assert_problem(last, (1, 77, 7), "this text has no end", "end it with `\"`");
    assert_problem(
        "@id(\"own/x\")\r\n\t@advice(\"a\\qb\") forbid (principal, action, resource);\r\n",
        (2, 12, 2),
        "the input `\\q` is not a valid escape",
        "write `\\\\` for a backslash, `\\\"` for a quote",
    );
    assert_problem(
        "\u{feff}@id(\"own/x\") forbid (principal, action, resource);",
        (1, 1, 1),
        "the file begins with a byte order mark",
        "save the file as UTF-8 without it",
    );
    assert_eq!(problems("@id(\"own/x\") @message(\"two\nlines\") forbid (principal, action, resource);"), []);
}

#[test]
fn an_action_that_there_is_not() {
    assert_problem(
        "@id(\"own/x\")\nforbid (principal, action == Action::\"Mont\", resource);",
        (2, 30, 14),
        "unrecognized action `Action::\"Mont\"`",
        "did you mean `Action::\"Mount\"`?",
    );
}

#[test]
fn a_policy_that_is_none_is_shown_where_it_ends_to_be_one() {
    assert_problem(
        "@id(\"own/x\")\nforbid (principal, action, resource)\nwhen { 1 == };\n",
        (3, 13, 1),
        "unexpected token `}`",
        "expected `!`, `(`, `-`, `[`, `{`, `false`, identifier, `if`, number, `?principal`, `?resource`, string literal, or `true`",
    );
    assert_eq!(problems("@id(\"own/x\")\nforbid (principal, action, resource)")[0].0, 2);
    assert_eq!(problems("\n\nforbit (principal, action, resource);")[0].0, 3);
}

#[test]
fn a_project_may_only_forbid() {
    assert_problem(
        "@id(\"own/x\")\n  permit (principal, action, resource);",
        (2, 3, 6),
        "a policy of a project may only forbid",
        "write what must not be as `forbid`; `policy/roles.toml` says who may do what",
    );
}

#[test]
fn a_template_of_a_project() {
    let found = problems("@id(\"own/x\") forbid (principal in ?principal, action, resource);");
    assert_eq!(found[0].3, "a policy of a project cannot be a template");
}

const REST: &str = "forbid (principal, action == Action::\"Mount\", resource);";

#[test]
fn ids_are_needed_their_own_and_one_each() {
    let message = |text: &str| problems(text)[0].3.clone();
    assert_eq!(message(REST), "a policy has no `@id`");
    assert_eq!(message(&format!("@id(\"run/x\") {REST}")), "ids of the group `run` are of shipped policies");
    assert_eq!(
        message(&format!("@id(\"dataset/x\") {REST}")),
        "ids of the group `dataset` are of shipped policies"
    );
    assert_eq!(
        message(&format!("@id(\"policy/x\") {REST}")),
        "ids of the group `policy` are of shipped policies"
    );
    for id in ["x", "Own/x", "own/", "/x", "own/x/y", "own/\u{202e}x", "own/x y"] {
        assert!(message(&format!("@id(\"{id}\") {REST}")).ends_with("is no id of a policy"), "{id}");
    }
    let twice = problems(&format!("@id(\"own/x\") {REST}\n@id(\"own/x\") {REST}"));
    assert_eq!((twice[0].0, twice[0].1, twice[0].3.as_str()), (2, 5, "there are two policies `own/x`"));
}

#[test]
fn annotations_are_known() {
    let one = |annotation: &str| problems(&format!("@id(\"own/x\")\n{annotation} {REST}")).remove(0);
    assert_eq!(
        one("@advise(\"x\")"),
        (2, 2, 6, "unknown annotation `@advise`".into(), "did you mean `@advice`?".into())
    );
    assert_eq!(one("@whatever").3, "unknown annotation `@whatever`");
    assert_eq!(one("@message").3, "`@message` says nothing");
    assert_eq!((one("@effect(\"ask\")").3.as_str(), one("@effect(\"ask\")").1), ("`ask` is no effect", 9));
    assert_eq!(one("@grant(\"boss\")").3, "there is no role `boss`");
}

#[test]
fn placeholders_are_known_to_every_action_that_a_policy_speaks_of() {
    let one = |text: &str| problems(&format!("@id(\"own/x\") @message(\"{text}\") {REST}"));
    assert_eq!(one("{value} {element} {resource} {labels} {snapshot}"), []);
    let wrong = one("a {lables}");
    assert_eq!(
        (wrong[0].1, wrong[0].2, wrong[0].3.as_str(), wrong[0].4.as_str()),
        (26, 8, "nothing that this policy speaks of has a `{lables}`", "did you mean `{labels}`?")
    );
    let both = "@id(\"own/x\") @message(\"{labels} {snapshot}\") forbid (principal, action in [Action::\"Mount\", Action::\"Write\"], resource);";
    let found = problems(both);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].3.contains("{snapshot}"));
}

#[test]
fn everything_is_listed_at_once() {
    let text = format!(
        "@id(\"own/a\") {REST}\n{REST}\n@id(\"own/b\") @nonsense {REST}\n@id(\"own/c\") forbid (principal, action == Action::\"Mount\", resource) when {{ context.nothing }};"
    );
    let lines: Vec<usize> = problems(&text).into_iter().map(|problem| problem.0).collect();
    assert_eq!(lines, [2, 3, 4]);
}

#[test]
fn a_policy_that_can_never_apply_is_a_warning() {
    let text = "@id(\"own/x\") forbid (principal, action == Action::\"Mount\", resource is Gpu);";
    let [problem] = check(&document([("policy/own.cedar", text)])).try_into().unwrap();
    assert_eq!((problem.severity, problem.column, problem.length), (Severity::Warning, 14, 6));
    assert_eq!(problem.message, "the policy `own/x` can never apply");
}

#[test]
fn files_that_decide_nothing_are_named() {
    for path in ["policy/sub/own.cedar", "policy/own.cedr", "policy/.cedar", "policy/README.md"] {
        let [problem] = check(&document([(path, "")])).try_into().unwrap();
        assert_eq!((problem.path.as_str(), problem.message.as_str()), (path, "this file decides nothing"));
    }
    assert_eq!(check(&document([("policy/own.cedar", ""), ("policy/roles.sig", "")])), []);
}

#[test]
fn documents_of_another_format_are_refused() {
    let document = PolicyDocument { format: "aseptic.policies/9".to_owned(), ..document([]) };
    assert!(crate::Policies::parse(document).is_err());
    let mut document = self::document([]);
    document.files.remove(SCHEMA_PATH);
    assert!(crate::Policies::parse(document).is_err(), "without a schema nothing can be asked");
}

#[test]
fn what_is_too_much_is_refused_before_it_is_parsed() {
    let first =
        |text: &str| crate::Policies::parse(document([("policy/own.cedar", text)])).unwrap_err().to_string();
    let deep = |open: &str, close: &str| {
        let n = 20_000;
        format!(
            "@id(\"own/x\") forbid (principal, action, resource) when {{ {}true{} }};",
            open.repeat(n),
            close.repeat(n)
        )
    };
    for (open, close) in [
        ("(", ")"),
        ("!", ""),
        ("true && ", ""),
        ("-", ""),
        ("[", "]"),
        ("if true then ", " else false"),
        ("", ".a"),
        ("", "[\"a\"]"),
    ] {
        let said = first(&deep(open, close));
        assert!(
            said.contains("brackets and operators") || said.contains("goes 20001 deep"),
            "{open}: {said}"
        );
    }
    assert!(first(&"(".repeat(100_000)).contains("brackets and operators"));
    let many: String = (0..2100).map(|n| format!("@id(\"own/p{n}\") {REST}\n")).collect();
    assert!(first(&many).contains("more than 2000 policies"));
    assert!(first(&"//\n".repeat(400_000)).contains("the file has 1200000 bytes"));
    let files = (0..201).map(|n| (format!("policy/f{n}.cedar"), String::new())).collect();
    assert!(
        crate::Policies::parse(PolicyDocument::new(files)).unwrap_err().to_string().contains("201 files")
    );
}

/// As deep as a policy may be, nothing that reads it overflows the stack, in a thread with a small one.
#[test]
fn what_is_allowed_to_be_deep_can_be_read() {
    let deepest = [
        ("(", ")"),
        ("true && ", ""),
        ("[", "]"),
        ("if true then ", " else false"),
        ("", ".a"),
        ("{\"a\": ", "}"),
        ("1 + ", ""),
    ];
    for (open, close) in deepest {
        let text = (1..500).rev().map(|n| {
            format!("@id(\"own/x\") forbid (principal, action == Action::\"Start\", resource) when {{ {}true{} }};", open.repeat(n), close.repeat(n))
        }).find(|text| pieces(text)[0].operators <= 512 && pieces(text)[0].depth <= 32).unwrap();
        let document = document([("policy/own.cedar", &text)]);
        let _ = check(&document);
        if let Ok(policies) = crate::Policies::parse(document) {
            let project = "p".parse().unwrap();
            let _ =
                policies.allows(&crate::Principal::default(), Act::View, &project, &crate::About::default());
        }
    }
}
