//! From what a job attempted to what it was denied, and to the line that would allow it.
//!
//! Called when no process of the run is left, so that nothing here can tell a job anything. What is
//! neither in the run nor on this machine was not denied: programs look for many files that nobody has.
//!
//! **Invariant:** a suggestion never gives a run more than what it names. Credentials, personal settings
//! and whole home directories are never suggested.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use aseptic_model::{Denied, DeniedReason, Observed, escape_bytes};
use aseptic_sandbox::{Action, Verdict};

use crate::advice::{self, Datasets, Rank};
use crate::attempts::{Attempted, Object, name_of};
use crate::lookup::{Found, look_up};
use crate::provision::JOB_HOME;

/// Entries that a record lists; the attempts behind the others are counted.
const DENIED_MAX: usize = 1_000;

/// What the C library of every program looks for and does without.
const OPTIONAL: [&[u8]; 5] = [
    b"/etc/gai.conf",
    b"/etc/host.conf",
    b"/etc/ld.so.preload",
    b"/etc/locale.alias",
    b"/usr/share/locale/locale.alias",
];

/// What the user has around the run.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// The code tree, without links in its path.
    pub(crate) code: Option<PathBuf>,
    pub(crate) home_directory: Option<&'a Path>,
    /// Where the user's shell looks for programs.
    pub(crate) programs: &'a [PathBuf],
    /// Where aseptic keeps its state.
    pub(crate) state: &'a Path,
}

/// Something of the host that a run does not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Thing {
    pub(crate) path: Vec<u8>,
    pub(crate) found: Found,
}

/// One denied attempt before it has its advice.
#[derive(Debug)]
struct Case {
    action: Action,
    /// As the job named it.
    target: String,
    place: Place,
    count: u64,
}

/// What stood against an attempt, and where.
#[derive(Debug)]
enum Place {
    Address(std::net::SocketAddr),
    Host(Thing),
    ReadOnly(Vec<u8>),
    Forbidden(Vec<u8>),
}

/// What the job was denied, the most useful first, and how far that was seen. Connections are left out where
/// the network of the run was `counted`: that knows their names, and which were granted.
pub(crate) fn explain(
    mut attempted: Attempted,
    around: &Surroundings<'_>,
    counted: bool,
) -> (Vec<Denied>, Observed) {
    if counted {
        attempted.refused.retain(|(action, ..), _| *action != Action::Connect);
    }
    let mut observed = Observed { attempts: attempted.total, unlisted: attempted.unlisted };
    let cases = cases(attempted, around);
    let mut datasets = Datasets::new(around);
    for case in &cases {
        if let (Action::Open, Place::Host(thing)) = (case.action, &case.place) {
            datasets.add(thing);
        }
    }
    let mut denied: Vec<(Rank, Denied)> = Vec::new();
    for case in cases {
        let (rank, reason, help) = match &case.place {
            Place::Address(address) => advice::address(case.action, *address),
            Place::Host(thing) => {
                let (rank, help) = advice::host(case.action, thing, around, &mut datasets);
                (rank, DeniedReason::NotInTheRun, help)
            }
            Place::ReadOnly(path) => (Rank::Change, DeniedReason::ReadOnly, advice::read_only(path)),
            Place::Forbidden(path) => {
                (Rank::Change, DeniedReason::Permissions, advice::forbidden(case.action, path))
            }
        };
        denied.push((
            rank,
            Denied {
                action: name(case.action).to_owned(),
                target: case.target,
                count: case.count,
                reason: Some(reason),
                help: Some(help),
            },
        ));
    }
    denied.sort();
    for (_, rest) in denied.drain(DENIED_MAX.min(denied.len())..) {
        observed.unlisted += rest.count;
    }
    (denied.into_iter().map(|(_, denied)| denied).collect(), observed)
}

