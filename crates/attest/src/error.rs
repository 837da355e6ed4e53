//! What can be wrong with an attestation, its key or what it is about.

use aseptic_model::{CanonicalError, Class, Diagnose, Diagnosis};

/// Why an attestation could not be made, or is not to be believed.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// The bytes are no document of this kind.
    #[error("it is no {what}: {why}")]
    Format {
        /// Of which kind.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// No key is in these bytes, or one of another kind.
    #[error("it is no {0} of ECDSA P-256 in PEM")]
    Key(&'static str),
    /// The signature is not of this key over these bytes.
    #[error("no signature of it is by key {keyid}")]
    Signature {
        /// The key that was asked for.
        keyid: String,
    },
    /// The machine could give no random numbers.
    #[error("the system gave no random numbers")]
    Random,
    /// Something cannot be expressed in the format.
    #[error("{format} cannot express {what}")]
    Inexpressible {
        /// The format.
        format: &'static str,
        /// What it cannot express.
        what: String,
    },
    /// A value has no JSON form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl Diagnose for AttestError {
    fn diagnosis(&self) -> Diagnosis {
        match self {
            Self::Format { .. } => Diagnosis::new(
                Class::Damaged,
                "attest/format",
                "get it again from where it came; `aseptic attest export RUN --as slsa --out FILE` writes one",
            ),
            Self::Key(_) => {
                Diagnosis::new(Class::User, "attest/key", "`aseptic attest key` prints the public key as PEM")
            }
            Self::Signature { .. } => Diagnosis::new(
                Class::Damaged,
                "attest/signature",
                "do not use what it is about; keep the file as evidence and get it again from its source",
            ),
            Self::Random => Diagnosis::new(Class::Host, "attest/random", "see why getrandom(2) fails here"),
            Self::Inexpressible { .. } => Diagnosis::new(
                Class::User,
                "attest/inexpressible",
                "choose another format, or rename what it cannot express",
            ),
            Self::Canonical(_) => {
                Diagnosis::new(Class::User, "attest/canonical", "use finite numbers in the parameters")
            }
        }
    }
}
