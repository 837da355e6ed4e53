//! Sharing: a version of a dataset becomes one of another project.
//!
//! Projects share nothing by themselves: the other one gets a copy of every object, and from then on the two
//! versions know nothing of each other but where the second came from.

use aseptic_catalog::DatasetVersion;
use aseptic_model::{DatasetName, Event as Entry, InputRef, Origin, ProjectName};
use aseptic_policy::Act;

use super::add::{Added, Said, next};
use super::{DatasetError, find, lock, object_of};
use crate::home::{Home, HomeError};
use crate::observer::{Event, Observer};
use crate::quarantine::Marks;
use crate::retention::there;

/// A dataset version after [`share`].
#[derive(Debug)]
pub struct Shared {
    /// What was shared.
    pub from: DatasetVersion,
    /// What the other project has.
    pub added: Added,
    /// Files that were copied; the other project had the rest.
    pub files_copied: u64,
    /// Their size in bytes.
    pub bytes_copied: u64,
}

/// Gives a version of a dataset to the project `to`, as the next version of `name` there. Labels and what is
/// said about it go with it; how long it is kept is for the other project to say.
///
/// The bytes are there before the ledger says so, and it says so in one commit: first here, then there. Doing
/// it again after a crash completes it; doing it again otherwise changes nothing, unless there are new labels.
///
/// # Errors
/// [`DatasetError`].
pub fn share(
    home: &mut Home,
    project: &ProjectName,
    reference: &InputRef,
    to: &ProjectName,
    name: Option<&DatasetName>,
    observer: &mut dyn Observer,
) -> Result<Shared, DatasetError> {
    home.allowed(project, Act::Share, None)?;
    home.allowed(to, Act::AddDataset, None)?;
    if to == project {
        return Err(DatasetError::ToItself(to.clone()));
    }
    if !home.has_store(to) {
        observer.event(Event::Note(&format!("there was nothing in project `{to}` before")));
    }
    let (from, into) = (home.store(project)?, home.store(to)?);
    // Neither is what is read deleted meanwhile, nor what is written.
    let (_from_lease, lease) = (from.lease()?, into.lease()?);
    let version = find(home, project, reference)?;
    there(&version)?;
    home.catch_up()?;
    if let Some(found) = Marks::new(home)?.version(project, &version)? {
        return Err(DatasetError::Quarantined { object: object_of(&version), by: found.describe() });
    }
    let copied = into.copy_from(&lease, &from, &version.snapshot, &mut |progress| {
        observer.event(Event::Import(progress))
    })?;

    // Always in this order, so that two projects may share with each other at the same time.
    let _locks = match project < to {
        true => [lock(home, project)?, lock(home, to)?],
        false => [lock(home, to)?, lock(home, project)?],
    };
    let exact = InputRef::Dataset { name: version.name.clone(), version: Some(version.version) };
    let version = find(home, project, &exact)?; // It may have got labels meanwhile.
    let name = name.unwrap_or(&version.name);
    let said = Said { labels: version.labels.clone(), metadata: version.metadata.clone(), ..Said::default() };
    let origin =
        Origin::Shared { project: project.clone(), name: version.name.clone(), version: version.version };
    let next = next(home, to, name, &copied.snapshot, &said, Some(origin))?;
    let mut entries = Vec::new();
    if next.new || !was_shared(home, project, &version, to)? {
        entries.push((
            project.clone(),
            Entry::DatasetShared {
                name: version.name.clone(),
                version: version.version,
                snapshot: version.snapshot,
                to: to.clone(),
            },
        ));
    }
    entries.extend(next.events.iter().map(|event| (to.clone(), event.clone())));
    home.record_in(entries)?;
    let added = next.finish(home, to, name)?;
    let (files_copied, bytes_copied) = (copied.files_copied, copied.bytes_copied);
    Ok(Shared { from: version, added, files_copied, bytes_copied })
}

