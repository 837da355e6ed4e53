//! Labels of versions, runs and outputs: giving them, taking them off, and where they came from.
//!
//! The catalog makes them flow ([`aseptic_catalog`]); here is what people decide about them, and what that reaches.

pub(crate) mod recognised;
pub(crate) mod sidecar;

use std::collections::{BTreeMap, BTreeSet};

use aseptic_catalog::{CatalogError, Descendants, LabelCount, LabelSources};
use aseptic_model::{
    Class, Diagnose, Diagnosis, Event as Entry, FilePath, Input, InputRef, InputSource, Label, MetaValue,
    Object, ObjectRef, Plan, ProjectName, RunId, RunRecord,
};
use aseptic_policy::Act;

use crate::dataset::{self, DatasetError};
use crate::home::{Home, HomeError};
use crate::objects::{Purpose, resolve};
use crate::results::{ResultError, not_sealed};
use recognised::Known;

/// Something after its labels were changed.
#[derive(Debug)]
pub struct Labelled {
    /// It, by its whole identity.
    pub object: Object,
    /// Its labels now.
    pub labels: BTreeSet<Label>,
    /// What was recorded; nothing when all of it was so before.
    pub recorded: Vec<Entry>,
    /// Other versions of the same bytes that still have a label which was taken off.
    pub still: Vec<Object>,
    /// What came of it and has other labels by that.
    pub reached: LabelsReached,
}

/// How many runs and versions that came of something have other labels now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelsReached {
    /// Those that gained a label.
    pub gained: BTreeMap<Label, LabelCount>,
    /// Those that lost a label.
    pub lost: BTreeMap<Label, LabelCount>,
    /// Those that still have a label which was taken off, by another way or by their own.
    pub still: BTreeMap<Label, LabelCount>,
    /// Whether more came of it than were counted.
    pub truncated: bool,
}

/// Why labels were not changed or shown. Nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// Labels are on what runs read and leave.
    #[error("`{0}` has no labels of its own")]
    NoLabels(Object),
    /// Nothing, or nothing that may be labelled, is meant.
    #[error(transparent)]
    Result(#[from] ResultError),
}

impl Diagnose for LabelError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::NoLabels(_) => Diagnosis::new(
                Class::User,
                "label/object",
                "name a dataset as DATASET or DATASET@VERSION, or what a run left as run:RUN or run:RUN/PATH",
            ),
            Self::Result(error) => error.diagnosis(),
        }
    }
}

impl From<DatasetError> for LabelError {
    fn from(error: DatasetError) -> Self {
        Self::Result(error.into())
    }
}

impl From<HomeError> for LabelError {
    fn from(error: HomeError) -> Self {
        Self::Result(error.into())
    }
}

impl From<CatalogError> for LabelError {
    fn from(error: CatalogError) -> Self {
        Self::Result(error.into())
    }
}

/// Bytes of labels that the entry of a sealed run has room for, beside what else it says.
const SEALED_BYTES_MAX: usize = 48 << 10;

/// What is done about labels.
enum Change<'a> {
    Give,
    TakeOff(&'a MetaValue),
}

/// Gives labels to a version of a dataset, to what a run left or to one output, and with that to everything that came
/// of it. Durable when it returns.
///
/// # Errors
/// [`LabelError`].
pub fn label(
    home: &mut Home,
    project: &ProjectName,
    reference: &ObjectRef,
    labels: &BTreeSet<Label>,
) -> Result<Labelled, LabelError> {
    change(home, project, reference, labels, &Change::Give)
}

/// Takes labels off a version, off what a run left or off one output, for `reason`. What came of it loses them where no
/// other way brings them. Durable when it returns.
///
/// # Errors
/// [`LabelError`].
pub fn declassify(
    home: &mut Home,
    project: &ProjectName,
    reference: &ObjectRef,
    labels: &BTreeSet<Label>,
    reason: &MetaValue,
) -> Result<Labelled, LabelError> {
    change(home, project, reference, labels, &Change::TakeOff(reason))
}

