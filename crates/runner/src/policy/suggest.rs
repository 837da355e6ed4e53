//! Suggest: what an experiment may have and its runs never used, with the narrower line.
//!
//! **Invariant:** only what is known counts. A run whose list of connections or opened files is not complete speaks
//! for nothing that such a list would have to say.

mod limits;
mod network;

use std::collections::BTreeMap;
use std::path::Path;

use aseptic_catalog::RunFilter;
use aseptic_model::spec::{Experiment, Spec};
use aseptic_model::{
    Class, Diagnose, Diagnosis, ExperimentName, InputName, Keep, ProjectName, RunRecord, Status, WallState,
};
use aseptic_policy::Act;

use crate::home::{Home, HomeError};
use crate::request::{RequestError, SPEC_FILE, read_spec};

/// What could be narrower in a spec.
#[derive(Clone, Debug)]
pub struct Suggestions {
    /// By experiment and element.
    pub found: Vec<Suggestion>,
    /// Experiments with too few runs to say anything, and how many they have.
    pub too_few: BTreeMap<ExperimentName, usize>,
    /// How many runs of each other experiment were looked at.
    pub runs: usize,
}

/// One thing that an experiment may have and never used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The experiment.
    pub experiment: ExperimentName,
    /// The element, such as `network.example.org:443`.
    pub element: String,
    /// Stable name: `unused-grant`, `wide-wildcard`, `unopened-input`, `high-limit`, `unneeded-accept`,
    /// `only-metrics`.
    pub finding: &'static str,
    /// Where it stands: `aseptic.toml:12`; nothing where that is not known.
    pub at: Option<String>,
    /// What was found.
    pub message: String,
    /// The narrower line, with everything that is suggested about it, instead of the one that is there; nothing where
    /// the element is to be removed.
    pub line: Option<String>,
}

/// Why nothing can be suggested.
#[derive(Debug, thiserror::Error)]
pub enum SuggestError {
    /// There is no spec, so there is no line to narrow.
    #[error("there is no `{SPEC_FILE}` here")]
    NoSpec,
    /// The spec.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Diagnose for SuggestError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::NoSpec => Diagnosis::new(
                Class::User,
                "policy/no-spec",
                "write one with `aseptic init --from-run RUN`, or name it with `--spec FILE`",
            ),
            Self::Request(error) => error.diagnosis(),
            Self::Home(error) => error.diagnosis(),
        }
    }
}

/// What of the experiments of `spec`, or of `only` one, their last `runs` runs that succeeded had and none of them used.
/// An experiment with fewer runs is left out, since a rare need may not have come up.
///
/// # Errors
/// [`SuggestError`].
pub fn suggest(
    home: &Home,
    project: &ProjectName,
    spec: Option<&Path>,
    only: Option<&ExperimentName>,
    runs: usize,
) -> Result<Suggestions, SuggestError> {
    home.allowed(project, Act::View, None)?;
    let path = spec.ok_or(SuggestError::NoSpec)?;
    let Spec { mut experiments, .. } = read_spec(path, "")?;
    if let Some(name) = only {
        let known = experiments.keys().map(ToString::to_string).collect();
        let one = experiments.remove(name);
        let one = one.ok_or_else(|| RequestError::Experiment { name: name.clone(), known })?;
        experiments = BTreeMap::from([(name.clone(), one)]);
    }
    let mut suggestions = Suggestions { found: Vec::new(), too_few: BTreeMap::new(), runs };
    for (name, experiment) in experiments {
        let records = records(home, project, &name, runs)?;
        if records.len() < runs {
            suggestions.too_few.insert(name, records.len());
            continue;
        }
        let file = path.file_name().map_or_else(|| SPEC_FILE.into(), |name| name.to_string_lossy());
        let used = Used { name: &name, experiment: &experiment, records: &records, file: &file };
        suggestions.found.extend(used.suggestions());
    }
    Ok(suggestions)
}

/// The records of the last runs of an experiment that succeeded, the newest first.
fn records(
    home: &Home,
    project: &ProjectName,
    experiment: &ExperimentName,
    limit: usize,
) -> Result<Vec<RunRecord>, HomeError> {
    let filter = RunFilter { experiment: Some(experiment.clone()), status: Some(Status::Succeeded) };
    let runs = home.catalog.runs(project, limit, &filter)?;
    runs.into_iter().filter_map(|run| run.record).map(|record| home.object(project, &record)).collect()
}

