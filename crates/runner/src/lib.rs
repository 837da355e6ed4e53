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
mod archive;
mod attempts;
mod attest;
mod code;
mod collect;
pub mod dataset;
mod decide;
mod doctor;
mod drill;
mod egress;
mod environment;
mod execute;
mod explain;
mod home;
mod init;
mod input;
mod limits;
mod lineage;
mod lookup;
mod observer;
mod output;
mod plan;
mod prove;
mod provision;
mod record;
mod recover;
mod request;
mod results;
mod retention;
mod rotate;
mod run;
mod run_dir;
mod seal;
mod streams;
mod witness;

pub use archive::{ArchiveError, Archived, Restore, Restored, archive, restore};
pub use aseptic_archive::ArchiveUrl;
pub use aseptic_attest::{BUNDLE_BYTES_MAX as STATEMENTS_BYTES_MAX, PublicKey, Statement, Subject};
pub use aseptic_catalog::{
    DatasetChange, DatasetVersion, EdgeKind, LineageEdge, LineageGraph, Node, RunFilter, RunSummary,
};
pub use aseptic_drill::{Attempt, Family, Outcome};
pub use aseptic_ledger::{
    AddCheckpoint, Checkpoint, LogProof, NoteError, Policy, PolicyError, PolicyWitness, Position, Refused,
    Required, Verified, VerifierKey, Witness, WitnessError, WitnessKey, create_witness_key,
    verify as verify_ledger, verify_since as verify_ledger_since, witness_key,
};
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
pub use decide::decide;
pub use doctor::{Report, doctor};
pub use drill::{
    AttemptReport, DrillError, DrillReport, DrillRequest, Walls, drill, drill_families, drill_part,
};
pub use egress::{GatewayError, ProxyError, RevokeError, SiteProxy, gateway_part, revoke};
pub use environment::EnvironmentError;
pub use home::{Home, HomeError};
pub use init::{InitError, init, init_from_run};
pub use lineage::{Lineage, lineage};
pub use observer::{Event, Observer, Signals, Stopped, Stream, Transfer, TransferStep};
pub use plan::{PlanError, Planned, plan};
pub use prove::{ProveError, ProvenEntry, checkpoint, prove_entry, prove_run, publish, verify_run};
pub use provision::ProvisionError;
pub use record::{
    EntryFilter, EntryObject, EntryObjectError, Erasable, EraseError, Erased, Hidden, Places, Recorded,
    Records, ValuesError, entries, erase,
};
pub use recover::recover;
pub use request::{CodeChoice, Request, RequestError, SPEC_FILE};
pub use results::{ResultError, Shown, export, log, runs, show};
pub use retention::{
    Gone, RetentionError, Standing, Standings, gone, retention, set_default_retention, set_retention,
};
pub use rotate::{Rotated, rotate_key};
pub use run::{RunError, run};
pub use seal::SealError;
pub use streams::{JobStdin, JobStreams, JobTerminal};
pub use witness::{
    Answered, WitnessServer, WitnessUpdate, Witnessed, WitnessingError, add_witness, cosign_request,
    remove_witness, set_witness_policy, take_cosignature, update_witnesses, witness_policy, witness_request,
    witnessed,
};
