//! Witnesses: over the network, by file, and what they see when a ledger is not what it was.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::world::World;

/// A witness that serves, until it is dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) url: String,
    pub(crate) key: String,
}

impl Served {
    /// A witness `name` of the ledger of `world`, in a directory of its own.
    pub(crate) fn start(world: &World, name: &str) -> Self {
        let dir = world.path(name);
        let dir = dir.to_str().unwrap();
        let key = world.ok(&["witness", "key", &format!("witness.example/{name}"), "--dir", dir]);
        Self::again(world, name, key.trim().to_owned())
    }

    fn again(world: &World, name: &str, key: String) -> Self {
        let (dir, verifier) = (world.path(name), world.path("state/ledger/verifier"));
        let arguments = ["witness", "serve", "--listen", "127.0.0.1:0", "--dir"];
        let mut command = world.command(&arguments);
        Self::spawn(command.arg(dir).arg("--log-file").arg(verifier), key)
    }

    /// The witness that `command` serves.
    pub(crate) fn spawn(command: &mut Command, key: String) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{line}");
        Self { child, url, key }
    }

    /// Status and body of an answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.url.strip_prefix("http://").unwrap()).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: w\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    /// Ends it as an administrator does; it must end well.
    fn stop(mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ledger(world: &World) -> Ledger<'_> {
    world.write("rows/a", "1");
    world.ok(&["dataset", "add", "rows", "--name", "digits"]);
    Ledger(world)
}

/// The ledger of a world.
struct Ledger<'w>(&'w World);

impl Ledger<'_> {
    /// One more entry.
    fn grow(&self, marker: &str) {
        self.0.write("rows/a", marker);
        self.0.ok(&["dataset", "add", "rows", "--name", "digits"]);
    }

    fn add(&self, name: &str, key: &str, more: &[&str]) {
        let arguments = ["ledger", "witness", "add", key, "--name", name];
        self.0.ok(&[&arguments, more].concat());
    }

    fn verify(&self) -> Value {
        self.0.json(&["ledger", "verify", "--witnessed", "--json"])
    }
}

/// Copies a directory with what is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn two_witnesses_over_the_network() {
    let world = World::new();
    let ledger = ledger(&world);
    let unwitnessed = world.run(&["ledger", "verify", "--witnessed"]);
    assert!(unwitnessed.starts_with("exit: 0") && unwitnessed.contains("since no witness has cosigned it"));
    let (one, two) = (Served::start(&world, "one"), Served::start(&world, "two"));
    ledger.add("one", &one.key, &["--url", &one.url]);
    ledger.add("two", &two.key, &["--url", &two.url]);
    let early = world.run(&["ledger", "verify", "--witnessed"]);
    assert!(early.contains("since too few of its witnesses have cosigned it"), "{early}");

    let updated = world.json(&["ledger", "witness", "update", "--json"]);
    assert_eq!((&updated["quorum"], &updated["entries"]), (&true.into(), &3.into()), "{updated:#}");
    let verified = ledger.verify();
    assert_eq!(verified["witnessed"]["entries"], 3, "{verified:#}");
    assert_eq!(verified["not_proven"], Value::Null);
    assert_eq!(verified["witnessed"]["witnesses"][1]["name"], "two");
    let note = world.ok(&["ledger", "checkpoint"]);
    assert_eq!(note.matches("\u{2014} witness.example/").count(), 2, "{note}");
    let tiles = fs::read_to_string(world.path("state/ledger/tiles/checkpoint")).unwrap();
    assert_eq!(tiles, note);

    ledger.grow("2");
    let verified = ledger.verify();
    assert_eq!(verified["witnessed"]["entries"], 3, "{verified:#}");
    assert!(verified["not_proven"].as_str().unwrap().contains("replaced entries from 3 on"), "{verified:#}");
    // One of two is not enough, and what it signed is said.
    two.stop();
    let partial = world.run(&["ledger", "witness", "update"]);
    assert!(partial.starts_with("exit: 5") && partial.contains("ledger/no-quorum"), "{partial}");
    assert!(partial.contains("cosigned at") && partial.contains("did not answer"), "{partial}");
    let verified = ledger.verify();
    assert_eq!(verified["witnessed"]["entries"], 3);
    assert_eq!(verified["witnessed"]["beyond"][0]["witnesses"][0], "one");

    // It comes back with its memory.
    let key = fs::read_to_string(world.path("state/ledger/witness-policy")).unwrap();
    let key =
        key.lines().find_map(|line| line.strip_prefix("witness two ")).unwrap().split(' ').next().unwrap();
    let two = Served::again(&world, "two", key.to_owned());
    world.ok(&["ledger", "witness", "remove", "two"]);
    ledger.add("two", &two.key, &["--url", &two.url]);
    world.ok(&["ledger", "witness", "update"]);
    let verified = ledger.verify();
    assert_eq!(verified["witnessed"]["entries"], verified["entries"], "{verified:#}");
    let entries = world.ok(&["ledger", "show", "--json"]);
    assert_eq!(entries.matches("witness.policy").count(), 4);
}