/// An experiment, and what its runs used.
struct Used<'u> {
    name: &'u ExperimentName,
    experiment: &'u Experiment,
    records: &'u [RunRecord],
    /// Name of the spec file.
    file: &'u str,
}

impl Used<'_> {
    fn suggestions(&self) -> Vec<Suggestion> {
        let mut found = self.network();
        found.extend(self.experiment.data.keys().filter_map(|name| self.input(name)));
        found.extend(self.limits());
        found.extend(self.accepted());
        found.extend(self.keep());
        found
    }

    fn suggestion(
        &self,
        finding: &'static str,
        element: String,
        message: String,
        line: Option<String>,
    ) -> Suggestion {
        let place = self.experiment.places.get(&element);
        let at = place.map(|place| format!("{}:{}", self.file, place.line));
        Suggestion { experiment: self.name.clone(), element, finding, at, message, line }
    }

    /// `in the last 10 runs`.
    fn when(&self) -> String {
        match self.records.len() {
            1 => "in the last run".to_owned(),
            count => format!("in the last {count} runs"),
        }
    }

    /// An input of which every run is known to have opened nothing.
    fn input(&self, name: &InputName) -> Option<Suggestion> {
        let is_unopened = |record: &RunRecord| {
            record.lineage.complete
                && record.inputs.contains_key(name)
                && record.lineage.read.get(name).is_none_or(|read| read.is_empty())
        };
        self.records.iter().all(is_unopened).then(|| {
            let message = format!("the input `{name}` was never opened {}", self.when());
            self.suggestion("unopened-input", format!("data.{name}"), message, None)
        })
    }

    /// What may go unenforced and stood in every run.
    fn accepted(&self) -> Vec<Suggestion> {
        let stood = |name: &&String| self.records.iter().all(|record| stood(record, name));
        let (unneeded, needed): (Vec<_>, Vec<_>) = self.experiment.accept.iter().partition(stood);
        let line = list("accept", needed.into_iter());
        let one = |name: &String| {
            let message =
                format!("`{name}` was enforced {}, so nothing needed to go without it", self.when());
            self.suggestion("unneeded-accept", format!("accept.{name}"), message, line.clone())
        };
        unneeded.into_iter().map(one).collect()
    }

    /// Only metrics were left, although everything is kept.
    fn keep(&self) -> Option<Suggestion> {
        const METRICS: &[u8] = b"out/metrics.jsonl";
        let only_metrics = |record: &RunRecord| {
            let [output] = record.outputs.as_slice() else { return false };
            output.path.as_bytes() == METRICS && record.links.is_empty() && record.deleted.is_empty()
        };
        let is_wide = self.experiment.keep == Keep::Everything;
        (is_wide && self.records.iter().all(only_metrics)).then(|| {
            let message = format!("nothing but metrics was left {}", self.when());
            self.suggestion(
                "only-metrics",
                "outputs".to_owned(),
                message,
                Some("keep = \"metrics\"".to_owned()),
            )
        })
    }
}

/// Whether the wall or limit `name` stood in a run that asked for it.
fn stood(record: &RunRecord, name: &str) -> bool {
    let of_limit = format!("limit: {name}");
    let walls = record.walls.iter().filter(|wall| wall.name == name || wall.name == of_limit);
    let mut walls = walls.filter(|wall| !wall.is_unasked()).peekable();
    walls.peek().is_some() && walls.all(|wall| wall.state == WallState::Done)
}

/// A line of a spec with a list of texts; nothing for an empty one.
fn list<T: ToString>(key: &str, values: impl Iterator<Item = T>) -> Option<String> {
    let values: Vec<String> = values.map(|value| format!("\"{}\"", value.to_string())).collect();
    (!values.is_empty()).then(|| format!("{key} = [{}]", values.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_without_values_is_no_line() {
        assert_eq!(
            list("accept", ["memory", "cpus"].iter()).as_deref(),
            Some("accept = [\"memory\", \"cpus\"]")
        );
        assert_eq!(list("accept", std::iter::empty::<String>()), None);
    }
}
