//! The page about policies: its example, its policies with their tests, and its commands.

use crate::pages::{blocks, commands, shell};
use crate::world::World;

#[test]
fn the_example_prints_what_stands_there() {
    let world = World::new();
    world.write("aseptic.toml", "[project]\nname = \"lab\"\n");
    let example = blocks("docs/policy.md", "sh").remove(0);
    let shown = blocks("docs/policy.md", "text").remove(0);
    let printed = shell(&world, &format!("{} || test $? = 3", example.trim_end()));
    assert!(printed.contains(&shown), "{printed}");
    assert!(example.lines().count() <= 12 && world.path("project/policy/lab.cedar").exists());
}

/// The policies, tests and commands of the page do what it says.
#[test]
fn the_commands_about_policies() {
    let world = World::new();
    world.write(
        "aseptic.toml",
        "[project]\nname = \"p\"\n[experiment.train]\ncommand = [\"true\"]\nlimits = { wall = \"9h\" }\n",
    );
    world.ok(&["run", "--quiet", "train"]);
    let page = "docs/policy.md";
    let with = |language: &str, part: &str| -> Vec<String> {
        blocks(page, language).into_iter().filter(|block| block.contains(part)).collect()
    };
    let [policies] = with("cedar", "lab/network").try_into().unwrap();
    let [cases] = with("toml", "aseptic.policy-tests/1").try_into().unwrap();
    world.write("policy/lab.cedar", policies);
    world.write("policy/tests/lab.toml", cases);
    let [settings] = with("toml", "aseptic.settings/1").try_into().unwrap();
    world.write("other/settings.toml", settings);
    world.ok(&["policy", "check", "other"]);
    assert!(world.run(&["policy", "test"]).contains("4 ok"), "the cases are about no settings");
    let mut count = 0;
    let sh = with("sh", "aseptic policy").into_iter().filter(|block| !block.contains("cat >"));
    for words in sh.collect::<Vec<_>>().iter().flat_map(|block| commands(block)) {
        let output = world.output(&words[1..]);
        let may_differ = words[2] == "diff" && output.status.code() == Some(1);
        assert!(output.status.success() || may_differ, "{words:?}: {output:?}");
        count += 1;
    }
    assert_eq!(count, 13);
    let tested = world.run(&["policy", "test"]);
    assert!(
        tested.contains("4 cases: 4 ok") && !tested.contains("note:"),
        "every policy has a case: {tested}"
    );
    let suggested = world.ok(&["policy", "suggest", "--runs", "1"]);
    assert!(suggested.contains("write  limits = { wall = \"1m\" }"), "{suggested}");
}
