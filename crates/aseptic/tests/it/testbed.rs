//! A world with an outside that ends at this machine: names, public addresses and servers, in namespaces of their
//! own. See `scripts/testbed`.

use std::cell::Cell;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::world::{World, is_root};

/// What `fetch.py URL…` prints is the answers, or why there is none.
const FETCH: &str = "
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile='ca.pem')
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, context=context, timeout=20).read().decode(), end='')
    except OSError as error:
        print('failed:', error)
";

/// Gone, with its servers, when dropped.
pub(crate) struct Testbed {
    pub(crate) world: World,
    server: Child,
    pid: String,
    /// Bytes of the journal that were read.
    read: Cell<usize>,
}

impl Testbed {
    /// The project has the certificate of the servers' authority as `ca.pem`, and `fetch.py`.
    pub(crate) fn new() -> Self {
        let world = World::new();
        let directory = world.path("testbed");
        fs::create_dir(&directory).unwrap();
        // At run time: where the tests run from an archive, the checkout is another.
        let crate_directory = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
        let mut server = Command::new("/usr/bin/python3")
            .arg(crate_directory.join("../../scripts/testbed/testbed.py"))
            .arg(&directory)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        world.write("ca.pem", fs::read(directory.join("ca.pem")).unwrap());
        world.write("fetch.py", FETCH);
        Self { world, server, pid: said["pid"].to_string(), read: Cell::new(0) }
    }

    /// The command with these arguments, in there.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let plain = self.world.command(arguments);
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid, "--net", "--mount"]);
        if !is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        // Another mount namespace has another current directory.
        command.args(["--", "env", "--chdir"]).arg(plain.get_current_dir().unwrap());
        command.arg(plain.get_program()).args(plain.get_args());
        command.env_clear().stdin(Stdio::null());
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs `aseptic run --json` with these grants and this command; gives what the job said, and the record.
    pub(crate) fn run(&self, grants: &[&str], command: &[&str]) -> (String, Value) {
        told(&self.output(&arguments(grants, command)))
    }

    /// What `fetch.py` says of these.
    pub(crate) fn fetch(&self, grants: &[&str], urls: &[&str]) -> (String, Value) {
        self.run(grants, &[&["python3", "fetch.py"], urls].concat())
    }

    /// What reached the servers since the last time.
    pub(crate) fn journal(&self) -> Vec<String> {
        let journal = fs::read_to_string(self.world.path("testbed/journal")).unwrap();
        let new = &journal[self.read.replace(journal.len())..];
        new.lines().map(str::to_owned).collect()
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Of `aseptic run`.
pub(crate) fn arguments<'a>(grants: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    let grants = grants.iter().flat_map(|grant| ["--network", grant]);
    ["run", "--json", "--quiet"]
        .into_iter()
        .chain(grants)
        .chain(["--"])
        .chain(command.iter().copied())
        .collect()
}

/// What the job said, without what aseptic says of its denials, and the record.
pub(crate) fn told(output: &Output) -> (String, Value) {
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.split("  denied: ").next().unwrap_or_default().to_owned();
    let record = serde_json::from_slice(&output.stdout);
    (said.clone(), record.unwrap_or_else(|error| panic!("{error}: {said}")))
}

/// `action target: reason` of everything denied.
pub(crate) fn denied(run: &Value) -> Vec<String> {
    let text = |denied: &Value, key: &str| denied[key].as_str().unwrap().to_owned();
    let entries = run["denied"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            format!("{} {}: {}", text(entry, "action"), text(entry, "target"), text(entry, "reason"))
        })
        .collect()
}