#[test]
fn a_witness_answers_as_the_specification_says() {
    let world = World::new();
    let ledger = ledger(&world);
    let served = Served::start(&world, "one");
    ledger.add("one", &served.key, &[]);
    world.ok(&["ledger", "witness", "update", "--request", "first"]);
    let first = fs::read_to_string(world.path("project/first")).unwrap();
    ledger.grow("2");
    world.ok(&["ledger", "witness", "update", "--request", "second"]);
    let second = fs::read_to_string(world.path("project/second")).unwrap();

    let origin = first.split("\n\n").nth(1).unwrap().lines().next().unwrap();
    let hash = {
        // sha256sum(1) is another implementation than ours.
        let mut child =
            Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(origin.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()[..64].to_owned()
    };
    let monitor = format!("/{hash}/checkpoint");
    assert_eq!(served.ask("GET", &monitor, "").0, 404);
    let (status, line) = served.ask("POST", "/add-checkpoint", &first);
    assert_eq!(status, 200);
    assert!(line.starts_with("\u{2014} witness.example/one "), "{line}");
    assert_eq!(served.ask("POST", "/add-checkpoint", &second), (409, "2\n".to_owned()));
    assert_eq!(served.ask("POST", "/add-checkpoint", "old 1\n").0, 400);
    assert_eq!(served.ask("POST", "/add-checkpoint", &second.replace(origin, "example.com/other")).0, 404);
    let unsigned = second.replace("\n\u{2014} ", "\n\u{2014} x");
    assert_eq!(served.ask("POST", "/add-checkpoint", &unsigned).0, 403);
    let unproven = second.replacen("old 0\n", "old 2\n", 1);
    assert_eq!(served.ask("POST", "/add-checkpoint", &unproven).0, 422);
    assert_eq!(served.ask("POST", "/add-checkpoint", &"x".repeat(100_000)).0, 413);
    assert_eq!(served.ask("GET", "/add-checkpoint", "").0, 405);
    assert_eq!(served.ask("GET", "/../key", "").0, 404);
    assert_eq!(served.ask("GET", "/key/checkpoint", "").0, 404);
    let (status, note) = served.ask("GET", &monitor, "");
    assert_eq!(status, 200);
    assert_eq!(note, first.split_once("\n\n").unwrap().1.to_owned() + &line);
    served.stop();
}

#[test]
fn a_witness_without_a_network() {
    let world = World::new();
    let ledger = ledger(&world);
    let dir = world.path("vault");
    let dir = dir.to_str().unwrap();
    let verifier = world.path("state/ledger/verifier");
    let sign = |world: &World| {
        let arguments =
            ["witness", "sign", "--dir", dir, "--request", "to", "--cosignature", "from", "--log-file"];
        world.command(&arguments).arg(&verifier).output().unwrap()
    };
    let key = world.ok(&["witness", "key", "vault.example", "--dir", dir]);
    assert_eq!(world.ok(&["witness", "key", "--dir", dir]), key);
    ledger.add("vault", key.trim(), &[]);
    for entries in [2, 3] {
        world.ok(&["ledger", "witness", "update", "--request", "to"]);
        // The ledger goes on while the request is on its way.
        ledger.grow(&format!("{entries}"));
        assert!(sign(&world).status.success());
        let taken = world.ok(&["ledger", "witness", "update", "--cosignature", "from"]);
        assert_eq!(taken, format!("vault cosigned {entries} entries\n"));
        assert_eq!(ledger.verify()["witnessed"]["entries"], entries);
        fs::remove_file(world.path("project/to")).unwrap();
        fs::remove_file(world.path("project/from")).unwrap();
    }
    world.write("to", "somebody's");
    // Whoever lost the memory of what was cosigned is told, and says it.
    fs::remove_dir_all(world.path("state/ledger/witnessed")).unwrap();
    let again = world.run(&["ledger", "witness", "update", "--request", "to"]);
    assert!(again.starts_with("exit: 2") && again.contains("ledger/export"), "nothing is replaced: {again}");
    fs::remove_file(world.path("project/to")).unwrap();
    world.ok(&["ledger", "witness", "update", "--request", "to"]);
    let refused = sign(&world);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("last saw 3 entries") && text.contains("--old SIZE"), "{text}");
    fs::remove_file(world.path("project/to")).unwrap();
    world.ok(&["ledger", "witness", "update", "--request", "to", "--old", "3"]);
    assert!(sign(&world).status.success());
    fs::write(world.path("project/damaged"), "\u{2014} vault.example AAAA\n").unwrap();
    let damaged = world.run(&["ledger", "witness", "update", "--cosignature", "damaged"]);
    assert!(damaged.starts_with("exit: 2") && damaged.contains("ledger/cosignature"), "{damaged}");
    world.ok(&["ledger", "witness", "update", "--cosignature", "from"]);
}

