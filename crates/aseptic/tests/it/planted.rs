//! Secrets are planted, and every byte that was written is searched for them.

use std::io::Read;
use std::path::PathBuf;

use crate::world::{World, contents};

const IN_ENVIRONMENT: &str = "planted-env-8c1d7f0e2b6a";
const IN_PARAMETERS: &str = "planted-params-4b7e9a1c3d5f";
const ON_STDIN: &str = "planted-stdin-6f2a8e0b4c7d";
const IN_REASON: &str = "planted-reason-1e5c9b3f7a2d";
const IN_STATEMENT: &str = "planted-owner-9d3b7f1a5e8c";

/// Every file of the state that holds `secret`, in plain or within a zstd frame.
fn files_with(world: &World, secret: &str) -> Vec<String> {
    let state = world.path("state");
    let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    let found = contents(&state).into_iter().filter(|(path, bytes, _)| {
        let name = path.to_string_lossy().contains(secret);
        name || holds(bytes) || frames(bytes).iter().any(|frame| holds(frame))
    });
    let name = |path: PathBuf| path.strip_prefix(&state).unwrap().to_string_lossy().into_owned();
    found.map(|(path, ..)| name(path)).collect()
}

/// What is compressed in these bytes, wherever it begins.
fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd]; // RFC 8878, section 3.1.1
    let starts = bytes.windows(4).enumerate().filter(|(_, window)| *window == MAGIC);
    let unpack = |(at, _): (usize, &[u8])| {
        let mut unpacked = Vec::new();
        let decoder = zstd::stream::read::Decoder::new(&bytes[at..]).ok()?;
        decoder.single_frame().read_to_end(&mut unpacked).ok()?;
        Some(unpacked)
    };
    starts.filter_map(unpack).collect()
}

/// The command with a secret in its environment.
fn command(world: &World, line: &str) -> std::process::Command {
    let mut command = world.command(&line.split(' ').collect::<Vec<_>>());
    command.env("API_TOKEN", IN_ENVIRONMENT);
    command
}

fn ok(world: &World, line: &str) {
    let output = command(world, line).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn secrets_are_only_where_their_owner_put_them() {
    let world = World::new();
    world.write("rows/a", "1");
    let spec = format!(
        "[project]\nname = \"planted\"\n[experiment.train]\ncommand = [\"sh\", \"-c\", \"cat >/dev/null; env\"]\n\
         params = {{ token = \"{IN_PARAMETERS}\" }}\n"
    );
    world.write("aseptic.toml", spec);
    ok(&world, &format!("dataset add rows --name digits --label pii --owner {IN_STATEMENT}"));
    ok(&world, &format!("dataset describe digits note={IN_STATEMENT}"));
    ok(&world, &format!("dataset unlabel digits pii --reason {IN_REASON}"));
    ok(&world, &format!("retention set digits@1 30d --reason {IN_REASON}"));
    world.write("stdin", ON_STDIN);
    let stdin = std::fs::File::open(world.path("project/stdin")).unwrap();
    let run = command(&world, "run --quiet --no-code train").stdin(stdin).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(!said.contains(IN_ENVIRONMENT), "the job has none of the environment: {said}");

    // Before anything is erased the search finds what is there: it is no search for nothing.
    for (secret, place) in [(IN_REASON, "ledger/values"), (IN_STATEMENT, "ledger/values")] {
        let found = files_with(&world, secret);
        assert!(found.iter().any(|file| file == place), "{found:?}");
        assert!(!found.contains(&"ledger/log".to_owned()), "only commitments are signed: {found:?}");
    }
    for line in ["ledger erase digits@1 --all --reason asked", "plan --json train", "gc --now", "doctor"] {
        command(&world, line).output().unwrap();
    }

    for secret in [IN_ENVIRONMENT, IN_REASON, IN_STATEMENT] {
        assert_eq!(files_with(&world, secret), Vec::<String>::new(), "{secret}");
    }
    // Parameters are part of the plan and the record; what is piped in is kept with the logs.
    let params = files_with(&world, IN_PARAMETERS);
    let is_known =
        |file: &String| file.starts_with("projects/planted/store/") || file.starts_with("catalog.sqlite");
    assert!(!params.is_empty() && params.iter().all(is_known), "{params:?}");
    let stdin = files_with(&world, ON_STDIN);
    assert!(
        !stdin.is_empty() && stdin.iter().all(|file| file.starts_with("projects/planted/store/")),
        "{stdin:?}"
    );
}
