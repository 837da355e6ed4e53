//! Metrics of runs: summarised when a run is sealed, read again for whoever asks, also while it goes on.

mod follow;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use aseptic_catalog::RunSummary;
use aseptic_metrics::{Point, Reader, Summaries};
use aseptic_model::{
    Diagnose, Diagnosis, ExperimentName, FilePath, Keep, Metrics, Plan, ProjectName, RunId, RunRef,
};
use aseptic_store::{Output, Store, StoreError};
use rustix::fs::{Mode, OFlags};

pub use follow::{FollowedMetrics, follow_metrics};

use crate::execute::SYSTEM_METRICS;
use crate::home::{Home, HomeError, io_error};
use crate::results::{ResultError, not_sealed, record, seen};
use crate::retention::there_run;

/// Among the outputs, where a job writes metrics; in the directory of a run that goes on, too.
pub(crate) const METRICS_FILE: &str = "out/metrics.jsonl";

/// Which metrics of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsOf {
    /// Those that its job wrote.
    Job,
    /// What the job used of the machine.
    Machine,
}

/// Metrics that were read.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsRead {
    /// The run.
    pub run: RunId,
    /// Its experiment.
    pub experiment: Option<ExperimentName>,
    /// Whether it goes on, so that there may be more.
    pub goes_on: bool,
    /// Lines.
    pub lines: u64,
    /// Lines that are not read, or not all of their values.
    pub unreadable: u64,
    /// Bytes at the end of a file that is longer than what is read.
    pub unread_bytes: u64,
}

/// Why metrics could not be had.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// No run is meant, or it has nothing any more.
    #[error(transparent)]
    Run(#[from] ResultError),
    /// Whoever takes the points has failed.
    #[error("could not pass metrics on")]
    Taken(#[source] io::Error),
}

impl Diagnose for MetricsError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Run(error) => error.diagnosis(),
            Self::Taken(_) => {
                Diagnosis::new(aseptic_model::Class::Host, "cli/output", "free space where the result goes")
            }
        }
    }
}

impl From<HomeError> for MetricsError {
    fn from(error: HomeError) -> Self {
        Self::Run(error.into())
    }
}

impl From<StoreError> for MetricsError {
    fn from(error: StoreError) -> Self {
        Self::Run(error.into())
    }
}

/// Takes points; an error ends the reading.
pub type TakePoint<'t> = dyn FnMut(Point<'_>) -> io::Result<()> + 't;

/// What the record of a run says of the metrics among its outputs.
pub(crate) fn summarise(store: &Store, outputs: &[Output]) -> Result<Option<Metrics>, HomeError> {
    let Some(output) = outputs.iter().find(|output| output.path.as_bytes() == METRICS_FILE.as_bytes()) else {
        return Ok(None);
    };
    let mut source = store.reader(&output.blake3)?;
    let summary = summary_of(&mut source, output.path.clone(), output.size);
    summary.map(Some).map_err(|error| read_failed(error, METRICS_FILE.as_ref()))
}

fn summary_of(source: &mut dyn Read, file: FilePath, size: u64) -> io::Result<Metrics> {
    let (mut reader, mut summaries) = (Reader::new(), Summaries::new());
    let mut take = |point: Point<'_>| {
        summaries.add(&point);
        Ok(())
    };
    reader.read(source, &mut take)?;
    reader.finish(&mut take)?;
    Ok(Metrics {
        file,
        lines: reader.lines(),
        unreadable: reader.unreadable(),
        unread_bytes: size.saturating_sub(reader.read_bytes()),
        series: summaries.finish(),
    })
}

/// The summary of each metric of a run, of one that goes on so far; nothing where it has none.
///
/// # Errors
/// [`MetricsError::Run`].
pub fn summarise_metrics(
    home: &Home,
    project: &ProjectName,
    run: &RunRef,
    of: MetricsOf,
) -> Result<Option<(MetricsRead, Metrics)>, MetricsError> {
    let summary = seen(home, project, run)?;
    if summary.record.is_some() && of == MetricsOf::Job {
        // What a record says stays when the file is gone.
        let record = record(home, project, &summary)?;
        return Ok(record.metrics.map(|metrics| {
            let Metrics { lines, unreadable, unread_bytes, .. } = metrics;
            let (run, experiment) = (record.run, record.experiment);
            (MetricsRead { run, experiment, goes_on: false, lines, unreadable, unread_bytes }, metrics)
        }));
    }
    if of == MetricsOf::Job && leaves_at_the_end(home, project, &summary)? {
        return Ok(None);
    }
    let mut summaries = Summaries::new();
    let read = read_metrics(home, project, run, of, &mut |point| {
        summaries.add(&point);
        Ok(())
    })?;
    let file = |path: &str| FilePath::from_bytes(path.as_bytes()).map_err(format_failed);
    let Some(read) = read else { return Ok(None) };
    let file = file(if of == MetricsOf::Job { METRICS_FILE } else { SYSTEM_METRICS })?;
    let MetricsRead { lines, unreadable, unread_bytes, .. } = read;
    Ok(Some((read, Metrics { file, lines, unreadable, unread_bytes, series: summaries.finish() })))
}

