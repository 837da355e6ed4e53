//! What differs in the code and the inputs of two runs, file by file.

use std::collections::BTreeSet;
use std::path::Path;

use aseptic_model::{Digest, FilePath, Input, InputName};
use aseptic_store::{Change, ChangeKind, Comparison, EntryKind, Store};

use super::{Cause, Likelihood, Part, Side, rows, unless_gone};
use crate::home::{Home, HomeError};

/// So many files of one tree are listed.
const LISTED_MAX: usize = 1_000;
/// So many of them are read to say what differs in them.
const READ_MAX: usize = 100;

/// Adds what differs in the inputs.
pub(super) fn inputs(
    home: &Home,
    before: &Side,
    after: &Side,
    causes: &mut Vec<Cause>,
) -> Result<(), HomeError> {
    let store = home.store(&before.plan.project)?;
    let names: BTreeSet<_> = before.plan.inputs.keys().chain(after.plan.inputs.keys()).collect();
    for name in names {
        let (old, new) = (before.plan.inputs.get(name), after.plan.inputs.get(name));
        let source = |input: Option<&Input>| input.map(|input| input.source.to_string());
        let (Some(was), Some(is)) = (old, new) else {
            causes.extend(Cause::new(
                Part::Data,
                Likelihood::OpenedFile,
                name.as_str(),
                source(old),
                source(new),
            ));
            continue;
        };
        if was.snapshot == is.snapshot {
            causes.extend(Cause::new(Part::Data, Likelihood::Name, name.as_str(), source(old), source(new)));
            continue;
        }
        let tree = Tree {
            home,
            store: &store,
            prefix: format!("{name}/"),
            sources: (source(old), source(new)),
            part: Part::Data,
        };
        tree.differences(&was.snapshot, &is.snapshot, causes, &|path| {
            let opened = opened(name, path, [before, after]);
            let likelihood =
                if opened == Some(false) { Likelihood::UnopenedFile } else { Likelihood::OpenedFile };
            (likelihood, opened)
        })?;
    }
    Ok(())
}

/// Adds what differs in the code.
pub(super) fn code(
    home: &Home,
    before: &Side,
    after: &Side,
    causes: &mut Vec<Cause>,
) -> Result<(), HomeError> {
    let commit = |side: &Side| side.plan.code.as_ref().and_then(|code| code.git_commit.clone());
    let snapshot = |side: &Side| side.plan.code.as_ref().map(|code| code.snapshot);
    let (old, new) = (snapshot(before), snapshot(after));
    if let (Some(was), Some(is)) = (old, new) {
        if was != is {
            let store = home.store(&before.plan.project)?;
            let tree =
                Tree { home, store: &store, prefix: String::new(), sources: (None, None), part: Part::Code };
            tree.differences(&was, &is, causes, &|path| (likelihood(path), None))?;
        }
    } else {
        let text = |digest: Option<Digest>| digest.map(|digest| digest.short());
        causes.extend(Cause::new(Part::Code, Likelihood::Source, "code", text(old), text(new)));
    }
    causes.extend(Cause::new(Part::Code, Likelihood::Name, "git commit", commit(before), commit(after)));
    Ok(())
}

/// Whether one of the runs opened a file; nothing where one of them may have without being seen.
fn opened(input: &InputName, path: &FilePath, sides: [&Side; 2]) -> Option<bool> {
    let lineages = sides.map(|side| side.record.as_ref().map(|record| &record.lineage));
    let seen = lineages
        .into_iter()
        .flatten()
        .any(|lineage| lineage.read.get(input).is_some_and(|files| files.contains(path)));
    let complete = lineages.into_iter().all(|lineage| lineage.is_some_and(|lineage| lineage.complete));
    if seen { Some(true) } else { complete.then_some(false) }
}

/// Endings of files that are written for people.
const DOCUMENTS: [&str; 12] =
    ["md", "rst", "txt", "pdf", "png", "jpg", "jpeg", "gif", "svg", "html", "css", "license"];

