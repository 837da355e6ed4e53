//! What a person names, looked up: the one way from an [`ObjectRef`] to an [`Object`].

use aseptic_catalog::DatasetVersion;
use aseptic_model::{
    DatasetName, Digest, FilePath, InputRef, Object, ObjectRef, ProjectName, RunId, RunRef, VersionRef,
};
use aseptic_policy::Act;
use aseptic_store::{EntryKind, StoreError};

use crate::dataset::{look_for, missing};
use crate::home::Home;
use crate::labels::object_of;
use crate::results::{ResultError, summary};
use crate::retention::{there, there_run};

/// What a name stands for in one project.
#[derive(Clone, Debug)]
pub(crate) struct NamedObject {
    /// It, by its whole identity.
    pub(crate) object: Object,
    /// Where a file or directory was named by its place in a dataset. The object is the file or the tree itself
    /// then, wherever else it lies.
    pub(crate) place: Option<(DatasetVersion, FilePath)>,
}

impl From<Object> for NamedObject {
    fn from(object: Object) -> Self {
        Self { object, place: None }
    }
}

/// What something is looked up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To do something about it, which is an act of its own.
    Act,
    /// To show it. Whether there is such a file or directory is only said to who may look at it, or at the version with it.
    Look,
}

/// Looks up what `reference` names in `project`. The catalog must be up to date.
///
/// A dataset without a version is every version of it. A file or directory in a dataset (of its newest version,
/// where none is given) becomes its digest. A digest becomes the tree, the rules or the file that has it. Where no
/// dataset has a name, the run or experiment of that name is meant. A host, a package, rules and anything that
/// was written with its kind and digest is taken as it stands: nothing here says that it ever occurred.
///
/// # Errors
/// - [`ResultError::Dataset`], [`ResultError::Resolve`], [`ResultError::NoOutput`], [`ResultError::NoFile`],
///   [`ResultError::NoDigest`]: it names nothing.
/// - [`ResultError::Gone`]: the path lies in bytes that were deleted.
/// - [`ResultError::Home`]: the state could not be read.
pub(crate) fn resolve(
    home: &Home,
    project: &ProjectName,
    reference: &ObjectRef,
    purpose: Purpose,
) -> Result<NamedObject, ResultError> {
    match reference {
        ObjectRef::Object(Object::Dataset { name, version }) => {
            let version = version.map_or(VersionRef::Any, VersionRef::Number);
            of_dataset(home, project, name, (version, None), purpose)
        }
        ObjectRef::Object(object) => Ok(object.clone().into()),
        ObjectRef::Dataset { name, version, path } => {
            of_dataset(home, project, name, (*version, path.as_ref()), purpose)
        }
        ObjectRef::Run { run, path } => of_run(home, project, run, path.as_ref(), purpose),
        ObjectRef::Digest(digest) => of_digest(home, project, digest),
    }
}

fn of_dataset(
    home: &Home,
    project: &ProjectName,
    name: &DatasetName,
    (version, path): (VersionRef, Option<&FilePath>),
    purpose: Purpose,
) -> Result<NamedObject, ResultError> {
    let number = match version {
        VersionRef::Number(number) => Some(number),
        VersionRef::Any | VersionRef::Latest => None,
    };
    let reference = InputRef::Dataset { name: name.clone(), version: number };
    let Some(found) = look_for(home, project, &reference)? else {
        // A run may be named without `run:` where no dataset has its name.
        return match name.as_str().parse::<RunRef>() {
            Ok(run) if version == VersionRef::Any && home.catalog.resolve_run(project, &run).is_ok() => {
                of_run(home, project, &run, path, purpose)
            }
            _ => Err(missing(home, project, &reference).into()),
        };
    };
    let Some(path) = path else {
        let version = (version != VersionRef::Any).then_some(found.version);
        return Ok(Object::Dataset { name: found.name, version }.into());
    };
    if purpose == Purpose::Look {
        home.allowed_on(project, Act::View, &object_of(&found))?;
    }
    there(&found)?;
    let no_file =
        || ResultError::NoFile { name: found.name.clone(), version: found.version, path: path.clone() };
    let entry = home.store(project)?.lookup(&found.snapshot, path)?.ok_or_else(no_file)?;
    let object = match entry.kind {
        EntryKind::File { digest, .. } => Object::File(digest),
        EntryKind::Directory { digest, .. } => Object::Snapshot(digest),
        EntryKind::Symlink { .. } => return Err(no_file()),
    };
    Ok(NamedObject { object, place: Some((found, path.clone())) })
}

fn of_run(
    home: &Home,
    project: &ProjectName,
    run: &RunRef,
    path: Option<&FilePath>,
    purpose: Purpose,
) -> Result<NamedObject, ResultError> {
    let summary = summary(home, project, run)?;
    let run: RunId = summary.run.clone();
    let Some(path) = path else { return Ok(Object::Run(run).into()) };
    let artifact = Object::Artifact { run: run.clone(), path: path.clone() };
    if purpose == Purpose::Look {
        home.allowed_on(project, Act::View, &artifact)?;
    }
    // The record lists files, also those whose bytes are gone; an empty directory is only in the tree.
    if home.catalog.has_output(project, &run, path)? {
        return Ok(artifact.into());
    }
    let missing = || ResultError::NoOutput { run: run.clone(), path: path.clone() };
    let outputs = summary.outputs.ok_or_else(missing)?;
    there_run(&summary)?;
    match home.store(project)?.lookup(&outputs, path)? {
        Some(entry) if !matches!(entry.kind, EntryKind::Symlink { .. }) => Ok(artifact.into()),
        _ => Err(missing()),
    }
}

fn of_digest(home: &Home, project: &ProjectName, digest: &Digest) -> Result<NamedObject, ResultError> {
    let known = home.catalog.known_digest(project, digest)?;
    if known.tree {
        return Ok(Object::Snapshot(*digest).into());
    }
    if known.policy {
        return Ok(Object::Policy(*digest).into());
    }
    if known.file {
        return Ok(Object::File(*digest).into());
    }
    // Part of a dataset: only the store knows.
    let store = home.store(project)?;
    match store.read_tree(digest) {
        Ok(_) => Ok(Object::Snapshot(*digest).into()),
        Err(StoreError::NotTree { .. } | StoreError::TooLarge { .. }) => Ok(Object::File(*digest).into()),
        Err(StoreError::Missing { .. }) => {
            Err(ResultError::NoDigest { project: project.clone(), digest: *digest })
        }
        Err(error) => Err(error.into()),
    }
}
