//! How often hold-out data may be looked at: a score that was chosen by many looks says little about other data.
//!
//! **Invariant:** a plan with hold-out data is decided, and what it decides is written, while nobody else decides one of
//! the same project; so two runs that start at once do not both have the last evaluation.
//!
//! Source: Dwork et al., "The reusable holdout", Science 349 (2015); Blum and Hardt, "The Ladder", ICML 2015.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use aseptic_catalog::HeldOut;
use aseptic_model::{DatasetName, Digest, Input, InputName, InputSource, Plan, ProjectName};
use aseptic_policy::is_held_out;
use aseptic_store::Store;
use rustix::fs::FlockOperation;

use crate::home::{Home, HomeError, io_error};
use crate::labels::recognised::Known;
use crate::policy::in_force;

/// The label of hold-out data.
pub(crate) const HOLDOUT: &str = "holdout";

/// How long a plan may take to be decided.
const DECIDED_WITHIN: Duration = Duration::from_secs(30);

/// How often hold-out data was looked at in a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evaluations {
    /// Runs that were let at it.
    pub used: u64,
    /// How many there may be before each needs approval.
    pub permitted: u32,
}

/// The inputs of a plan that are hold-out data, with the runs that were let at each before.
pub(crate) fn evaluations(home: &Home, plan: &Plan) -> Result<BTreeMap<InputName, u64>, HomeError> {
    let inputs: Vec<_> = plan.inputs.iter().filter(|(_, input)| is_held_out(&input.labels)).collect();
    if inputs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let snapshots: Vec<_> = inputs.iter().map(|(_, input)| input.snapshot).collect();
    let looks = Looks::at(home, &plan.project, &snapshots)?;
    let mut evaluations = BTreeMap::new();
    for (name, Input { source, snapshot, .. }) in inputs {
        let of = match source {
            InputSource::Dataset { name, .. } => HeldOut::Dataset { name: name.clone(), snapshot: *snapshot },
            InputSource::Artifact { run, .. } => HeldOut::Run(run.clone()),
        };
        evaluations.insert(name.clone(), looks.count(&of, snapshot)?);
    }
    Ok(evaluations)
}

/// How many runs were let at some hold-out data, or at other that has one of its files: a part of a hold-out, and a
/// version with something beside it, would be a hold-out that nobody has looked at otherwise.
struct Looks<'a> {
    home: &'a Home,
    project: &'a ProjectName,
    store: Store,
    known: Known,
}

impl<'a> Looks<'a> {
    fn at(home: &'a Home, project: &'a ProjectName, snapshots: &[Digest]) -> Result<Self, HomeError> {
        let store = home.store(project)?;
        // What cannot be read, no run can read.
        let snapshots: Vec<_> =
            snapshots.iter().filter(|snapshot| store.snapshot(snapshot).is_ok()).copied().collect();
        let known = Known::with_files_of(home, project, None, &snapshots)?;
        Ok(Self { home, project, store, known })
    }

    fn count(&self, of: &HeldOut, snapshot: &Digest) -> Result<u64, HomeError> {
        let also = match self.store.snapshot(snapshot) {
            Ok(_) => self.known.held_out_with_files_of(&self.store, snapshot)?,
            Err(_) => BTreeSet::new(),
        };
        Ok(self.home.catalog.evaluations(self.project, of, snapshot, also, &is_held_out)?)
    }
}

/// How often one dataset was looked at.
pub(crate) fn evaluations_of(
    home: &Home,
    project: &ProjectName,
    name: &DatasetName,
    snapshot: &Digest,
) -> Result<Evaluations, HomeError> {
    let of = HeldOut::Dataset { name: name.clone(), snapshot: *snapshot };
    Ok(Evaluations {
        used: Looks::at(home, project, &[*snapshot])?.count(&of, snapshot)?,
        permitted: in_force(home, project)?.policies.settings().evaluations,
    })
}

/// Nobody else decides a plan with hold-out data of the project as long as this lives. Nothing when another process takes
/// too long: one that is stopped would be waited for without end. Other plans wait for nobody.
pub(crate) fn alone(home: &Home, plan: &Plan) -> Result<Option<Held>, HomeError> {
    if !plan.inputs.values().any(|input| is_held_out(&input.labels)) {
        return Ok(Some(Held { _file: None }));
    }
    let path = home.dir().join("projects").join(plan.project.as_str()).join("holdout.lock");
    let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = file.map_err(|source| io_error("open", &path, source))?;
    let began = Instant::now();
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(Held { _file: Some(file) })),
            Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < DECIDED_WITHIN => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io_error("lock", &path, error.into())),
        }
    }
}

/// The right to decide a plan with hold-out data.
#[derive(Debug)]
pub(crate) struct Held {
    _file: Option<File>,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use aseptic_model::Outcome;
    use aseptic_store::ImportOptions;

    use super::*;
    use crate::dataset::{Said, add, label};
    use crate::labels::since_decided;
    use crate::observer::{Event, Observer};
    use crate::request::{CodeChoice, Request};

    struct Nobody;

    impl Observer for Nobody {
        fn event(&mut self, _: Event<'_>) {}
    }

    fn project() -> ProjectName {
        "default".parse().unwrap()
    }

    fn with_data(dir: &Path) -> Home {
        fs::create_dir(dir.join("code")).unwrap();
        fs::write(dir.join("code/test.csv"), "1,2\n").unwrap();
        let mut home = Home::open(&dir.join("state")).unwrap();
        let (name, path) = ("test".parse().unwrap(), dir.join("code/test.csv"));
        add(&mut home, &project(), &path, &name, &Said::default(), &ImportOptions::default(), &mut Nobody)
            .unwrap();
        home
    }

    fn hold_out(home: &mut Home) {
        let labels = BTreeSet::from(["Role=HOLDOUT".parse().unwrap()]);
        label(home, &project(), &"test".parse().unwrap(), &labels).unwrap();
    }

    fn assert_kept_from_starting(dir: &Path, request: &Request) {
        let mut home = with_data(dir);
        let planned = crate::plan(&mut home, request, &mut Nobody).unwrap();
        assert_eq!(since_decided(&home, &planned.plan).unwrap(), None);
        hold_out(&mut home);
        assert_eq!(
            crate::decide(&home, &planned).unwrap().decision.outcome,
            Outcome::Allow,
            "as it was planned"
        );
        let why = since_decided(&home, &planned.plan).unwrap().unwrap();
        assert!(why.contains("the label `Role=HOLDOUT` since the plan was decided"), "{why}");
        let planned = crate::plan(&mut home, request, &mut Nobody).unwrap();
        assert_eq!(crate::decide(&home, &planned).unwrap().decision.outcome, Outcome::Deny);
        assert_eq!(since_decided(&home, &planned.plan).unwrap(), None);
    }

    #[test]
    fn a_label_after_the_plan_keeps_its_run_from_starting() {
        let dir = tempfile::tempdir().unwrap();
        let data = [("test".parse().unwrap(), "test".parse().unwrap())].into();
        let request = Request {
            command: vec!["true".to_owned()],
            code: CodeChoice::Nothing,
            data,
            ..Request::default()
        };
        assert_kept_from_starting(dir.path(), &request);
    }

    #[test]
    fn a_label_of_data_in_the_code_does_so_too() {
        let dir = tempfile::tempdir().unwrap();
        let code = CodeChoice::Directory(dir.path().join("code"));
        let request = Request { command: vec!["true".to_owned()], code, ..Request::default() };
        assert_kept_from_starting(dir.path(), &request);
    }
}
