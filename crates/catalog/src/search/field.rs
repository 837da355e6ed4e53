//! What can be asked about a run.

/// A field of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A metric: `metric.NAME`, `metric.NAME.max`.
    Metric(String, Statistic),
    /// A parameter: `param.NAME`.
    Param(String),
    /// The dataset that an input comes from: `data.INPUT`.
    Data(String),
    /// The version of a package: `package.NAME`.
    Package(String),
    /// What every run has at most one of.
    Column(Column),
}

/// Which value of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// The last; what is meant without a word.
    Last,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The step of the last.
    Step,
}

impl Statistic {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Last, Self::Min, Self::Max, Self::Step];

    /// The word after the name of the metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Min => "min",
            Self::Max => "max",
            Self::Step => "step",
        }
    }

    /// Its column in `run_metric`.
    pub(crate) fn column(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Min => "min",
            Self::Max => "max",
            Self::Step => "last_step",
        }
    }
}

/// How the values of a field are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A number, whole or not.
    Number,
    /// A text, compared as a whole or by a part.
    Text,
    /// A number where both are one, a text otherwise.
    Scalar,
    /// A word of a list.
    Word(&'static [&'static str]),
    /// A digest or an id, compared by its start.
    Prefix,
    /// An instant.
    Instant,
    /// A length of time.
    Duration,
    /// A dataset with or without a version.
    Dataset,
    /// The version of a package.
    Version,
}

const STATUSES: &[&str] = &[
    "running",
    "succeeded",
    "failed",
    "denied",
    "needs-approval",
    "aborted",
    "timed-out",
    "out-of-memory",
    "scratch-full",
    "outputs-full",
];

const LINEAGES: &[&str] = &["complete", "incomplete"];

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident $name:literal $kind:expr, $sql:literal;)*) => {
        /// What every run has at most one of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Column {
            $($(#[$doc])* $variant,)*
        }

        impl Column {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name in a search.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            pub(crate) fn kind(self) -> Kind {
                match self { $(Self::$variant => $kind),* }
            }

            /// Its column in `run`.
            pub(crate) fn sql(self) -> &'static str {
                match self { $(Self::$variant => $sql),* }
            }
        }
    };
}

fields! {
    /// How it ended, or `running`.
    Status "status" Kind::Word(STATUSES), "run.status";
    /// Its experiment.
    Experiment "experiment" Kind::Text, "run.experiment";
    /// The name that a person gave it.
    Name "name" Kind::Text, "run.name";
    /// The note of a person.
    Note "note" Kind::Text, "run.note";
    /// Who started it.
    Actor "actor" Kind::Text, "run.actor";
    /// The machine.
    Host "host" Kind::Text, "run.host";
    /// Its id.
    Run "run" Kind::Prefix, "run.run";
    /// The run that it repeats.
    Replays "replays" Kind::Prefix, "run.replays";
    /// The code snapshot.
    Code "code" Kind::Prefix, "run.code";
    /// The git commit.
    Commit "commit" Kind::Prefix, "run.git_commit";
    /// The plan.
    Plan "plan" Kind::Prefix, "run.plan";
    /// The Python environment.
    Environment "environment" Kind::Prefix, "run.environment";
    /// The rules that decided.
    Policy "policy" Kind::Prefix, "run.policy";
    /// The tree of its outputs.
    Outputs "outputs" Kind::Prefix, "run.outputs";
    /// When it was planned.
    Planned "planned" Kind::Instant, "run.planned";
    /// When the job started.
    Started "started" Kind::Instant, "run.started";
    /// When it was over.
    Ended "ended" Kind::Instant, "run.ended";
    /// From the start of the job to its end.
    Duration "duration" Kind::Duration, "run.duration_ms";
    /// Exit code of the job.
    ExitCode "exit_code" Kind::Number, "run.exit_code";
    /// Whether every file that it opened is known: `complete` or `incomplete`.
    Lineage "lineage" Kind::Word(LINEAGES), "run.complete";
}

impl Column {
    /// The index of its column where that is not one of `project` and the column.
    pub(crate) fn index(self) -> Option<&'static str> {
        match self {
            Self::Code => Some("run_code"),
            Self::Plan => Some("run_plan"),
            Self::Environment => Some("run_environment"),
            Self::Policy => Some("run_policy"),
            Self::Outputs => Some("run_outputs"),
            Self::Host => Some("run_host"),
            Self::Replays => Some("run_replays"),
            _ => None,
        }
    }

    /// Whether its column holds the bytes of a digest.
    pub(crate) fn is_digest(self) -> bool {
        matches!(self, Self::Code | Self::Plan | Self::Environment | Self::Policy | Self::Outputs)
    }
}

impl Field {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Metric(..) => Kind::Number,
            Self::Param(_) => Kind::Scalar,
            Self::Data(_) => Kind::Dataset,
            Self::Package(_) => Kind::Version,
            Self::Column(column) => column.kind(),
        }
    }
}

#[cfg(test)]
mod tests {
    use aseptic_model::Status;

    use super::STATUSES;

    #[test]
    fn every_status_can_be_asked_for() {
        let mut words: Vec<_> = Status::ALL.map(Status::as_str).to_vec();
        words.insert(0, "running");
        let (mut words, mut known) = (words, STATUSES.to_vec());
        words.sort_unstable();
        known.sort_unstable();
        assert_eq!(words, known);
    }
}
