//! What to do about a denied attempt: the exact command or line where there is one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aseptic_model::{DeniedReason, escape_bytes};
use aseptic_sandbox::Action;
use aseptic_store::{Rule, rule_against};

use crate::attempts::name_of;
use crate::explain::{Surroundings, Thing};
use crate::lookup::Found;

/// What a person can do something about comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// A command gives it to the run.
    Grant,
    /// The program or its files can be changed.
    Change,
    /// This version has no way.
    Nothing,
}

/// Top directories that are the machine's own, but for what people put below them.
const MACHINE: [&[u8]; 12] =
    [b"bin", b"boot", b"dev", b"etc", b"lib", b"lib64", b"proc", b"run", b"sbin", b"sys", b"usr", b"var"];

const OF_PEOPLE: [&[u8]; 2] = [b"/var/tmp/", b"/run/media/"];

fn is_of_machine(path: &[u8]) -> bool {
    let top = path.split(|byte| *byte == b'/').find(|name| !name.is_empty());
    top.is_some_and(|top| MACHINE.contains(&top)) && !OF_PEOPLE.iter().any(|place| path.starts_with(place))
}

/// Which dataset would hold which files.
#[derive(Debug)]
pub(crate) struct Datasets<'a> {
    around: &'a Surroundings<'a>,
    /// Missed files by their directory.
    files: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
    /// Names given so far, and to what.
    named: BTreeMap<String, Vec<u8>>,
}

impl<'a> Datasets<'a> {
    pub(crate) fn new(around: &'a Surroundings<'a>) -> Self {
        Self { around, files: BTreeMap::new(), named: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, thing: &Thing) {
        if thing.found == Found::File {
            let directory = parent(&thing.path).to_vec();
            self.files.entry(directory).or_default().insert(thing.path.clone());
        }
    }

    /// The command that makes a dataset of `thing`; nothing where it would hold far more than that.
    fn suggest(&mut self, thing: &Thing) -> Option<String> {
        let directory = parent(&thing.path);
        let together = self.files.get(directory).is_some_and(|files| files.len() > 1);
        let (source, whole) = match thing.found {
            Found::Directory if self.is_broad(&thing.path) => return None,
            Found::Directory => (thing.path.as_slice(), true),
            Found::File if together && !self.is_broad(directory) => (directory, true),
            Found::File => (thing.path.as_slice(), false),
            Found::Special => return None,
        };
        let quoted = quoted(source)?;
        let name = self.name(source, whole);
        let inside = match thing.path.strip_prefix(source) {
            Some(rest) if whole => escape_bytes(rest),
            _ => format!("/{}", escape_bytes(name_of(&thing.path))),
        };
        let inside = inside.trim_end_matches('/').to_owned();
        let all = if whole { " (all of that directory, look at it first)" } else { "" };
        let read = if whole { String::new() } else { inside };
        Some(format!(
            "`aseptic dataset add {quoted} --name {name}`{all}, run with `--data {name}={name}` or \
             `data = {{ \"{name}\" = \"{name}\" }}` in the spec, and read /data/{name}{read}"
        ))
    }

    /// A name for the dataset of `source`, a different one for each.
    fn name(&mut self, source: &[u8], whole: bool) -> String {
        let name = String::from_utf8_lossy(name_of(source)).into_owned();
        let stem =
            Path::new(&name).file_stem().filter(|_| !whole).map(|stem| stem.to_string_lossy().into_owned());
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let plain: String = stem.unwrap_or(name).chars().map(plain).collect();
        let plain = plain.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let base: String = if plain.is_empty() { "data" } else { plain }.chars().take(NAME_MAX).collect();
        let mut name = base.clone();
        let mut number = 2;
        while self.named.get(&name).is_some_and(|other| other != source) {
            name = format!("{base}-{number}");
            number += 1;
        }
        self.named.insert(name.clone(), source.to_vec());
        name
    }

    /// Whether a directory surely holds what the run does not need: a home or top directory, or one around
    /// the code or the state of aseptic.
    fn is_broad(&self, directory: &[u8]) -> bool {
        let depth = directory.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).count();
        let directory = Path::new(std::ffi::OsStr::from_bytes(directory));
        let Surroundings { code, home_directory, state, .. } = self.around;
        let inside = [code.as_deref(), *home_directory, Some(state)];
        depth < 2
            || directory == Path::new("/var/tmp")
            || inside.into_iter().flatten().any(|inner| inner.starts_with(directory))
    }
}

/// Leaves room for a number within the 64 characters of a name.
const NAME_MAX: usize = 58;