/// Everything that was denied, each action and target once.
fn cases(attempted: Attempted, around: &Surroundings<'_>) -> Vec<Case> {
    let mut cases: BTreeMap<(Action, String), Case> = BTreeMap::new();
    let mut searched: BTreeMap<String, Case> = BTreeMap::new();
    for ((action, object, verdict), count) in attempted.refused {
        let (target, place) = match (object, verdict) {
            (Object::Address(address), _) => (address.to_string(), Some(Place::Address(address))),
            (Object::Path(path), Verdict::Missing) => {
                (escape_bytes(&path), host_thing(action, &path, around).map(Place::Host))
            }
            (Object::Path(path), Verdict::ReadOnly) => (escape_bytes(&path), Some(Place::ReadOnly(path))),
            (Object::Path(path), _) => (escape_bytes(&path), Some(Place::Forbidden(path))),
        };
        if let Some(place) = place {
            let case = Case { action, target: target.clone(), place, count: 0 };
            cases.entry((action, target)).or_insert(case).count += count;
        } else if action == Action::Execute
            && let name = name_of(target.as_bytes())
            && !attempted.executed.contains(name)
            && let Some(thing) = around.programs.iter().find_map(|directory| program(directory, name))
        {
            // It was looked for in one directory of `PATH` after the other.
            let target = escape_bytes(&thing.path);
            let case = Case { action, target: target.clone(), place: Place::Host(thing), count: 0 };
            let case = searched.entry(target).or_insert(case);
            case.count = case.count.max(count);
        }
    }
    for (target, case) in searched {
        cases.entry((Action::Execute, target)).or_insert(case);
    }
    cases.into_values().collect()
}

fn program(directory: &Path, name: &[u8]) -> Option<Thing> {
    let path = directory.join(std::ffi::OsStr::from_bytes(name));
    let path = path.as_os_str().as_bytes();
    (path.first() == Some(&b'/') && look_up(path)? == Found::File)
        .then(|| Thing { path: path.to_vec(), found: Found::File })
}

/// What the host has where the job looked: its code tree for `/work`, the user's home directory for the
/// job's, and the same path otherwise.
fn host_thing(action: Action, path: &[u8], around: &Surroundings<'_>) -> Option<Thing> {
    let below = |root: &str| path.strip_prefix(root.as_bytes())?.strip_prefix(b"/");
    let joined = |directory: &Path, rest: &[u8]| [directory.as_os_str().as_bytes(), b"/", rest].concat();
    let code = around.code.as_deref().zip(below("/work")).map(|(code, rest)| joined(code, rest));
    let home = around.home_directory.zip(below(JOB_HOME)).map(|(home, rest)| joined(home, rest));
    let here = !path.starts_with(b"/proc/") && !OPTIONAL.contains(&path);
    let here = here.then(|| path.to_vec());
    let thing = |path: Vec<u8>| look_up(&path).map(|found| Thing { path, found });
    // What is written need not be there, but where it would be.
    let place = |path: Vec<u8>| match (thing(path.clone()), action) {
        (None, Action::Write) => {
            let parent = path.len() - name_of(&path).len() - 1;
            path.get(..parent).filter(|parent| !parent.is_empty()).map(<[u8]>::to_vec).and_then(thing)
        }
        (thing, _) => thing,
    };
    if let Some(thing) = code.and_then(thing) {
        // In the tree and not in the run: a rule left it out, or the job itself removed it.
        return advice::rule(&thing, around).map(|_| thing);
    }
    home.into_iter().chain(here).find_map(place)
}

