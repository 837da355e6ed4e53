//! Roles are signed: by whom they must be, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::recorded::words;
use crate::roles::{furnished, make_key, me, put_in_force, write_roles};
use crate::world::{World, is_root};

#[test]
fn the_first_signer_is_pinned_and_hands_over() {
    let (world, _) = furnished();
    make_key(&world, "next.key");
    let members = format!("policy-author = [\"{}\"]", me(&world));
    let refused = |why: &str| {
        let error = put_in_force(&world).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    write_roles(&world, &[], "roles.key", &members);
    refused("which `roles.toml` names as `signer`");
    write_roles(&world, &["next.key"], "roles.key", &members);
    refused("which `roles.toml` names as `signer`");
    world.ok(&words("role sign --key ../roles.key roles"));
    put_in_force(&world).unwrap();

    // Another signer alone gets nowhere, whoever it is, and neither does a file that was changed after it was signed.
    write_roles(&world, &["next.key"], "next.key", &members);
    refused("which signed the roles that are in force");
    write_roles(&world, &["roles.key"], "next.key", &members);
    refused("which `roles.toml` names as `signer`");
    write_roles(&world, &["roles.key"], "roles.key", &members);
    let path = world.path("project/roles/roles.toml");
    fs::write(&path, fs::read_to_string(&path).unwrap() + "viewer = [\"eve\"]\n").unwrap();
    refused("is about other roles");
    fs::remove_file(&path).unwrap();
    refused("which stay");
    fs::remove_file(world.path("project/roles/roles.sig")).unwrap();
    refused("which stay");

    write_roles(&world, &["roles.key", "next.key"], "next.key", &members);
    let checked = world.json(&words("role check roles --json"));
    assert_ne!(checked["signer"], checked["pinned"]);
    put_in_force(&world).unwrap();
    write_roles(&world, &["roles.key"], "roles.key", &members);
    refused("which signed the roles that are in force");
    write_roles(&world, &["next.key"], "next.key", &members);
    let checked = world.json(&words("role check roles --json"));
    assert_eq!(checked["signer"], checked["pinned"]);
}

/// A signature stays good for ever, so that whoever may put policies in force could give a role back that was taken.
#[test]
fn roles_that_were_replaced_stay_replaced() {
    let (world, _) = furnished();
    let author = format!("policy-author = [\"{}\"]", me(&world));
    let with_eve = format!("{author}\nviewer = [\"eve\"]");
    write_roles(&world, &["roles.key"], "roles.key", &with_eve);
    let old = world.path("old");
    fs::rename(world.path("project/roles"), &old).unwrap();
    fs::rename(&old, world.path("project/policy")).unwrap();
    world.ok(&words("policy apply --reason first"));
    fs::rename(world.path("project/policy"), &old).unwrap();
    write_roles(&world, &["roles.key"], "roles.key", &author);
    world.ok(&words("policy apply roles --reason second"));
    // Nothing but the policies beside them is others.
    world.write(
        "roles/gpu.cedar",
        "@id(\"lab/gpu\") forbid (principal, action == Action::\"UseGpu\", resource);",
    );
    world.ok(&words("policy apply roles --reason third"));

    fs::rename(&old, world.path("project/policy")).unwrap();
    for line in ["policy apply --reason again", "role check"] {
        let said = world.run(&words(line));
        assert!(
            said.starts_with("exit: 3") && said.contains("code: policy/roles-replaced"),
            "{line}: {said}"
        );
    }
    let said = world.run(&words("run --no-code -- true"));
    assert!(!said.starts_with("exit: 0") && !said.contains("in force from now on"), "{said}");
    // Whoever has the key may bring them back.
    let path = world.path("project/policy/roles.toml");
    fs::write(&path, fs::read_to_string(&path).unwrap() + "# eve is back\n").unwrap();
    world.ok(&words("role sign --key ../roles.key"));
    world.ok(&words("policy apply --reason agreed"));
}

#[test]
fn a_signature_is_for_one_project() {
    let (world, _) = furnished();
    let members = format!("policy-author = [\"{}\"]", me(&world));
    write_roles(&world, &["roles.key"], "roles.key", &members);
    world.ok(&words("role check roles"));
    let other = world.run(&words("role check roles --project other"));
    assert!(other.contains("exit: 3") && other.contains("another project than `other`"), "{other}");
}

#[test]
fn keys_are_private_and_kept_out_of_the_project() {
    let world = World::new();
    world.write("aseptic.toml", "[project]\nname = \"default\"\n");
    let inside = world.run(&words("role key roles.key"));
    assert!(inside.contains("exit: 2") && inside.contains("code: key/in-project"), "{inside}");
    assert!(!world.path("project/roles.key").exists());
    make_key(&world, "roles.key");
    let mode = fs::metadata(world.path("roles.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let again = world.run(&words("role key ../roles.key"));
    assert!(again.contains("exit: 2") && again.contains("code: key/exists"), "{again}");
    write_roles(&world, &["roles.key"], "roles.key", "policy-author = [\"pat\"]");
    fs::set_permissions(world.path("roles.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = world.run(&words("role sign --key ../roles.key roles"));
    assert!(exposed.contains("exit: 5") && exposed.contains("code: key/exposed"), "{exposed}");
}

#[test]
fn roles_that_cannot_be_used_are_refused_with_the_place() {
    let world = World::new();
    make_key(&world, "roles.key");
    for (members, expected) in [
        ("experimentr = []", "policy/roles.toml:4:1: there is no role `experimentr`"),
        (
            "approver = [\"ada\"]\nexperimenter = [\"ada\"]",
            "`ada` is experimenter (by name) and approver (by name)",
        ),
    ] {
        write_roles(&world, &[], "roles.key", members);
        for line in ["role sign --key ../roles.key roles", "role check roles"] {
            let said = world.run(&words(line));
            assert!(said.contains("exit: 2") && said.contains(expected), "{line}: {said}");
        }
        assert!(!world.path("project/roles/roles.sig").exists());
    }
    let missing = world.run(&words("role check nowhere"));
    assert!(missing.contains("code: policy/roles-missing"), "{missing}");
}

/// Without roles only the owner of the files is anything; root is no special user. Nobody else can give files away, so
/// others than root see that the owner may look.
#[test]
fn root_is_nobody_in_a_state_of_somebody_else() {
    let world = World::new();
    world.ok(&words("runs"));
    if is_root() {
        std::os::unix::fs::chown(world.path("state"), Some(54_321), None).unwrap();
        let said = world.run(&words("runs"));
        assert!(said.contains("exit: 3") && said.contains("this user has no role there"), "{said}");
    }
}

/// A roles file that is no file, or is large, keeps nobody waiting.
#[test]
fn odd_files_are_refused() {
    let world = World::new();
    make_key(&world, "roles.key");
    fs::create_dir(world.path("project/roles")).unwrap();
    let path = world.path("project/roles/roles.toml");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let said = world.run(&words("role sign --key ../roles.key roles"));
    assert!(said.contains("code: policy/roles-io"), "{said}");
    fs::remove_file(&path).unwrap();
    world.write("roles/roles.toml", "#".repeat(1 << 20));
    let said = world.run(&words("role sign --key ../roles.key roles"));
    assert!(said.contains("at most 262144 are read"), "{said}");
}