#[test]
fn a_ledger_that_was_put_back_or_rewritten_is_seen() {
    let world = World::new();
    let ledger = ledger(&world);
    let served = Served::start(&world, "one");
    ledger.add("one", &served.key, &["--url", &served.url]);
    let state = world.path("state");
    let (before, after) = (world.path("before"), world.path("after"));
    copy(&state, &before);
    ledger.grow("2");
    world.ok(&["ledger", "witness", "update"]);
    copy(&state, &after);
    let back = |from: &Path| {
        fs::remove_dir_all(&state).unwrap();
        copy(from, &state);
    };
    // An older copy of everything: the ledger itself is whole, and only the witness knows better.
    back(&before);
    world.ok(&["ledger", "verify"]);
    let ahead = world.run(&["ledger", "witness", "update"]);
    assert!(ahead.starts_with("exit: 4") && ahead.contains("ledger/witness-ahead"), "{ahead}");
    // What follows in it is another history, signed by the same key.
    ledger.grow("other");
    ledger.grow("more");
    world.ok(&["ledger", "verify"]);
    let forked = world.run(&["ledger", "witness", "update"]);
    assert!(forked.starts_with("exit: 5") && forked.contains("refused (422)"), "{forked}");
    // Somebody who kept the cosigned checkpoint sees it without the witness.
    let kept = after.join("ledger/witnessed");
    copy(&kept, &state.join("ledger/witnessed"));
    let seen = world.run(&["ledger", "verify", "--witnessed"]);
    assert!(seen.starts_with("exit: 4") && seen.contains("ledger/witness-fork"), "{seen}");
    // The true one is still what the witness saw.
    back(&after);
    ledger.grow("3");
    world.ok(&["ledger", "witness", "update"]);
    assert_eq!(ledger.verify()["not_proven"], Value::Null);
}

