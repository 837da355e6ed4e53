use super::*;

#[test]
fn settings_are_read_strictly() {
    let found = |text: &str| -> Vec<(usize, usize, String, String)> {
        let text = format!("format = \"aseptic.settings/1\"\n{text}");
        let found = check(&document([("policy/settings.toml", &text)])).into_iter();
        found.map(|one| (one.line, one.column, one.message, one.help)).collect()
    };
    assert_eq!(found(""), []);
    assert_eq!(
        found(
            "strict = true\n[labels.clinical]\nhosts = [\"example.org:443\"]\n[holdout]\nevaluations = 3\nmetrics_bytes = 1000"
        ),
        []
    );
    assert_eq!(
        found("stict = true"),
        [(2, 1, "unknown key `stict` in the settings".to_owned(), "did you mean `strict`?".to_owned())]
    );
    assert_eq!(found("strict = 1")[0].1, 10);
    assert_eq!(found("[labels.clinical]\nhost = []")[0].3, "did you mean `hosts`?");
    assert_eq!(found("[labels.\"A B\"]\n")[0].0, 2);
    assert!(found("[labels.a]\nhosts = [\"nowhere\"]")[0].2.starts_with("`hosts`: "));
    assert_eq!(found("[holdout]\nmetrics_bytes = 100000000000")[0].2, "these are too many bytes for metrics");
    assert!(!found("[holdout]\nevaluations = -1").is_empty());
    assert_eq!(found("x = ").len(), 1);
    assert!(found(&"[".repeat(100_000)).len() == 1);
    assert!(found(&(0..10_000).map(|n| format!("k{n} = 1\n")).collect::<String>()).len() <= PROBLEMS_MAX);
    let none = check(&document([("policy/settings.toml", "strict = true")]));
    assert_eq!(none[0].message, "the file has no `format`");
}

#[test]
fn links_are_read_strictly() {
    let first = |link: &str| {
        let text = format!("format = \"aseptic.settings/1\"\n\n[[link]]\n{link}");
        let problem = check(&document([("policy/settings.toml", &text)])).remove(0);
        (problem.line, problem.message, problem.help)
    };
    let said = |link: &str| first(link).1;
    assert_eq!(
        first("id = 'own/x'"),
        (3, "a link has no `template`".to_owned(), "add `template`".to_owned())
    );
    assert_eq!(
        first("id = 'own/x'\ntemplate = 'dataset/close'\nresource = 'Dataset::\"d\"'"),
        (3, "there is no template `dataset/close`".to_owned(), "did you mean `dataset/closed`?".to_owned())
    );
    assert_eq!(
        said("id = 'own/x'\ntemplate = 'dataset/closed'"),
        "the template `dataset/closed` needs a `resource`"
    );
    let closed = "template = 'dataset/closed'\nresource = 'Dataset::\"d\"'\n";
    assert_eq!(
        said(&format!("id = 'own/x'\n{closed}principal = 'User::\"a\"'")),
        "the template `dataset/closed` takes no `principal`"
    );
    assert_eq!(said(&format!("id = 'run/x'\n{closed}")), "ids of the group `run` are of shipped policies");
    assert_eq!(
        said(&format!("id = 'own/x'\n{closed}[[link]]\nid = 'own/x'\n{closed}")),
        "there are two policies `own/x`"
    );
    let with =
        |value: &str| said(&format!("id = 'own/x'\ntemplate = 'dataset/closed'\nresource = '''{value}'''"));
    assert_eq!(with("d"), "`resource` is `d`, which names nothing");
    assert_eq!(with("Nothing::\"d\""), "`resource` cannot be a `Nothing`");
    assert!(with(&"(".repeat(900)).contains("nothing that can be named"));
    assert!(
        with("Gpu::\"d\"").contains("`own/x`"),
        "a link that can never apply is a problem: {}",
        with("Gpu::\"d\"")
    );
}
