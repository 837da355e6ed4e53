use proptest::prelude::*;

use super::*;
use crate::Problem;

fn file(groups: &str, roles: &str) -> String {
    let head = "format = \"aseptic.roles/1\"\nsigner = \"ada+00000000+key\"\n";
    format!("{head}[groups]\n{groups}\n[roles]\npolicy-author = [\"pat\"]\n{roles}\n")
}

/// Each problem as `LINE:COLUMN: message; help`.
fn problems(text: &str) -> Vec<String> {
    let said = |problem: Problem| {
        let Problem { path, line, column, message, help, .. } = problem;
        assert_eq!(path, "policy/roles.toml");
        format!("{line}:{column}: {message}; {help}")
    };
    Roles::parse(text).unwrap_err().into_iter().map(said).collect()
}

/// The first of [`problems`].
fn refused(text: &str) -> String {
    problems(text).remove(0)
}

#[test]
fn a_file_is_groups_and_roles() {
    let text =
        file("lab = [\"ada\", \"1001\"]", "experimenter = [\"group:lab\", \"ben\"]\nviewer = [\"ada\"]");
    let roles = Roles::parse(&text).unwrap();
    assert_eq!(roles.holders(Role::Experimenter), ["1001", "ada", "ben"].into());
    assert_eq!(roles.users(), ["1001", "ada", "ben", "pat"].into());
    let ada = roles.roles_of("ada");
    assert_eq!(ada[&Role::Experimenter], [Through::Group("lab".to_owned())].into());
    assert_eq!(ada[&Role::Viewer], [Through::Name].into());
    assert_eq!(
        roles.principal("1001").groups,
        ["lab".to_owned()].into(),
        "a user without a name is its number"
    );
    assert_eq!(roles.principal("eve"), Principal { user: "eve".to_owned(), ..Principal::default() });
    assert_eq!(roles.principal("group:lab").roles, [].into(), "a group is nobody");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let cases = [
        (file("", "experimentr = []"), "7:1: there is no role `experimentr`; did you mean `experimenter`?"),
        (
            file("", "owner = [\"ada\"]"),
            "7:1: `owner` cannot be given; give the roles that they need; an owner is whoever owns the state of a project without roles",
        ),
        (
            file("lab = []", "viewer = [\"é\", \"group:lib\"]"),
            "7:16: there is no group `lib`; did you mean `lab`?",
        ),
        (
            file("", "viewer = [\"group:lab\"]"),
            "7:11: there is no group `lab`; name its users under `[groups]`",
        ),
        (
            file("a = [\"group:b\"]", ""),
            "4:6: a group has users only; name the users of that group; a group is not part of another",
        ),
        (file("", "viewer = [\"ada\", \"ada\"]"), "7:18: `ada` is named twice; remove one of them"),
        (file("", "viewer = [1]"), "7:11: `viewer`: expected a text; correct the value; see `docs/roles.md`"),
        (
            file("", "viewer = \"ada\""),
            "7:10: `viewer`: expected a list; correct the value; see `docs/roles.md`",
        ),
        (
            file("", "viewer = [\"a\\u001bb\"]"),
            "7:11: `a\\u{1b}b` cannot be the name of a user; a name has 1 to 255 bytes without spaces, control characters and `:`",
        ),
        (file("", "[rolls]"), "7:2: unknown key `rolls` in the file; did you mean `roles`?"),
        (
            "format = \"x\"".to_owned(),
            "1:10: files of this format cannot be read; this version reads `aseptic.roles/1`",
        ),
        ("".to_owned(), "1:1: the file has no `format`; begin with `format = \"aseptic.roles/1\"`"),
        (
            "format = \"aseptic.roles/1\"\nsigner = \"a b\"".to_owned(),
            "2:10: `signer` is no key; write the line that `aseptic role key FILE` prints",
        ),
        (
            "format = \"aseptic.roles/1\"\nsigner = \"k\"\n[roles]\nviewer = [\"ada\"]".to_owned(),
            "1:1: nobody is `policy-author`, so nobody could ever put another file in force; give the role to somebody under `[roles]`",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(&text), expected, "{text}");
    }
    let unfinished = refused("format = ");
    assert!(unfinished.starts_with("1:1"), "{unfinished}");
    assert!(refused(&"#".repeat(ROLES_BYTES_MAX + 1)).contains("at most"));
    assert!(refused(&format!("format = {}", "[".repeat(100_000))).starts_with("1:"));
}

#[test]
fn everything_that_is_wrong_is_said() {
    let text = "format = \"x\"\n[groups]\nlab = [1, \"\"]\n[roles]\nviewr = []\nviewer = [\"group:lib\", 2]\nmore = 1\n";
    let places: Vec<_> =
        problems(text).iter().map(|one| one.split(": ").next().unwrap().to_owned()).collect();
    assert_eq!(places, ["1:10", "3:8", "3:11", "7:1", "6:24", "6:11", "5:1", "1:1"]);
}

#[test]
fn roles_that_exclude_each_other_are_refused_with_who_has_both() {
    for (first, second, why) in EXCLUSIVE {
        // `policy-author` has `pat` already.
        let user = if [first, second].contains(&Role::PolicyAuthor) { "pat" } else { "eve" };
        let roles = [first, second].into_iter().filter(|role| *role != Role::PolicyAuthor);
        let roles: String = roles.map(|role| format!("{role} = [\"{user}\"]\n")).collect();
        let said = refused(&file("", &roles));
        assert!(
            said.contains(&format!("`{user}` is {first} (by name) and {second} (by name), and {why}")),
            "{said}"
        );
    }
    let text = file("lab = [\"ada\"]", "approver = [\"ada\"]\nexperimenter = [\"group:lab\"]");
    let expected = "7:13: `ada` is experimenter (through `group:lab`) and approver (by name), and nobody approves their \
                    own runs; take one of the two roles from them";
    assert_eq!(refused(&text), expected);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = Roles::parse(&text);
    }

    /// Nobody in a file that is accepted has two roles of a pair, however they come to them.
    #[test]
    fn accepted_files_keep_duties_apart(
        lab in proptest::collection::btree_set("[a-c]", 0..3),
        members in proptest::collection::btree_map(0..6_usize, proptest::collection::btree_set("[a-c]|group:lab", 0..3), 1..6),
    ) {
        let list = |names: &BTreeSet<String>| format!("{:?}", names.iter().collect::<Vec<_>>());
        let lines = members.iter().map(|(role, names)| format!("{} = {}\n", Role::GIVEN[*role], list(names)));
        let head = "format = \"aseptic.roles/1\"\nsigner = \"k\"\n";
        let text = format!("{head}[groups]\nlab = {}\n[roles]\n{}", list(&lab), lines.collect::<String>());
        if let Ok(roles) = Roles::parse(&text) {
            for user in ["a", "b", "c"] {
                let has = roles.principal(user).roles;
                for (first, second, _) in EXCLUSIVE {
                    prop_assert!(!(has.contains(&first) && has.contains(&second)), "{user}: {has:?}");
                }
            }
        }
    }
}