fn name(action: Action) -> &'static str {
    match action {
        Action::Open => "open",
        Action::Write => "write",
        Action::Execute => "execute",
        Action::Connect => "connect",
        Action::Bind => "bind",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct World {
        directory: tempfile::TempDir,
        attempted: Attempted,
    }

    impl World {
        fn new() -> Self {
            let directory = tempfile::Builder::new().prefix("explain-").tempdir().unwrap();
            Self { directory, attempted: Attempted::default() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().canonicalize().unwrap().join(name)
        }

        fn file(&self, name: &str) -> String {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            path.to_str().unwrap().to_owned()
        }

        fn missing(&mut self, action: Action, path: &str) {
            self.attempted.refuse(action, Object::Path(path.into()), Verdict::Missing);
        }

        /// Action, target and help of everything denied, with the directory of this test named.
        fn explain(self) -> Vec<String> {
            let home = self.path("home");
            let programs = [self.path("bin")];
            let around = Surroundings {
                code: Some(self.path("code")),
                home_directory: Some(&home),
                programs: &programs,
                state: &self.path("home/state"),
            };
            let root = self.path("").to_str().unwrap().to_owned();
            let line = |denied: Denied| {
                format!("{} {}: {}", denied.action, denied.target, denied.help.unwrap_or_default())
            };
            let (denied, _) = explain(self.attempted, &around, false);
            denied.into_iter().map(|denied| line(denied).replace(&root, "[root]/")).collect()
        }
    }

    #[test]
    fn what_is_nowhere_was_not_denied() {
        let mut world = World::new();
        for path in ["/absent/file", "/home/job/absent", "/work/absent", "/proc/1/environ"] {
            world.missing(Action::Open, path);
        }
        world.missing(Action::Execute, "/usr/local/bin/absent");
        world.missing(Action::Write, "/absent/directory/file");
        assert_eq!(world.explain(), [""; 0]);
    }

    #[test]
    fn one_file_is_suggested_as_it_is_and_several_as_their_directory() {
        let mut world = World::new();
        let one = world.file("home/one/a b.csv");
        let (two, three) = (world.file("disk/set/2.png"), world.file("disk/set/3.png"));
        for path in [&one, &two, &three] {
            world.missing(Action::Open, path);
        }
        let lines = world.explain();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[2].contains("`aseptic dataset add '[root]/home/one/a b.csv' --name a-b`"),
            "{lines:#?}"
        );
        assert!(lines[2].contains("`--data a-b=a-b`") && lines[2].contains("/data/a-b/"), "{lines:#?}");
        assert!(lines[1].contains("`aseptic dataset add [root]/disk/set --name set`"), "{lines:#?}");
        assert!(lines[1].contains("all of that directory"), "a suggestion widens silently: {lines:#?}");
    }

    #[test]
    fn nothing_personal_and_no_home_directory_is_suggested() {
        let mut world = World::new();
        let files = ["home/.aws/credentials", "home/.env", "home/state/ledger"].map(|name| world.file(name));
        for path in &files {
            world.missing(Action::Open, path);
        }
        world.file("home/.netrc");
        world.missing(Action::Open, "/home/job/.netrc");
        let home = world.path("home").to_str().unwrap().to_owned();
        world.missing(Action::Open, &home);
        world.missing(Action::Open, "/home");
        let (plain, other) = (world.file("home/a.csv"), world.file("home/b.csv"));
        world.missing(Action::Open, &plain);
        world.missing(Action::Open, &other);
        let lines = world.explain();
        let commands: Vec<_> = lines.iter().filter(|line| line.contains("dataset add")).collect();
        assert_eq!(lines.len(), 8, "{lines:#?}");
        assert_eq!(commands.len(), 2, "{lines:#?}");
        assert!(commands.iter().all(|line| line.contains(".csv --name")), "{lines:#?}");
    }

    #[test]
    fn the_rule_that_left_a_file_out_is_named() {
        let mut world = World::new();
        let absolute = world.file("code/data/big.bin");
        world.file("code/seen.txt");
        world.file("code/.env");
        fs::write(world.path("code/.asepticignore"), "data/\n").unwrap();
        fs::write(world.path("code/.gitignore"), ".env\n").unwrap();
        world.missing(Action::Open, "/work/data/big.bin");
        world.missing(Action::Open, "/work/.env");
        world.missing(Action::Open, "/work/seen.txt"); // The job removed it from its own copy.
        world.missing(Action::Open, &absolute);
        let seen = world.path("code/seen.txt").to_str().unwrap().to_owned();
        world.missing(Action::Open, &seen);
        let lines = world.explain();
        assert_eq!(lines.len(), 4, "{lines:#?}");
        let line = |start: &str| lines.iter().find(|line| line.starts_with(start)).unwrap();
        assert!(line("open /work/data/big.bin").contains("the rule `data/` in `.asepticignore`"));
        assert!(line("open /work/.env").contains("the rule `.env` in `.gitignore`"));
        assert!(line("open [root]/code/data/big.bin").contains("`data/` in `.asepticignore`"));
        assert!(line("open [root]/code/seen.txt").contains("`/work/seen.txt`"), "{lines:#?}");
    }

    #[test]
    fn a_program_is_found_where_the_user_has_it() {
        let mut world = World::new();
        world.file("bin/tool");
        world.file("bin/tool3");
        for directory in ["/usr/local/bin", "/usr/bin", "/bin"] {
            world.missing(Action::Execute, &format!("{directory}/tool"));
            world.missing(Action::Execute, &format!("{directory}/tool3"));
        }
        world.attempted.executed.insert(b"tool3".to_vec()); // Found in another directory.
        let lines = world.explain();
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].starts_with("execute [root]/bin/tool: "), "{lines:#?}");
    }

    #[test]
    fn a_record_lists_a_thousand_and_counts_the_rest() {
        let mut attempted = Attempted::default();
        for number in 0..1_500 {
            let path = format!("/data/x/{number}").into_bytes();
            attempted.refuse(Action::Write, Object::Path(path.clone()), Verdict::ReadOnly);
            attempted.refuse(Action::Write, Object::Path(path), Verdict::ReadOnly);
        }
        let around =
            Surroundings { code: None, home_directory: None, programs: &[], state: Path::new("/absent") };
        let (denied, observed) = explain(attempted, &around, false);
        assert_eq!((denied.len(), observed.unlisted), (1_000, 1_000));
        assert!(denied.iter().all(|denied| denied.count == 2));
    }
}
