//! Collect: delete what nothing needs any more, and say so before.
//!
//! What must stay is read from the catalog while nobody else can write to the store: the snapshot of every
//! dataset version that has not expired; of every run its plan and its record for ever, its outputs, code and logs
//! until it expires, its inputs while it goes on or is on hold.
//!
//! **Invariant:** that something expired, and the list of every object that goes, are in the ledger before anything
//! is deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aseptic_catalog::{RunFilter, RunSummary};
use aseptic_model::{
    Class, Diagnose, Diagnosis, Digest, Event as Entry, ProjectName, Retained, Retention, RunRecord,
    Timestamp,
};
use aseptic_policy::Act;
use aseptic_store::{GcError, Lease, Marked, Roots, Store, StoreError, Sweep};

use crate::home::{Home, HomeError, now};
use crate::observer::{Event, Observer};
use crate::retention::{Standing, defaults_of};

/// How often it is looked whether those who write are done.
const POLL: Duration = Duration::from_millis(20);
/// Entries of one commit: even the longest fit in what a ledger takes at once.
const COMMIT_ENTRIES: usize = 200;

/// Why nothing was collected in a project, or not everything.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// What a live snapshot or object needs cannot be found out. Nothing was deleted.
    #[error("nothing was deleted in project `{project}`, because what {owner} needs cannot be read")]
    Needed {
        /// The project.
        project: ProjectName,
        /// Whose it is, in words.
        owner: String,
        /// Whose it is, for commands.
        object: Option<Retained>,
        /// What cannot be read.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The state of this machine. What was deleted before is recorded; the next collection goes on.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for CollectError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Needed { object, .. } => {
                let object = object.as_ref().map_or_else(|| "OBJECT".to_owned(), Retained::to_string);
                let help = format!(
                    "import its source again or `aseptic restore` it, or give it up with `aseptic retention set \
                     {object} 0d`"
                );
                Diagnosis::new(Class::Damaged, "retention/unreadable", help)
            }
            Self::Home(error) => error.diagnosis(),
        }
    }
}

impl From<StoreError> for CollectError {
    fn from(error: StoreError) -> Self {
        Self::Home(error.into())
    }
}

impl From<aseptic_catalog::CatalogError> for CollectError {
    fn from(error: aseptic_catalog::CatalogError) -> Self {
        Self::Home(error.into())
    }
}

/// Whether anything is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// Nothing is, and nothing is recorded: it is only said what would be.
    DryRun,
    /// Everything is that nothing needs.
    Now,
}

/// What a collection deleted in one project, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// The project.
    pub project: ProjectName,
    /// Whose time is over.
    pub expired: Vec<Standing>,
    /// Objects that nothing needs.
    pub objects: u64,
    /// Bytes that they have on disk.
    pub bytes: u64,
    /// Views of snapshots that nothing needs, and unfinished work of processes that died.
    pub views: u64,
    /// The list of the objects, where there are any and they were deleted.
    pub list: Option<Digest>,
}

/// Collects in one project, or in all of them.
///
/// Waits until nobody writes to the store, with a note; whoever then wants to write waits for the end. Several at
/// once do no harm, and one that was killed is finished by the next.
///
/// # Errors
/// [`CollectError`]. Nothing that is needed was deleted, and nothing that is not recorded.
pub fn collect(
    home: &mut Home,
    project: Option<&ProjectName>,
    collection: Collection,
    observer: &mut dyn Observer,
) -> Result<Vec<Collected>, CollectError> {
    let projects = match project {
        Some(project) => vec![project.clone()],
        None => home.projects()?,
    };
    for project in &projects {
        home.allowed(project, Act::Collect, None)?;
    }
    if collection == Collection::Now {
        crate::archive::clear(home)?; // Copies that an archive or a restore left that was killed.
    }
    let mut collected = Vec::with_capacity(projects.len());
    for project in projects {
        if !home.has_store(&project) {
            continue; // Nothing was ever stored.
        }
        let store = home.store(&project)?;
        collected.push(match collection {
            Collection::DryRun => look(home, &project, &store, observer)?,
            Collection::Now => go(home, &project, &store, observer)?,
        });
    }
    Ok(collected)
}