/// About something of the host that the run does not see.
pub(crate) fn host(
    action: Action,
    thing: &Thing,
    around: &Surroundings<'_>,
    datasets: &mut Datasets<'_>,
) -> (Rank, String) {
    let path = Path::new(std::ffi::OsStr::from_bytes(&thing.path));
    let hidden = thing.path.split(|byte| *byte == b'/').any(|name| name.starts_with(b"."));
    if let Some(rule) = rule(thing, around) {
        return match datasets.suggest(thing).filter(|_| action == Action::Open && !hidden) {
            Some(dataset) => (Rank::Grant, format!("{rule}: change that rule, or {dataset}")),
            None => (Rank::Change, rule),
        };
    }
    if path.starts_with(around.state) {
        return (Rank::Nothing, "no run sees the state of aseptic".to_owned());
    }
    if action == Action::Write {
        let help = "write results to /out ($ASEPTIC_OUT), other files to /work or /tmp: nothing else of this \
                    machine can be written";
        return (Rank::Change, help.to_owned());
    }
    if let Some(inside) = around.code.as_ref().and_then(|code| path.strip_prefix(code).ok()) {
        let inside = Path::new("/work").join(inside);
        let inside = escape_bytes(inside.as_os_str().as_bytes());
        return (
            Rank::Change,
            format!("the code is at /work in a run: name it `{inside}`, or by a relative path"),
        );
    }
    if action == Action::Execute {
        let help = "programs are those in /usr and in the Python environment: install it there (`--python PATH` \
                    names an environment), or put it into the code tree and start it from /work";
        return (Rank::Change, help.to_owned());
    }
    if hidden {
        let help = "no run sees personal settings, caches and credentials; what it needs of them and is not \
                    secret can be copied into the code tree or a dataset";
        return (Rank::Nothing, help.to_owned());
    }
    if action == Action::Connect || is_of_machine(&thing.path) {
        let help = "a part of this machine that no run sees; this version has no way to allow it";
        return (Rank::Nothing, help.to_owned());
    }
    match datasets.suggest(thing) {
        Some(help) => (Rank::Grant, help),
        None => (
            Rank::Change,
            "a whole home or top directory is more than a run should see: name the files in it that it needs"
                .to_owned(),
        ),
    }
}

/// Why something of the code tree is not in the code, if that is so.
pub(crate) fn rule(thing: &Thing, around: &Surroundings<'_>) -> Option<String> {
    let code = around.code.as_ref()?;
    let inside = thing.path.strip_prefix(code.as_os_str().as_bytes())?.strip_prefix(b"/")?;
    if inside.split(|byte| *byte == b'/').any(|name| name == b".git") {
        return Some("the repository itself is never part of the code".to_owned());
    }
    let Rule { file, line } = rule_against(code, inside).ok()??;
    let line = escape_bytes(line.as_bytes());
    Some(format!("the rule `{line}` in `{file}` keeps it out of the code"))
}

/// About an address.
pub(crate) fn address(action: Action, address: SocketAddr) -> (Rank, DeniedReason, String) {
    let local = address.ip().is_loopback() || address.ip().is_unspecified();
    match action {
        Action::Bind if local => {
            let help = "take a port of 1024 or above: lower ones need a privilege that no run has";
            (Rank::Change, DeniedReason::Permissions, help.to_owned())
        }
        Action::Bind => {
            let help = "listen on 127.0.0.1: a run has no other interface";
            (Rank::Change, DeniedReason::NoNetwork, help.to_owned())
        }
        _ => {
            let help = "this machine cannot give a run a network, and `aseptic doctor` says why: put what is \
                        fetched into a dataset";
            (Rank::Nothing, DeniedReason::NoNetwork, help.to_owned())
        }
    }
}

/// About writing where everything is read-only.
pub(crate) fn read_only(path: &[u8]) -> String {
    if path.starts_with(b"/data/") {
        "inputs are read-only: write results to /out ($ASEPTIC_OUT), or work on a copy in /work or /tmp"
            .to_owned()
    } else {
        "only /out, /work, /tmp and $HOME can be written: results belong in /out ($ASEPTIC_OUT)".to_owned()
    }
}

/// About what is there and may not be used like that.
pub(crate) fn forbidden(action: Action, path: &[u8]) -> String {
    match action {
        Action::Execute if path.starts_with(b"/data/") => {
            "inputs are not executed: put programs into the code tree, or copy it to /work first".to_owned()
        }
        Action::Execute => "make it executable before the run: `chmod +x`".to_owned(),
        _ => "a run has the permissions of its user and no privilege: change the mode of the file".to_owned(),
    }
}

fn parent(path: &[u8]) -> &[u8] {
    let end = path.len() - name_of(path).len();
    path.get(..end.saturating_sub(1)).unwrap_or(path)
}

/// `path` as a shell takes it; nothing where a person could not type it.
fn quoted(path: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(path).ok().filter(|text| !text.chars().any(char::is_control))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
    if text.chars().all(plain) {
        return Some(text.to_owned());
    }
    Some(format!("'{}'", text.replace('\'', "'\\''")))
}
