//! Effects: what two runs came to, side by side, file by file.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use aseptic_compare::{Content, compare, compare_metrics};
use aseptic_model::{
    Digest, Effects, Ending, FileComparison, FilePath, Log, MetricDifference, MetricSummary, Output,
    OutputChange, OutputDifference, RunRecord, Tolerance, Verdict,
};
use aseptic_store::{Store, StoreError};
use rustix::fs::{Mode, OFlags};

use crate::home::{Home, HomeError, io_error};

/// So many outputs that differ are compared and listed; the rest is counted.
const LISTED_MAX: usize = 1_000;
/// Files up to this size are compared in memory, larger ones in a file without a name in the state directory.
const MEMORY_BYTES_MAX: u64 = 16 << 20;
/// Larger files are compared by their digests alone, so that no comparison fills the disk.
const FILE_BYTES_MAX: u64 = 8 << 30;

/// Compares what two sealed runs of one project came to.
///
/// Asks `interrupted` between two files; nothing comes back when it says yes.
pub(crate) fn effects(
    home: &Home,
    before: &RunRecord,
    after: &RunRecord,
    tolerance: Tolerance,
    interrupted: &mut dyn FnMut() -> bool,
) -> Result<Option<Effects>, HomeError> {
    let (store, mut identical, mut unlisted) = (home.store(&before.project)?, 0, 0);
    let mut outputs = Vec::new();
    let metrics = metrics(before, after, tolerance);
    let (old, new) = (Left::of(before), Left::of(after));
    let paths: BTreeSet<_> = old.paths().chain(new.paths()).collect();
    for path in paths {
        if interrupted() {
            return Ok(None);
        }
        match difference(home, &store, (&old, &new), path, tolerance)? {
            None => identical += 1,
            Some(_) if outputs.len() >= LISTED_MAX => unlisted += 1,
            Some(difference) => outputs.push(difference),
        }
    }
    let (before_ending, after_ending) = (ending(before), ending(after));
    let verdicts = outputs.iter().map(|output| output.change.verdict());
    let verdict = aseptic_compare::worst(verdicts.chain(metrics.iter().map(|metric| metric.verdict)));
    let verdict = if unlisted > 0 || before_ending != after_ending { Verdict::Different } else { verdict };
    let same = |before: Option<&Log>, after: Option<&Log>| {
        before.map(|log| log.blake3) == after.map(|log| log.blake3)
    };
    Ok(Some(Effects {
        verdict,
        before: before_ending,
        after: after_ending,
        identical,
        outputs,
        unlisted,
        metrics,
        same_stdout: same(before.logs.stdout.as_ref(), after.logs.stdout.as_ref()),
        same_stderr: same(before.logs.stderr.as_ref(), after.logs.stderr.as_ref()),
    }))
}

/// How a run ended.
pub(crate) fn ending(record: &RunRecord) -> Ending {
    Ending { status: Some(record.status), exit_code: record.exit_code, signal: record.signal }
}

/// What a run left, by path.
struct Left<'r> {
    files: BTreeMap<&'r FilePath, &'r Output>,
    links: BTreeMap<&'r FilePath, &'r str>,
    deleted: BTreeSet<&'r FilePath>,
    /// The file of its metrics, which have times in them and are compared by their values alone.
    metrics: Option<&'r FilePath>,
}

impl<'r> Left<'r> {
    fn of(record: &'r RunRecord) -> Self {
        Self {
            files: record.outputs.iter().map(|output| (&output.path, output)).collect(),
            links: record.links.iter().map(|link| (&link.path, link.target.as_str())).collect(),
            deleted: record.deleted.iter().collect(),
            metrics: record.metrics.as_ref().map(|metrics| &metrics.file),
        }
    }

    fn paths(&self) -> impl Iterator<Item = &'r FilePath> {
        self.files.keys().chain(self.links.keys()).chain(&self.deleted).copied()
    }

    /// Whether it left anything at `path`, a deletion included, and which bytes.
    fn at(&self, path: &FilePath) -> (Option<Digest>, Option<&'r str>, bool) {
        let digest = self.files.get(path).map(|output| output.blake3);
        (digest, self.links.get(path).copied(), self.deleted.contains(path))
    }
}