#[test]
fn proofs_of_a_run() {
    let world = World::new();
    world.ok(&["run", "--quiet", "--", "true"]);
    let written = world.ok(&["ledger", "prove", "latest", "--out", "run.tlog-proof"]);
    assert!(written.starts_with("wrote the proof that entry "), "{written}");
    let proof = fs::read_to_string(world.path("project/run.tlog-proof")).unwrap();
    assert!(proof.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{proof}");
    let entry = world.json(&["ledger", "prove", "latest", "--json"]);
    let index = entry["index"].as_u64().unwrap();
    let shown = world.json(&["ledger", "show", "--json"]);
    assert_eq!(
        shown["entries"][usize::try_from(index).unwrap()]["entry"]["event"]["type"],
        "run.sealed",
        "{shown:#}"
    );
    assert_eq!(world.ok(&["ledger", "prove", &index.to_string()]), proof);
    let outside = world.run(&["ledger", "prove", "1000"]);
    assert!(outside.starts_with("exit: 2") && outside.contains("ledger/not-in"), "{outside}");

    let verified = world.ok(&["ledger", "verify", "--run", "latest"]);
    assert!(verified.contains("run.planned") && verified.contains("run.sealed"), "{verified}");
    assert!(verified.contains("verified ") && verified.contains(" entries of run "), "{verified}");
    fs::write(world.path("project/kept"), world.ok(&["ledger", "checkpoint"])).unwrap();
    world.ok(&["run", "--quiet", "--", "true"]);
    let too_new = world.run(&["ledger", "verify", "--run", "latest", "--checkpoint", "kept"]);
    assert!(too_new.starts_with("exit: 2") && too_new.contains("ledger/not-in"), "{too_new}");
    let published = world.ok(&["ledger", "publish"]);
    assert!(published.starts_with("published "), "{published}");
    assert!(world.path("state/ledger/tiles/tile/entries/000.p").is_dir());
}

#[test]
fn policies_are_checked() {
    let world = World::new();
    let ledger = ledger(&world);
    assert_eq!(world.ok(&["ledger", "witness", "list"]).lines().last(), Some("quorum none"));
    let dir = world.path("one");
    let key = world.ok(&["witness", "key", "witness.example/one", "--dir", dir.to_str().unwrap()]);
    let key = key.trim();
    let none = world.run(&["ledger", "witness", "update"]);
    assert!(none.starts_with("exit: 2") && none.contains("ledger/no-witness"), "{none}");
    ledger.add("one", key, &[]);
    for (arguments, code) in [
        (&["add", key, "--name", "again"][..], "ledger/policy"),
        (&["add", key, "--name", "one"], "ledger/policy"),
        (&["remove", "two"], "ledger/no-witness"),
        (&["update", "--request", "to", "--witness", "two"], "ledger/no-witness"),
        (&["set", "missing"], "ledger/policy"),
    ] {
        let refused = world.run(&[&["ledger", "witness"], arguments].concat());
        assert!(refused.starts_with("exit: 2") && refused.contains(code), "{arguments:?}: {refused}");
    }
    world.write("policy", format!("witness a {key}\ngroup g any a\nquorum g\n"));
    world.ok(&["ledger", "witness", "set", "policy"]);
    assert_eq!(world.ok(&["ledger", "show", "--json"]).matches("witness.policy").count(), 2);
    let list = world.ok(&["ledger", "witness", "list"]);
    assert!(list.starts_with("log aseptic.local/ledger") && list.ends_with("quorum g\n"), "{list}");
    let by_hand = world.run(&["ledger", "witness", "remove", "a"]);
    assert!(by_hand.starts_with("exit: 2") && by_hand.contains("witness set FILE"), "{by_hand}");
}

#[test]
fn a_proof_is_checked_with_nothing_but_keys() {
    let world = World::new();
    world.ok(&["run", "--quiet", "--", "true"]);
    world.ok(&["ledger", "prove", "latest", "--out", "run.tlog-proof"]);
    fs::copy(world.path("state/ledger/verifier"), world.path("project/keys")).unwrap();
    let elsewhere = world.path("elsewhere");
    let check = |proof: &str, more: &[&str]| {
        let words = ["--home", elsewhere.to_str().unwrap(), "ledger", "check", proof];
        world.run(&[&words[..], more].concat())
    };
    let checked = check("run.tlog-proof", &["--verifier", "keys"]);
    assert!(checked.starts_with("exit: 0") && checked.contains("run.sealed"), "{checked}");
    assert!(checked.contains("proven: entry 4 of 5 of aseptic.local/ledger/"), "{checked}");
    assert!(!elsewhere.exists(), "it needs no state and makes none");
    let none = check("run.tlog-proof", &[]);
    assert!(none.starts_with("exit: 2") && none.contains("ledger/none"), "{none}");

    let proof = fs::read_to_string(world.path("project/run.tlog-proof")).unwrap();
    world.write("moved", proof.replace("index 4", "index 3"));
    let moved = check("moved", &["--verifier", "keys"]);
    assert!(moved.starts_with("exit: 4") && moved.contains("ledger/proof"), "{moved}");
    let bare: Vec<_> = proof.lines().filter(|line| !line.starts_with("extra ")).collect();
    world.write("bare", format!("{}\n", bare.join("\n")));
    assert!(check("bare", &["--verifier", "keys"]).contains("does not have the entry"));

    let other = World::new();
    other.ok(&["run", "--quiet", "--", "true"]);
    world.write("others", fs::read_to_string(other.path("state/ledger/verifier")).unwrap());
    let others = check("run.tlog-proof", &["--verifier", "others"]);
    assert!(others.starts_with("exit: 4") && others.contains("ledger/key"), "{others}");
    world.write("nothing", "x\n");
    assert!(check("run.tlog-proof", &["--verifier", "nothing"]).contains("ledger/check"));
    let key = world.ok(&["witness", "key", "w.example"]);
    let key = key.lines().find(|line| line.starts_with("w.example+")).unwrap();
    world.write("policy", format!("witness w {key}\nquorum w\n"));
    let few = check("run.tlog-proof", &["--verifier", "keys", "--policy", "policy"]);
    assert!(few.starts_with("exit: 4") && few.contains("ledger/no-quorum"), "{few}");
}