/// What is live and what is due, at one instant.
struct Survey {
    due: Vec<(Standing, BTreeSet<Digest>)>,
    marked: Marked,
}

/// Says what would be deleted.
fn look(
    home: &mut Home,
    project: &ProjectName,
    store: &Store,
    observer: &mut dyn Observer,
) -> Result<Collected, CollectError> {
    let Survey { due, marked } = if let Some(sweep) = store.try_sweep()? {
        survey(home, project, store, sweep.lease())?
    } else {
        observer.event(Event::Note(&format!(
            "something is being written to project `{project}`; what is not recorded yet counts as not needed"
        )));
        survey(home, project, store, &store.lease()?)?
    };
    Ok(collected(project, due, &marked, None))
}

fn go(
    home: &mut Home,
    project: &ProjectName,
    store: &Store,
    observer: &mut dyn Observer,
) -> Result<Collected, CollectError> {
    let sweep = wait(project, store, observer)?;
    let Survey { due, marked } = survey(home, project, store, sweep.lease())?;
    // None of it is an object, and a full disk may need its space for the list.
    sweep.clear(&marked)?;
    let mut entries: Vec<_> = due
        .iter()
        .map(|(standing, snapshots)| Entry::RetentionExpired {
            object: standing.object.clone(),
            class: standing.class,
            snapshots: snapshots.clone(),
        })
        .collect();
    let mut list = None;
    let (objects, bytes) = (marked.objects(), marked.bytes());
    if objects > 0 {
        let digest = sweep.put_list(&marked)?;
        entries.push(Entry::StoreCollected { objects, bytes, list: digest });
        list = Some(digest);
    }
    while !entries.is_empty() {
        let rest = entries.split_off(entries.len().min(COMMIT_ENTRIES));
        home.record(project, std::mem::replace(&mut entries, rest))?;
    }
    let done = collected(project, due, &marked, list);
    let swept = sweep.sweep(marked)?;
    home.catch_up()?;
    if swept.damaged > 0 {
        observer.event(Event::Note(&format!(
            "{} objects of project `{project}` are damaged; `aseptic dataset verify` says which files",
            swept.damaged
        )));
    }
    Ok(done)
}

fn collected(
    project: &ProjectName,
    due: Vec<(Standing, BTreeSet<Digest>)>,
    marked: &Marked,
    list: Option<Digest>,
) -> Collected {
    Collected {
        project: project.clone(),
        expired: due.into_iter().map(|(standing, _)| standing).collect(),
        objects: marked.objects(),
        bytes: marked.bytes(),
        views: marked.views(),
        list,
    }
}

/// Waits until nobody writes to the store.
fn wait<'s>(
    project: &ProjectName,
    store: &'s Store,
    observer: &mut dyn Observer,
) -> Result<Sweep<'s>, CollectError> {
    let mut said = false;
    loop {
        if let Some(sweep) = store.try_sweep()? {
            return Ok(sweep);
        }
        if !said {
            said = true;
            observer.event(Event::Note(&format!("waiting until nothing is written to project `{project}`")));
        }
        std::thread::sleep(POLL); // flock(2) could wait, and would not show the note or let others go first.
    }
}

fn survey(
    home: &mut Home,
    project: &ProjectName,
    store: &Store,
    lease: &Lease,
) -> Result<Survey, CollectError> {
    home.catch_up()?;
    let mut needs = Needs::new(home, project);
    needs.gather(now())?;
    let Needs { roots, owners, due, .. } = needs;
    let marked = store.mark(lease, &roots).map_err(|error| match error {
        GcError::Store(error) => CollectError::from(error),
        GcError::Unreadable { root, .. } => {
            let object = owners.get(&root).cloned();
            let owner = object.as_ref().map_or_else(|| "an input".to_owned(), |object| format!("`{object}`"));
            CollectError::Needed { project: project.clone(), owner, object, source: error.into() }
        }
    })?;
    Ok(Survey { due, marked })
}