fn change(
    home: &mut Home,
    project: &ProjectName,
    reference: &ObjectRef,
    labels: &BTreeSet<Label>,
    change: &Change<'_>,
) -> Result<Labelled, LabelError> {
    let act = match change {
        Change::Give => Act::Label,
        Change::TakeOff(_) => Act::Declassify,
    };
    home.allowed(project, act, None)?;
    home.catch_up()?;
    let object = labelled_object(home, project, reference, Purpose::Act)?;
    match &object {
        Object::Dataset { name, version } => {
            let version = InputRef::Dataset { name: name.clone(), version: *version };
            let done = match change {
                Change::Give => dataset::label(home, project, &version, labels)?,
                Change::TakeOff(reason) => dataset::unlabel(home, project, &version, labels, reason)?,
            };
            Ok(Labelled {
                object,
                labels: done.version.labels,
                recorded: done.recorded,
                still: done.still.iter().map(object_of).collect(),
                reached: done.reached,
            })
        }
        Object::Run(run) => change_run(home, project, (&object, run, None), labels, change),
        Object::Artifact { run, path } => {
            change_run(home, project, (&object, run, Some(path)), labels, change)
        }
        _ => Err(LabelError::NoLabels(object)),
    }
}

fn change_run(
    home: &mut Home,
    project: &ProjectName,
    (object, run, path): (&Object, &RunId, Option<&FilePath>),
    labels: &BTreeSet<Label>,
    change: &Change<'_>,
) -> Result<Labelled, LabelError> {
    let _lock = dataset::lock(home, project)?;
    let summary = home.catalog.run(project, run)?.filter(|summary| summary.record.is_none());
    if let Some(summary) = summary {
        return Err(not_sealed(&summary, "labels").into());
    }
    let has = home.catalog.labels_of_outputs(project, run, path)?;
    let none = BTreeSet::new();
    let (added, removed, reason) = match change {
        Change::Give => {
            let own = home.catalog.labels_given(project, object)?;
            (labels.difference(&own).cloned().collect(), none, None)
        }
        Change::TakeOff(reason) => {
            (none, labels.intersection(&has).cloned().collect::<BTreeSet<_>>(), Some(reason.to_string()))
        }
    };
    let mut recorded = Vec::new();
    let mut reached = LabelsReached::default();
    if !(added.is_empty() && removed.is_empty()) {
        let before = Before::look(home, project, [object], labels)?;
        let (run, path) = (run.clone(), path.cloned());
        recorded.push(Entry::RunLabelled { run, path, added, removed, reason });
        home.record(project, recorded.clone())?;
        home.catch_up()?;
        reached = before.compare(home)?;
    }
    let labels = home.catalog.labels_of_outputs(project, run, path)?;
    Ok(Labelled { object: object.clone(), labels, recorded, still: Vec::new(), reached })
}

/// Where the labels of something came from.
///
/// # Errors
/// [`LabelError`].
pub fn label_sources(
    home: &Home,
    project: &ProjectName,
    reference: &ObjectRef,
) -> Result<(Object, LabelSources), LabelError> {
    home.allowed(project, Act::View, None)?;
    let object = labelled_object(home, project, reference, Purpose::Look)?;
    home.allowed_on(project, Act::View, &object)?;
    match home.catalog.label_sources(project, &object)? {
        Some(found) => Ok((object, found)),
        None => Err(LabelError::NoLabels(object)),
    }
}

/// What `reference` names; of a dataset without a version, the newest.
fn labelled_object(
    home: &Home,
    project: &ProjectName,
    reference: &ObjectRef,
    purpose: Purpose,
) -> Result<Object, LabelError> {
    let object = resolve(home, project, reference, purpose)?.object;
    match object {
        Object::Dataset { name, version } => {
            Ok(object_of(&dataset::find(home, project, &InputRef::Dataset { name, version })?))
        }
        object => Ok(object),
    }
}

pub(crate) fn object_of(version: &aseptic_catalog::DatasetVersion) -> Object {
    Object::Dataset { name: version.name.clone(), version: Some(version.version) }
}

/// What came of some things, and how many of it had labels before these were changed.
pub(crate) struct Before {
    came: Descendants,
    had: BTreeMap<Label, LabelCount>,
}

impl Before {
    pub(crate) fn look<'o>(
        home: &Home,
        project: &ProjectName,
        objects: impl IntoIterator<Item = &'o Object>,
        labels: &BTreeSet<Label>,
    ) -> Result<Self, HomeError> {
        let mut came = Descendants::default();
        for object in objects {
            came.extend(home.catalog.came_of(project, object)?);
        }
        let had = home.catalog.labelled_among(&came, labels)?;
        Ok(Self { came, had })
    }

    /// What changed since.
    pub(crate) fn compare(self, home: &Home) -> Result<LabelsReached, HomeError> {
        let labels = self.had.keys().cloned().collect();
        let mut reached = LabelsReached { truncated: self.came.truncated, ..LabelsReached::default() };
        for (label, now) in home.catalog.labelled_among(&self.came, &labels)? {
            let before = self.had.get(&label).copied().unwrap_or_default();
            let more = |now: LabelCount, before: LabelCount| LabelCount {
                runs: now.runs.saturating_sub(before.runs),
                versions: now.versions.saturating_sub(before.versions),
            };
            let (gained, lost) = (more(now, before), more(before, now));
            for (count, to) in
                [(gained, &mut reached.gained), (lost, &mut reached.lost), (now, &mut reached.still)]
            {
                if count != LabelCount::default() {
                    to.insert(label.clone(), count);
                }
            }
        }
        Ok(reached)
    }
}