/// Shows every point of a run to `take`, in the order of the file; of a run that goes on, those so far. Nothing
/// where it has no such file.
///
/// # Errors
/// [`MetricsError`].
pub fn read_metrics(
    home: &Home,
    project: &ProjectName,
    run: &RunRef,
    of: MetricsOf,
    take: &mut TakePoint<'_>,
) -> Result<Option<MetricsRead>, MetricsError> {
    let summary = seen(home, project, run)?;
    let store = home.store(project)?;
    let _lease = store.lease()?; // What is deleted while it is read would look damaged.
    let (mut source, size): (Box<dyn Read + '_>, u64) = if summary.record.is_some() {
        let record = record(home, project, &summary)?;
        let output = record.metrics.as_ref().and_then(|metrics| {
            record.outputs.iter().find(|output| output.path == metrics.file).map(|output| output.blake3)
        });
        let digest = match of {
            MetricsOf::Job => output,
            MetricsOf::Machine => record.system.map(|log| log.blake3),
        };
        let Some(digest) = digest else { return Ok(None) };
        there_run(&summary).map_err(ResultError::from)?;
        let reader = store.reader(&digest)?;
        let size = reader.size();
        (Box::new(reader), size)
    } else {
        if summary.status.is_some() || of == MetricsOf::Job && leaves_at_the_end(home, project, &summary)? {
            return Err(not_sealed(&summary, "metrics").into());
        }
        let Some(file) = open(&home.run_dir(project, &summary.run), of)? else { return Ok(None) };
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        (Box::new(file), size)
    };
    let mut reader = Reader::new();
    pass(&mut reader, take, |reader, take| {
        reader.read(&mut source, take)?;
        reader.finish(take)
    })?;
    Ok(Some(MetricsRead {
        goes_on: summary.record.is_none(),
        run: summary.run,
        experiment: summary.experiment,
        lines: reader.lines(),
        unreadable: reader.unreadable(),
        unread_bytes: size.saturating_sub(reader.read_bytes()),
    }))
}

/// Whether what a run that goes on measures leaves it when it is sealed, and is written anew then.
fn leaves_at_the_end(home: &Home, project: &ProjectName, run: &RunSummary) -> Result<bool, HomeError> {
    let plan: Plan = home.object(project, &run.plan)?;
    Ok(plan.keep == Keep::Metrics)
}

/// Reads with `read` and tells an error of who takes from one of who gives.
fn pass<R>(reader: &mut Reader, take: &mut TakePoint<'_>, read: R) -> Result<(), MetricsError>
where
    R: FnOnce(&mut Reader, &mut dyn FnMut(Point<'_>) -> io::Result<()>) -> io::Result<()>,
{
    let mut lost = None;
    let result = read(reader, &mut |point| {
        take(point).map_err(|error| {
            lost = Some(error);
            io::ErrorKind::Other.into()
        })
    });
    match (result, lost) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(lost)) => Err(MetricsError::Taken(lost)),
        (Err(error), None) => Err(read_failed(error, METRICS_FILE.as_ref()).into()),
    }
}

/// The file in the directory of a run that goes on, if it is one: a job can put anything in its place.
pub(crate) fn open(run_dir: &Path, of: MetricsOf) -> Result<Option<File>, HomeError> {
    let path = run_dir.join(if of == MetricsOf::Job { METRICS_FILE } else { SYSTEM_METRICS });
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => return Ok(None),
        Err(error) => return Err(io_error("read", &path, error.into())),
    };
    let metadata = file.metadata().map_err(|source| io_error("read", &path, source))?;
    Ok(metadata.is_file().then_some(file))
}

fn read_failed(error: io::Error, path: &Path) -> HomeError {
    match error.downcast::<StoreError>() {
        Ok(error) => error.into(),
        Err(error) => io_error("read", path, error),
    }
}

fn format_failed(error: impl std::error::Error + Send + Sync + 'static) -> HomeError {
    io_error("read", METRICS_FILE.as_ref(), io::Error::other(error))
}
