//! The use cases of aseptic, one function for each command, and the life of a run.
//!
//! The modules follow a run: [`plan()`] resolves every name, [`decide()`] asks policy, `provision` builds the
//! jail, `execute` watches the job, `seal` stores what it left, and [`recover()`] seals for those that died.
//!
//! **Invariant:** a ledger entry is durable before the act that it permits.
//! **Invariant:** nothing here prints, reads the environment or parses arguments; an [`Observer`] is told.
//! **Absent on purpose:** rules. They are in `aseptic-policy`, which decides once.
#![forbid(unsafe_code)]

mod advice;
mod annotate;
mod archive;
mod attempts;
mod attest;
mod code;
mod collect;
pub mod dataset;
mod decide;
mod desk;
mod diff;
mod doctor;
mod drill;
mod effects;
mod egress;
mod environment;
mod execute;
mod explain;
pub mod graph;
mod holdout;
mod home;
pub mod incident;
mod init;
mod input;
mod inspect;
mod labels;
mod limits;
mod lineage;
mod lock_file;
mod lookup;
mod metrics;
mod objects;
mod observer;
mod output;
mod plan;
pub mod policy;
mod prove;
mod provision;
pub mod quarantine;
mod record;
mod recover;
mod replay;
pub mod report;
mod request;
mod results;
mod retention;
mod reuse;
mod rotate;
mod run;
mod run_dir;
mod seal;
mod search;
mod stop;
mod streams;
mod unpinned;
mod witness;

pub use annotate::{AnnotateError, Annotated, Annotation, annotate};
pub use archive::{ArchiveError, Archived, Restore, Restored, archive, restore};
pub use aseptic_archive::ArchiveUrl;
pub use aseptic_attest::{BUNDLE_BYTES_MAX as STATEMENTS_BYTES_MAX, PublicKey, Statement, Subject};
pub use aseptic_catalog::{
    Cell, Column, Cursor, CursorError, DatasetChange, DatasetVersion, Difference, Direction, EDGES_MAX,
    EdgeKind, Field, Found, GivenAway, Incident, LabelCount, LabelSource, LabelSources, LineageEdge,
    LineageGraph, Node, NodeDetails, Operator, Page, Quarantine, Question, Replay, RunSummary, Search,
    SearchError, Sort, TakenOff, Term, Value,
};
pub use aseptic_drill::{Attempt, Family, Outcome};
pub use aseptic_ledger::{
    AddCheckpoint, Checkpoint, LogProof, NoteError, Policy, PolicyError, PolicyWitness, Position, Refused,
    Required, Verified, VerifierKey, Witness, WitnessError, WitnessKey, create_witness_key,
    verify as verify_ledger, verify_since as verify_ledger_since, witness_key,
};
pub use aseptic_metrics::{
    Bucket, CSV_HEADER, Chart, Curve, Envelope, Horizontal, Letters, Panel, Point, Scale,
    matches as name_matches, sparkline, svg, value as metric_value, write_csv,
};
pub use aseptic_policy::{Act, Role, Roles, Through, nearly_known};
pub use aseptic_sandbox::{Attempts, Finding, TerminalSize};
pub use aseptic_store::{
    Amount, Change, ChangeKind, Comparison, EntryKind, Existing, Exported, ImportOptions, Progress, Step,
    Storage, Stored, Totals,
};
pub use attest::{
    AttestExportError, AttestationError, Attested, Checked, Compared as ComparedOutputs, Destination,
    Document, KeyError, OutputsToCheck, attest_export, attest_show, attest_verify, attest_verify_file,
    attestation_key, rotate_attestation_key,
};
pub use collect::{CollectError, Collected, Collection, collect};
pub use decide::{Decided, decide};
pub use diff::{Cause, Likelihood, Part, RunDiff, diff};
pub use doctor::{Report, doctor};
pub use drill::{
    AttemptReport, DrillError, DrillReport, DrillRequest, Walls, drill, drill_families, drill_part,
};
pub use egress::{GatewayError, ProxyError, RevokeError, SiteProxy, gateway_part, revoke};
pub use environment::{EnvironmentChange, EnvironmentError, EnvironmentPart};
pub use holdout::Evaluations;
pub use home::{Home, HomeError, NotAllowed, user_name};
pub use init::{InitError, init, init_from_run};
pub use inspect::{
    Aspect, EnvironmentDiff, EnvironmentRef, EnvironmentRuns, EnvironmentShown, EnvironmentVerified,
    FactChange, InspectError, PackageChange, SystemChange, diff_environments,
    environment as inspect_environment, environment_runs, plan_findings, verify_environment,
};
pub use labels::{LabelError, Labelled, LabelsReached, declassify, label, label_sources};
pub use lineage::{Lineage, LineageRequest, lineage};
pub use metrics::{
    FollowedMetrics, MetricsError, MetricsOf, MetricsRead, TakePoint, follow_metrics, read_metrics,
    summarise_metrics,
};
pub use observer::{Event, Observer, Signals, Stopped, Stream, Transfer, TransferStep};
pub use plan::{PlanError, Planned, plan};
pub use prove::{ProveError, ProvenEntry, checkpoint, prove_run, prove_viewed, publish, verify_run};
pub use provision::ProvisionError;
pub use record::{
    EntryFilter, EntryObject, EntryObjectError, EntryViewer, Erasable, EraseError, Erased, Hidden, Places,
    Recorded, Records, ValuesError, entries, erase,
};
pub use recover::recover;
pub use replay::{AfterDifference, Changes, ReplayError, ReplayRequest, Replayed, replay};
pub use request::{CodeChoice, Request, RequestError, SPEC_FILE};
pub use results::{IfQuarantined, ResultError, Shown, export, log, replays, resolve_run, show};
pub use retention::{
    Gone, RetentionError, Standing, Standings, gone, retention, set_default_retention, set_retention,
};
pub use rotate::{Rotated, rotate_key};
pub use run::{RunError, run};
pub use seal::SealError;
pub use search::{SearchFailed, count as count_runs, search as search_runs};
pub use stop::{Ending, Insist, StopError, StoppedRun, stop};
pub use streams::{JobStdin, JobStreams, JobTerminal};
pub use witness::{
    Answered, WitnessServer, WitnessUpdate, Witnessed, WitnessingError, add_witness, cosign_request,
    remove_witness, set_witness_policy, take_cosignature, update_witnesses, witness_policy, witness_request,
    witnessed,
};