/// The labels of an input as they are now; nothing where its source is not known here.
pub(crate) fn labels_now(
    home: &Home,
    project: &ProjectName,
    input: &Input,
) -> Result<Option<BTreeSet<Label>>, HomeError> {
    match &input.source {
        InputSource::Dataset { name, version } => {
            let found = home.catalog.dataset_version(project, name, Some(*version))?;
            Ok(found.map(|version| version.labels))
        }
        InputSource::Artifact { run, path } => match home.catalog.run(project, run)? {
            Some(_) => Ok(Some(home.catalog.labels_of_outputs(project, run, path.as_ref())?)),
            None => Ok(None),
        },
    }
}

/// Why a run that was allowed must not start: an input has a label that was not there when it was decided. The catalog
/// must be up to date.
pub(crate) fn since_decided(home: &Home, plan: &Plan) -> Result<Option<String>, HomeError> {
    for (name, input) in &plan.inputs {
        let Some(now) = labels_now(home, &plan.project, input)? else { continue };
        if let Some(label) = now.difference(&input.labels).next() {
            return Ok(Some(format!(
                "data.{name} has the label `{label}` since the plan was decided; start it again"
            )));
        }
    }
    let Some(code) = &plan.code else { return Ok(None) };
    let known = Known::with_files_of(home, &plan.project, None, &[code.snapshot])?;
    let recognised = known.within(&home.store(&plan.project)?, &code.snapshot)?;
    let new = recognised.labels.difference(&code.labels).next();
    Ok(new.map(|label| {
        format!("data in the code has the label `{label}` since the plan was decided; start it again")
    }))
}

/// Adds the labels that inputs of a run got while it ran, and those of what was piped into it.
///
/// The catalog gives them to its outputs sooner or later, whatever is recorded here, so one that cannot be reached keeps
/// nothing from being sealed.
pub(crate) fn since_started(home: &mut Home, record: &mut RunRecord) {
    if home.catch_up().is_ok()
        && let Ok(now) = home.catalog.labels_of_outputs(&record.project, &record.run, None)
    {
        record.labels.extend(now);
        record.labels.extend(of_input(home, record).unwrap_or_default());
    }
}

/// The labels that the entry of a sealed run names: all, or, where an entry has no room for so many, those that the run
/// does not have from its plan and its inputs, which the catalog knows. What came with data from elsewhere can have
/// thousands, and a run that has ended must be sealed. Whether some of them had to be left out, the record says.
pub(crate) fn of_entry(home: &Home, record: &mut RunRecord) -> BTreeSet<Label> {
    if bytes(&record.labels) <= SEALED_BYTES_MAX {
        return record.labels.clone();
    }
    let known = home.catalog.labels_of_outputs(&record.project, &record.run, None).unwrap_or_default();
    let mut room = SEALED_BYTES_MAX;
    let mut labels: BTreeSet<Label> = record.labels.difference(&known).cloned().collect();
    let all = labels.len();
    labels.retain(|label| {
        let fits = label_bytes(label) <= room;
        room -= if fits { label_bytes(label) } else { 0 };
        fits
    });
    if labels.len() < all {
        let lost = all - labels.len();
        record.told.push(format!("{lost} labels of what was piped in do not flow on: there are too many"));
    }
    labels
}

fn bytes(labels: &BTreeSet<Label>) -> usize {
    labels.iter().map(label_bytes).sum()
}

/// With its quotation marks and comma.
pub(crate) fn label_bytes(label: &Label) -> usize {
    label.as_str().len() + 3
}

/// Labels of what was piped into a run, if that is a file which is known.
fn of_input(home: &Home, record: &RunRecord) -> Result<BTreeSet<Label>, HomeError> {
    let Some(log) = record.logs.given().filter(|log| log.size > 0 && log.dropped == 0) else {
        return Ok(BTreeSet::new());
    };
    let mut labels = Known::with_file(home, &record.project, &log.blake3)?.labels_of(&log.blake3);
    labels.extend(home.catalog.labels_of_file(&log.blake3)?);
    Ok(labels)
}
