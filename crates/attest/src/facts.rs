//! What the caller knows of a run.

use aseptic_model::{CanonicalError, Digest, Plan, RunRecord, to_canonical};

use crate::text::{Sha256, sha256};

/// A sealed run, as its plan and record in the store are.
#[derive(Clone, Copy, Debug)]
pub struct RunFacts<'a> {
    /// Its plan.
    pub plan: &'a Plan,
    /// Its record.
    pub record: &'a RunRecord,
    /// Name of the ledger that has its entries.
    pub ledger: &'a str,
    /// Version of aseptic that ran it.
    pub version: &'a str,
}

/// The facts of a run with the digests of what they come from.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The run.
    pub run: RunFacts<'a>,
    pub(crate) plan_digest: Digest,
    pub(crate) plan_sha256: Sha256,
    pub(crate) record_digest: Digest,
    pub(crate) record_sha256: Sha256,
}

impl<'a> Facts<'a> {
    /// Hashes plan and record.
    ///
    /// # Errors
    /// [`CanonicalError`] when a parameter is a number that JSON cannot hold.
    pub fn new(run: RunFacts<'a>) -> Result<Self, CanonicalError> {
        let (plan, record) = (to_canonical(run.plan)?, to_canonical(run.record)?);
        Ok(Self {
            run,
            plan_digest: Digest::of(&plan),
            plan_sha256: sha256(&plan),
            record_digest: Digest::of(&record),
            record_sha256: sha256(&record),
        })
    }

    /// The name of the run among all runs of all ledgers.
    #[must_use]
    pub fn invocation(&self) -> String {
        let RunFacts { ledger, record, .. } = self.run;
        format!("{ledger}/{}/{}", record.project, record.run)
    }
}
