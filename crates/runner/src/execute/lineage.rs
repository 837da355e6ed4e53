//! What a job opened of its inputs, as the kernel saw it.

use std::collections::{BTreeMap, BTreeSet};

use aseptic_model::{FilePath, InputName, Lineage};
use aseptic_sandbox::{Open, Running};

/// Collects the opened files of each input.
pub(super) struct LineageBuilder {
    watched: Vec<(InputName, Option<FilePath>)>,
    read: BTreeMap<InputName, BTreeSet<FilePath>>,
    incomplete_because: Option<String>,
}

impl LineageBuilder {
    pub(super) fn new(
        watched: Vec<(InputName, Option<FilePath>)>,
        incomplete_because: Option<String>,
    ) -> Self {
        let read = watched.iter().map(|(name, _)| (name.clone(), BTreeSet::new())).collect();
        Self { watched, read, incomplete_because }
    }

    pub(super) fn drain(&mut self, running: &mut Running) {
        let Self { watched, read, incomplete_because } = self;
        let result = running.opened.drain(|open| match open {
            Open::File { directory, name } => {
                let found = watched.get(directory).and_then(|(input, directory)| {
                    let path = match directory {
                        Some(directory) => directory.join(name),
                        None => FilePath::from_bytes(name),
                    };
                    Some((input, path.ok()?))
                });
                match found {
                    Some((input, path)) => {
                        read.entry(input.clone()).or_default().insert(path);
                    }
                    None => *incomplete_because = Some("an opened file has no name".to_owned()),
                }
            }
            Open::Lost => {
                *incomplete_because = Some("the kernel's list of opened files overflowed".to_owned());
            }
        });
        if result.is_err() {
            self.incomplete_because = Some("the kernel's list of opened files could not be read".to_owned());
        }
    }

    pub(super) fn done(&self) -> Lineage {
        Lineage {
            complete: self.incomplete_because.is_none(),
            incomplete_because: self.incomplete_because.clone(),
            read: self.read.clone(),
        }
    }
}