fn likelihood(path: &FilePath) -> Likelihood {
    let name = String::from_utf8_lossy(path.file_name()).to_ascii_lowercase();
    let extension = Path::new(&name).extension().and_then(|extension| extension.to_str());
    let is_document = extension.is_some_and(|extension| DOCUMENTS.contains(&extension))
        || name.starts_with('.')
        || name == "license";
    if is_document { Likelihood::Document } else { Likelihood::Source }
}

/// A tree of which there are two.
struct Tree<'h> {
    home: &'h Home,
    store: &'h Store,
    /// Stands before each path.
    prefix: String,
    /// Where both trees come from, if that says more than the files do.
    sources: (Option<String>, Option<String>),
    part: Part,
}

impl Tree<'_> {
    fn differences(
        &self,
        before: &Digest,
        after: &Digest,
        causes: &mut Vec<Cause>,
        rank: &dyn Fn(&FilePath) -> (Likelihood, Option<bool>),
    ) -> Result<(), HomeError> {
        let comparison = match unless_gone(self.store.compare(before, after, LISTED_MAX))? {
            Ok(comparison) => comparison,
            Err(why) => {
                let (before, after) = (Some(before.short()), Some(after.short()));
                let likelihood = match self.part {
                    Part::Data => Likelihood::OpenedFile,
                    _ => Likelihood::Source,
                };
                let name = format!("{}: the files cannot be compared, since {why}", self.shown(""));
                causes.extend(Cause::new(self.part, likelihood, &name, before, after));
                return Ok(());
            }
        };
        let Comparison { changes, more, totals, .. } = comparison;
        let mut found = Vec::new();
        for Change { path, kind } in &changes {
            let (before, after) = match kind {
                ChangeKind::Added(entry) => (None, Some(entry.clone())),
                ChangeKind::Removed(entry) => (Some(entry.clone()), None),
                ChangeKind::Changed { before, after } => (Some(before.clone()), Some(after.clone())),
                ChangeKind::Renamed { entry, .. } => (Some(entry.clone()), Some(entry.clone())),
            };
            let (mut likelihood, mut opened) = rank(path);
            let shown = match kind {
                ChangeKind::Renamed { from, .. } => {
                    let (other, also) = rank(from);
                    (likelihood, opened) = (likelihood.min(other), opened.max(also));
                    Some(format!("it was `{}{from}`", self.prefix))
                }
                _ => None,
            };
            let text = |entry: &Option<EntryKind>| entry.as_ref().map(describe);
            let texts = match (&self.sources, text(&before), text(&after)) {
                ((Some(old), Some(new)), before, after) => (
                    before.map(|text| format!("{text} in {old}")),
                    after.map(|text| format!("{text} in {new}")),
                ),
                (_, before, after) => (before, after),
            };
            let name = self.shown(&path.to_string());
            found.push((
                before,
                after,
                Cause {
                    part: self.part,
                    likelihood,
                    name,
                    before: texts.0,
                    after: texts.1,
                    opened,
                    details: shown.into_iter().collect(),
                    values: None,
                    patch: None,
                },
            ));
        }
        found.sort_by_key(|(.., cause)| (cause.likelihood, cause.opened != Some(true)));
        for (before, after, cause) in found.iter_mut().take(READ_MAX) {
            rows::explain(self.home, self.store, before.as_ref(), after.as_ref(), cause)?;
        }
        causes.extend(found.into_iter().map(|(.., cause)| cause));
        if more {
            let all =
                totals.added.files + totals.removed.files + totals.renamed.files + totals.changed_after.files;
            let likelihood =
                if self.part == Part::Data { Likelihood::OpenedFile } else { Likelihood::Source };
            let name = self.shown("");
            let text = Some(format!("{all} files differ, of which {LISTED_MAX} changes are listed"));
            causes.extend(Cause::new(self.part, likelihood, &name, None, text));
        }
        Ok(())
    }

    fn shown(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

fn describe(entry: &EntryKind) -> String {
    match entry {
        EntryKind::File { size, digest, executable } => {
            let executable = if *executable { ", executable" } else { "" };
            format!("{size} bytes{executable}, {}", digest.short())
        }
        EntryKind::Directory { files, .. } => format!("a directory of {files} files"),
        EntryKind::Symlink { target } => format!("a link to {}", aseptic_model::escape_bytes(target)),
    }
}
