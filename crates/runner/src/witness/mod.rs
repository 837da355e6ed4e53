//! Witnesses of this machine's ledger: who they are, asking them, and what they prove. And being one.

mod policy;
mod serve;
mod standing;
mod update;

use std::path::PathBuf;

use aseptic_http::{ClientError, ServeError};
use aseptic_ledger::{CollectError, PolicyError, PolicyFileError, RequestError, StorageError, TilesError};
use aseptic_model::{Class, Diagnose, Diagnosis};

use crate::home::HomeError;

pub use policy::{add_witness, remove_witness, set_witness_policy, witness_policy};
pub use serve::{WitnessServer, cosign_request};
pub use standing::{Witnessed, witnessed};
pub use update::{Answered, WitnessUpdate, take_cosignature, update_witnesses, witness_request};

/// Why something about witnesses could not be done.
#[derive(Debug, thiserror::Error)]
pub enum WitnessingError {
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ledger's directory.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The tiles or the checkpoint of the ledger.
    #[error(transparent)]
    Tiles(#[from] TilesError),
    /// The policy.
    #[error("that would be no policy")]
    Policy(#[from] PolicyError),
    /// The stored policy.
    #[error(transparent)]
    PolicyFile(#[from] PolicyFileError),
    /// What a witness answered.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// What was carried to a witness.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// No witness has this name.
    #[error("the policy has no witness `{name}`")]
    NoWitness {
        /// The name.
        name: String,
        /// Those that it has.
        has: Vec<String>,
    },
    /// There are several, and none was named; or there is none at all.
    #[error("the policy has {count} witnesses, so one must be named")]
    WhichWitness {
        /// How many.
        count: usize,
    },
    /// The policy was written by hand, and what to make of its groups is not clear.
    #[error("the policy has groups of its own")]
    ByHand,
    /// Nothing was published yet.
    #[error("the ledger has no entry yet")]
    Empty,
    /// A witness saw more of the ledger than there is.
    #[error("the witness `{name}` saw {seen} entries, and the ledger has {size}")]
    Ahead {
        /// Its name.
        name: String,
        /// What it saw.
        seen: u64,
        /// What is there.
        size: u64,
    },
    /// A witness cosigned another history.
    #[error("{} cosigned other {size} entries than these", witnesses.join(", "))]
    Fork {
        /// Their names.
        witnesses: Vec<String>,
        /// How many entries.
        size: u64,
    },
    /// No cosignature fits a checkpoint that was asked about.
    #[error("the cosignature is of none of the checkpoints for which one was asked")]
    NotAsked,
    /// The client of HTTP.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server of HTTP.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A file of the user.
    #[error("could not {what} `{path}`")]
    File {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Diagnose for WitnessingError {
    fn diagnosis(&self) -> Diagnosis {
        let user = |code, help: String| Diagnosis::new(Class::User, code, help);
        match self {
            Self::Home(error) => error.diagnosis(),
            Self::Storage(error) => error.diagnosis(),
            Self::Tiles(error) => error.diagnosis(),
            Self::Policy(error) => error.diagnosis(),
            Self::PolicyFile(error) => error.diagnosis(),
            Self::Collect(error) => error.diagnosis(),
            Self::Request(error) => error.diagnosis(),
            Self::NoWitness { has, .. } if has.is_empty() => {
                user("ledger/no-witness", "add one with `aseptic ledger witness add VKEY`".to_owned())
            }
            Self::NoWitness { has, .. } => user("ledger/no-witness", format!("it has {}", has.join(", "))),
            Self::WhichWitness { count: 0 } => {
                user("ledger/no-witness", "add one with `aseptic ledger witness add VKEY`".to_owned())
            }
            Self::WhichWitness { .. } => {
                user("ledger/no-witness", "name it with `--witness NAME`".to_owned())
            }
            Self::ByHand => user(
                "ledger/policy",
                "write the whole policy and pass it to `aseptic ledger witness set FILE`".to_owned(),
            ),
            Self::Empty => {
                user("ledger/none", "the first run or import makes an entry; witnesses come after".to_owned())
            }
            Self::Ahead { .. } => Diagnosis::new(
                Class::Damaged,
                "ledger/witness-ahead",
                "the ledger lost entries, or it was put back from a copy: keep it as evidence",
            ),
            Self::Fork { .. } => Diagnosis::new(
                Class::Damaged,
                "ledger/witness-fork",
                "keep this directory as evidence: someone with the key rewrote the history",
            ),
            Self::NotAsked => user(
                "ledger/cosignature",
                "pass what `aseptic witness sign` wrote for the last `--request`, or make a new request"
                    .to_owned(),
            ),
            Self::Client(ClientError::Request { .. }) => {
                user("ledger/witness-url", "correct the URL of the witness, or the proxy".to_owned())
            }
            Self::Client(_) => Diagnosis::new(
                Class::Host,
                "ledger/witness-silent",
                "check the network and the witness, then try again",
            ),
            Self::Serve(_) => Diagnosis::new(
                Class::Host,
                "ledger/witness-listen",
                "choose an address of this machine and a port that is free, with `--listen`",
            ),
            Self::File { .. } => {
                Diagnosis::new(Class::Host, "ledger/witness-file", "check the path and its permissions")
            }
        }
    }
}
