//! The words of aseptic: identifiers, digests, spec, plan, decision, record and ledger events.
//!
//! Every type here has exactly one text form, and what goes to disk is a versioned type that refuses
//! unknown fields.
//!
//! **Invariant:** pure. No I/O, no clock, no randomness, no async.
//! **Absent on purpose:** anything that decides, stores or runs; see the leaves above this crate.

/// Serialises types by their one text form.
macro_rules! serde_as_text {
    ($($type:ty),*) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

mod canonical;
mod commitment;
mod comparison;
mod decision;
mod diagnosis;
mod digest;
mod effects;
mod event;
mod excerpt;
mod hidden;
mod inventory;
mod machine;
mod metadata;
mod metrics;
mod name;
mod network;
mod object;
mod path;
mod plan;
mod quantity;
mod reached;
mod record;
mod reference;
mod retention;
pub mod spec;
mod verdict;

pub use canonical::{CanonicalError, canonical_digest, from_canonical, to_canonical};
pub use commitment::{Committed, PlaceError, Salt};
pub use comparison::{FileComparison, FileFormat, Tolerance, ToleranceError, ValueDifference};
pub use decision::{Decision, Outcome, REASONS_BYTES_MAX, REASONS_MAX, Reason};
pub use diagnosis::{Class, Diagnose, Diagnosis, in_words};
pub use digest::{Digest, DigestTextError};
pub use effects::{
    Effects, Ending, MetricDifference, OutputChange, OutputDifference, REPLAY_REPORT_SCHEMA, ReplayReport,
};
pub use event::{ENTRY_FORMAT, Entry, Event, LEFT_FILES_MAX, Origin, REACHED_MAX, Refusals};
pub use excerpt::Excerpt;
pub use hidden::is_hidden;
pub use inventory::{
    Finding, FindingCode, INVENTORY_FORMAT, InstalledPackage, Interpreter, Inventory, Licence, Machine,
    PackageKind, PackageOrigin, Severity, SystemPackage, SystemPackages,
};
pub use machine::{Clock, ClockError, Gpus, GpusError};
pub use metadata::{METADATA_MAX, MetaKey, MetaValue, Metadata, MetadataError};
pub use metrics::{MetricSummary, Metrics};
pub use name::{
    DatasetName, ExperimentName, IncidentId, InputName, Label, MachineName, NameError, PackageName,
    ProjectName, RunId, RunName, Tag,
};
pub use network::{
    Destination, Grant, GrantError, HostName, JOB_ADDRESS, JOB_ADDRESS_6, NAME_SERVER, NAMES, NAMES_6,
    TlsNames,
};
pub use object::{Object, ObjectError, ObjectRef, VersionRef};
pub use path::{FilePath, FilePathError, escape_bytes};
pub use plan::{
    Code, Environment, Host, Input, InputSource, Keep, Limits, PLAN_FORMAT, Package, Plan, Python,
};
pub use quantity::{ByteSize, QuantityError, Timestamp, describe_ms, exact_duration, parse_duration};
pub use reached::{Place, REACHED_FORMAT, Reached, ReachedDataset, ReachedRun};
pub use record::{
    Denied, DeniedReason, Egress, Given, GrantUse, HostReached, Lineage, Log, Logs, Observed, Output,
    OutputLink, RUN_SCHEMA, RunRecord, Skipped, Status, Traffic, Usage, Wall, WallState,
};
pub use reference::{InputRef, InputRefError, RunRef};
pub use retention::{Retained, RetainedError, RetainedKind, Retention, RetentionError};
pub use verdict::Verdict;