/// What differs at `path`; nothing if both left the same there.
fn difference(
    home: &Home,
    store: &Store,
    (old, new): (&Left<'_>, &Left<'_>),
    path: &FilePath,
    tolerance: Tolerance,
) -> Result<Option<OutputDifference>, HomeError> {
    let (was, is) = (old.at(path), new.at(path));
    if was == is {
        return Ok(None);
    }
    let nothing = (None, None, false);
    let (change, values) = match (old.files.get(path), new.files.get(path)) {
        _ if was == nothing => (OutputChange::New, None),
        _ if is == nothing => (OutputChange::Missing, None),
        (Some(before), Some(after)) => {
            let are_metrics = old.metrics == Some(path) && new.metrics == Some(path);
            let compare = |before: &Content, after: &Content| match are_metrics {
                true => compare_metrics(before, after, tolerance),
                false => compare(path.file_name(), before, after, tolerance),
            };
            let values = values(home, store, before, after, &compare)?;
            let change = match values.verdict {
                Verdict::Identical => return Ok(None), // Times of metrics are others, and nothing else is.
                Verdict::Equivalent => OutputChange::Equivalent,
                Verdict::Different => OutputChange::Different,
            };
            (change, Some(values))
        }
        _ => (OutputChange::Different, None),
    };
    Ok(Some(OutputDifference { path: path.clone(), change, before: was.0, after: is.0, values }))
}

fn values(
    home: &Home,
    store: &Store,
    before: &Output,
    after: &Output,
    compare: &dyn Fn(&Content, &Content) -> FileComparison,
) -> Result<FileComparison, HomeError> {
    let not_compared = |why: &str| FileComparison {
        verdict: Verdict::Different,
        format: aseptic_model::FileFormat::Bytes,
        not_compared: Some(why.to_owned()),
        values: 0,
        differing: 0,
        within: 0,
        largest_absolute: None,
        largest_relative: None,
        first: Vec::new(),
    };
    if before.size.max(after.size) > FILE_BYTES_MAX {
        return Ok(not_compared("it is over 8 GiB, and compared by its digest alone"));
    }
    let (before, after) = match (content(home, store, &before.blake3), content(home, store, &after.blake3)) {
        (Err(HomeError::Store(StoreError::Missing { .. })), _)
        | (_, Err(HomeError::Store(StoreError::Missing { .. }))) => {
            return Ok(not_compared("its bytes were deleted"));
        }
        (before, after) => (before?, after?),
    };
    Ok(compare(&before, &after))
}

/// An object of the store, checked, where it can be read at any place.
pub(crate) fn content(home: &Home, store: &Store, digest: &Digest) -> Result<Content, HomeError> {
    let mut reader = store.reader(digest)?;
    let failed = |what, source: io::Error| match source.downcast::<StoreError>() {
        Ok(error) => HomeError::Store(error),
        Err(source) => io_error(what, home.dir(), source),
    };
    if reader.size() <= MEMORY_BYTES_MAX {
        let mut bytes = Vec::new();
        io::copy(&mut reader, &mut bytes).map_err(|source| failed("read from", source))?;
        return Ok(Content::bytes(bytes));
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(home.dir(), flags, Mode::RUSR | Mode::WUSR);
    let mut file =
        std::fs::File::from(file.map_err(|error| failed("make a file without a name in", error.into()))?);
    io::copy(&mut reader, &mut file).map_err(|source| failed("write a file without a name in", source))?;
    Content::file(file).map_err(|source| failed("read", source))
}

fn metrics(before: &RunRecord, after: &RunRecord, tolerance: Tolerance) -> Vec<MetricDifference> {
    let series =
        |record: &RunRecord| record.metrics.clone().map(|metrics| metrics.series).unwrap_or_default();
    let (old, new) = (series(before), series(after));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let differences = names.into_iter().filter_map(|name| {
        let (old, new) = (old.get(name), new.get(name));
        let verdict = match (old, new) {
            (Some(old), Some(new)) => metric(old, new, tolerance),
            _ => Verdict::Different,
        };
        let last = |summary: Option<&MetricSummary>| summary.and_then(|summary| summary.last);
        let difference =
            MetricDifference { name: name.clone(), verdict, before: last(old), after: last(new) };
        (verdict > Verdict::Identical).then_some(difference)
    });
    differences.collect()
}

/// Numbers of values and steps exactly, values within the tolerance.
fn metric(old: &MetricSummary, new: &MetricSummary, tolerance: Tolerance) -> Verdict {
    let counts = |summary: &MetricSummary| (summary.count, summary.not_finite, summary.last_step);
    let values = [(old.last, new.last), (old.min, new.min), (old.max, new.max)];
    let close = |(old, new): (Option<f64>, Option<f64>)| match (old, new) {
        (Some(old), Some(new)) => tolerance.covers(old, new),
        (old, new) => old.is_none() && new.is_none(),
    };
    if counts(old) != counts(new) || !values.into_iter().all(close) {
        Verdict::Different
    } else if values.into_iter().all(|(old, new)| old == new) && old.shape == new.shape {
        Verdict::Identical
    } else {
        Verdict::Equivalent
    }
}