/// Whether the ledger says already that the other project has it.
fn was_shared(
    home: &Home,
    project: &ProjectName,
    version: &DatasetVersion,
    to: &ProjectName,
) -> Result<bool, HomeError> {
    let changes = home.catalog.dataset_changes(project, &version.name)?;
    Ok(changes.iter().any(|change| {
        let given = |event: &Entry| matches!(event, Entry::DatasetShared { to: other, .. } if other == to);
        change.version == version.version && given(&change.event)
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use aseptic_model::Metadata;
    use aseptic_store::ImportOptions;

    use super::*;
    use crate::dataset::{add, history};

    fn quiet(_: Event<'_>) {}

    /// A home with the dataset `d` in the project `a`.
    fn shared_home() -> (tempfile::TempDir, Home, DatasetVersion) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x"), "1").unwrap();
        let mut home = Home::open(&dir.path().join("state")).unwrap();
        let said = Said { labels: ["pii".parse().unwrap()].into(), ..Said::default() };
        let (name, path) = ("d".parse().unwrap(), dir.path().join("x"));
        let added = add(&mut home, &project("a"), &path, &name, &said, &ImportOptions::default(), &mut quiet)
            .unwrap();
        (dir, home, added.version)
    }

    fn project(name: &str) -> ProjectName {
        name.parse().unwrap()
    }

    fn share_d(home: &mut Home) -> Shared {
        share(home, &project("a"), &"d".parse().unwrap(), &project("b"), None, &mut quiet).unwrap()
    }

    /// How often each side says that it was shared.
    fn said(home: &Home) -> (usize, usize) {
        let name = "d".parse().unwrap();
        let count = |of: &str, kind: &str| {
            let changes = history(home, &project(of), &name).unwrap();
            changes.iter().filter(|change| change.event.kind() == kind).count()
        };
        (count("a", "dataset.shared"), count("b", "dataset.added"))
    }

    #[test]
    fn a_crash_before_the_other_project_was_told_is_made_up_for() {
        let (_dir, mut home, version) = shared_home();
        let DatasetVersion { name, version, snapshot, .. } = version;
        let event = Entry::DatasetShared { name, version, snapshot, to: project("b") };
        home.record(&project("a"), vec![event]).unwrap();
        let shared = share_d(&mut home);
        assert!(shared.added.new && shared.added.version.labels.len() == 1);
        assert_eq!(said(&home), (2, 1), "what was not finished was said, and is said again");
        assert!(!share_d(&mut home).added.new);
        assert_eq!(said(&home), (2, 1));
    }

    #[test]
    fn bytes_that_the_other_project_has_already_are_shared_once() {
        let (dir, mut home, _) = shared_home();
        let (name, path) = ("d".parse().unwrap(), dir.path().join("x"));
        add(&mut home, &project("b"), &path, &name, &Said::default(), &ImportOptions::default(), &mut quiet)
            .unwrap();
        let shared = share_d(&mut home);
        assert!(!shared.added.new && shared.files_copied == 0);
        assert_eq!(shared.added.version.labels.len(), 1, "labels go with it");
        share_d(&mut home);
        assert_eq!(said(&home), (1, 1));
    }

    #[test]
    fn what_the_other_project_says_is_not_overwritten() {
        let (_dir, mut home, _) = shared_home();
        let statement = |value: &str| Metadata::from([("owner".parse().unwrap(), value.parse().unwrap())]);
        let d: InputRef = "d".parse().unwrap();
        let none = std::collections::BTreeSet::new();
        crate::dataset::describe(&mut home, &project("a"), &d, &statement("them"), &none).unwrap();
        assert_eq!(share_d(&mut home).added.version.metadata, statement("them"));
        crate::dataset::describe(&mut home, &project("b"), &d, &statement("us"), &none).unwrap();
        assert_eq!(share_d(&mut home).added.version.metadata, statement("us"));
    }

    #[test]
    fn what_is_in_quarantine_stays() {
        let (_dir, mut home, version) = shared_home();
        let event = Entry::QuarantineAdded {
            object: aseptic_model::Object::Snapshot(version.snapshot),
            reason: Some("leaked".to_owned()),
            runs: 0,
            reached: None,
        };
        home.record(&project("a"), vec![event]).unwrap();
        home.catch_up().unwrap();
        let refused = share(&mut home, &project("a"), &"d".parse().unwrap(), &project("b"), None, &mut quiet);
        assert!(matches!(refused, Err(DatasetError::Quarantined { .. })));
    }
}