/// What must stay in a project.
struct Needs<'h> {
    home: &'h Home,
    project: &'h ProjectName,
    roots: Roots,
    /// Of which thing a root is, for errors.
    owners: BTreeMap<Digest, Retained>,
    /// What runs on hold read: it does not expire.
    held: BTreeSet<Digest>,
    due: Vec<(Standing, BTreeSet<Digest>)>,
}

impl<'h> Needs<'h> {
    fn new(home: &'h Home, project: &'h ProjectName) -> Self {
        let (roots, owners, held) = (Roots::default(), BTreeMap::new(), BTreeSet::new());
        Self { home, project, roots, owners, held, due: Vec::new() }
    }

    fn gather(&mut self, now: Timestamp) -> Result<(), CollectError> {
        let [datasets, default] = defaults_of(self.home, self.project)?;
        let runs = self.home.catalog.runs(self.project, usize::MAX, &RunFilter::default())?;
        let runs: Vec<_> = runs.iter().rev().map(|run| (run, Standing::of_run(run, default))).collect();
        for (run, standing) in &runs {
            self.inputs(run, standing)?;
        }
        for version in self.home.catalog.all_versions(self.project)? {
            let standing = Standing::of_version(&version, datasets);
            let snapshots = BTreeSet::from([version.snapshot]);
            if standing.is_due(now) && !self.held.contains(&version.snapshot) {
                self.due.push((standing, snapshots));
            } else if standing.expired.is_none() {
                self.keep(&standing.object, snapshots);
            }
        }
        for (run, standing) in runs {
            self.run(run, standing, now)?;
        }
        self.roots.objects.extend(self.home.catalog.kept_objects(self.project)?);
        Ok(())
    }

    /// Keeps what a run reads: while it goes on, or as long as it is on hold.
    fn inputs(&mut self, run: &RunSummary, standing: &Standing) -> Result<(), CollectError> {
        let held = standing.class == Retention::Hold && standing.expired.is_none();
        if run.status.is_none() || held {
            let inputs = self.home.catalog.inputs(self.project, &run.run)?;
            self.held.extend(inputs.iter().filter(|_| held));
            self.keep(&standing.object, inputs);
        }
        if run.status.is_none() {
            self.roots.mounted.extend(run.code);
        }
        Ok(())
    }

    fn keep(&mut self, object: &Retained, snapshots: impl IntoIterator<Item = Digest>) {
        for snapshot in snapshots {
            self.owners.entry(snapshot).or_insert_with(|| object.clone());
            self.roots.snapshots.insert(snapshot);
        }
    }

    fn run(&mut self, run: &RunSummary, standing: Standing, now: Timestamp) -> Result<(), CollectError> {
        self.roots
            .objects
            .extend([run.plan].into_iter().chain(run.record).chain(run.attestation).chain(run.inventory));
        if standing.expired.is_some() {
            return Ok(());
        }
        let outputs = run.outputs.filter(|outputs| run.record != Some(*outputs));
        let due = standing.is_due(now) && outputs.is_none_or(|outputs| !self.held.contains(&outputs));
        let logs = match self.logs(run) {
            Ok(logs) => logs,
            Err(_) if due => Vec::new(), // They are given up in any case.
            Err(source) => {
                return Err(CollectError::Needed {
                    project: self.project.clone(),
                    owner: format!("`{}`", standing.object),
                    object: Some(standing.object),
                    source: source.into(),
                });
            }
        };
        let snapshots = outputs.into_iter().chain(run.code);
        if due {
            self.due.push((standing, snapshots.chain(logs).collect()));
        } else {
            self.keep(&standing.object, snapshots);
            self.roots.objects.extend(logs);
        }
        Ok(())
    }

    /// What a run printed and was given, as its record says.
    fn logs(&self, run: &RunSummary) -> Result<Vec<Digest>, HomeError> {
        let Some(digest) = run.record else { return Ok(Vec::new()) };
        let record: RunRecord = self.home.object(self.project, &digest)?;
        Ok(record.kept_logs().map(|log| log.blake3).collect())
    }
}
