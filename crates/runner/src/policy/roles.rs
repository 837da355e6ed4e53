//! Roles of a project: `policy/roles.toml`, who signed it, and what it means.
//!
//! **Invariant:** the key that the first roles file names is pinned, and every later file is signed by the key that is
//! pinned then. A file that names another key is signed by both, so that nobody hands over to a key that nobody has.

mod file;
mod rollback;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use aseptic_ledger::{NOTE_BYTES_MAX, NoteError, SignedNote, SigningKey, SigningKeyError, VerifierKey};
use aseptic_model::{Class, Diagnose, Diagnosis, Digest, ProjectName, Timestamp};
use aseptic_policy::{Act, Action, PolicyDocument, PolicyError, ROLES_FORMAT, Role, Roles, Through};

use file::{read, read_roles, replace};
pub(super) use rollback::not_replaced;

use super::files::FileProblem;
use super::{POLICY_DIRECTORY, in_force};
use crate::home::{Home, HomeError};

/// The roles of a directory `policy`.
const ROLES: &str = "roles.toml";
/// Who signed them.
const SIGNATURES: &str = "roles.sig";

/// Why roles cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RolesError {
    /// The state.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The roles file is wrong.
    #[error(transparent)]
    File(Box<FileProblem>),
    /// The key to sign with.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
    /// A file cannot be read or written.
    #[error("could not {what} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no roles file.
    #[error("{0}")]
    Missing(String),
    /// `signer` is no key, or `roles.sig` no signed note.
    #[error("`{file}` {what}")]
    Note {
        /// Which file.
        file: &'static str,
        /// What is the matter with it.
        what: &'static str,
        /// More precisely.
        #[source]
        source: NoteError,
    },
    /// The signatures are over another file, or over the same of another project.
    #[error("`roles.sig` is about other roles than `roles.toml`, or about another project than `{project}`")]
    Other {
        /// The project.
        project: ProjectName,
    },
    /// A key did not sign that must.
    #[error("`roles.sig` has no signature by `{key}`, {why}")]
    NotSigned {
        /// The key.
        key: String,
        /// Why it must.
        why: &'static str,
    },
    /// Somebody would bring back roles that others replaced.
    #[error("these roles were in force before, and were replaced on {replaced}")]
    Replaced {
        /// When.
        replaced: Timestamp,
    },
    /// A key would lie where runs get their code from.
    #[error("`{}` is in the directory of the project, which runs see", path.display())]
    InProject {
        /// Where.
        path: PathBuf,
    },
    /// Nobody has a role of this name.
    #[error("`{}` has no role in the project `{project}`", user.escape_debug())]
    Nobody {
        /// Who was asked about.
        user: String,
        /// Where.
        project: ProjectName,
    },
}

impl Diagnose for RolesError {
    fn diagnosis(&self) -> Diagnosis {
        let (class, code, help) = match self {
            Self::Home(error) => return error.diagnosis(),
            Self::File(error) => return error.diagnosis(),
            Self::Key(error) => return error.diagnosis(),
            Self::Io { .. } => {
                (Class::Host, "policy/roles-io", "check the path, its permissions and the disk")
            }
            Self::Missing(_) => (
                Class::User,
                "policy/roles-missing",
                "write `policy/roles.toml`; docs/roles.md shows one, and `aseptic role sign` signs it",
            ),
            Self::Note { .. } => (
                Class::User,
                "policy/roles-signature",
                "write the key as `aseptic role key` prints it, and sign anew with `aseptic role sign --key FILE`",
            ),
            Self::Other { .. } => (
                Class::Denied,
                "policy/roles-signature",
                "sign the file as it is now, for this project, with `aseptic role sign --key FILE`",
            ),
            Self::NotSigned { .. } => (
                Class::Denied,
                "policy/roles-signature",
                "whoever has that key signs with `aseptic role sign --key FILE`; signatures of others stay",
            ),
            Self::Replaced { .. } => (
                Class::Denied,
                "policy/roles-replaced",
                "change the file, if only by a comment that says why they come back, and have it signed again",
            ),
            Self::InProject { .. } => {
                (Class::User, "key/in-project", "name a file outside of it, such as `~/roles.key`")
            }
            Self::Nobody { .. } => {
                (Class::User, "policy/roles-nobody", "`aseptic role show` lists everybody who has one")
            }
        };
        Diagnosis::new(class, code, help)
    }
}

/// The text that is signed for the roles file `roles` of `project`.
fn signed_text(project: &ProjectName, roles: &str) -> String {
    format!("{ROLES_FORMAT}\n{project}\n{}\n", Digest::of(roles.as_bytes()))
}

/// Whether the roles of `document` may decide for `project`: the key to pin, which must sign the next ones. `pinned` is
/// the one that is pinned now. A document without roles has none to pin, and cannot follow one that had.
///
/// # Errors
/// [`RolesError`]; these roles must not be put in force.
pub fn verify_roles(
    document: &PolicyDocument,
    project: &ProjectName,
    pinned: Option<&str>,
) -> Result<Option<String>, RolesError> {
    let file = |name: &str| document.files.get(&format!("policy/{name}")).map(String::as_str);
    let (Some(text), signatures) = (file(ROLES), file(SIGNATURES)) else {
        let what = match (pinned, file(SIGNATURES)) {
            (None, None) => return Ok(None),
            (Some(_), _) => "there is no `roles.toml`, and the project has roles in force, which stay",
            (None, Some(_)) => "there is a `roles.sig` and no `roles.toml`",
        };
        return Err(RolesError::Missing(what.to_owned()));
    };
    let roles = parsed(text, Path::new(POLICY_DIRECTORY))?;
    let pinned = pinned.map(|key| key_of("the state", key)).transpose()?;
    let checked = Signatures::of(&roles, text, project, signatures.unwrap_or_default(), pinned)?;
    match checked.missing().into_iter().next() {
        None => Ok(Some(checked.signer.to_string())),
        Some((key, why)) => Err(RolesError::NotSigned { key: key.to_string(), why }),
    }
}

/// The roles that the roles file in `directory` gives.
fn parsed(text: &str, directory: &Path) -> Result<Roles, RolesError> {
    let wrong = |problems| FileProblem::of(PolicyError::from(problems), text, &directory.join(ROLES));
    Roles::parse(text).map_err(|problems| RolesError::File(Box::new(wrong(problems))))
}

fn key_of(file: &'static str, text: &str) -> Result<VerifierKey, RolesError> {
    text.parse().map_err(|source| RolesError::Note { file, what: "names a signer that is no key", source })
}

/// Who must sign a roles file, and the note with those who did.
struct Signatures {
    note: SignedNote,
    /// The key that the file names.
    signer: VerifierKey,
    /// The one that is pinned.
    pinned: Option<VerifierKey>,
}

impl Signatures {
    /// Without a note nobody signed yet.
    fn of(
        roles: &Roles,
        text: &str,
        project: &ProjectName,
        note: &str,
        pinned: Option<VerifierKey>,
    ) -> Result<Self, RolesError> {
        let signer = key_of(ROLES, &roles.signer)?;
        let expected = signed_text(project, text);
        let note = match note {
            "" => SignedNote::new(expected),
            note => {
                let wrong = |source| RolesError::Note { file: SIGNATURES, what: "is no signed note", source };
                let note: SignedNote = note.parse().map_err(wrong)?;
                if note.text() != expected {
                    return Err(RolesError::Other { project: project.clone() });
                }
                note
            }
        };
        Ok(Self { note, signer, pinned })
    }

    /// The keys that must sign and did not, with the reason.
    fn missing(&self) -> Vec<(&VerifierKey, &'static str)> {
        let pinned = self.pinned.iter().filter(|pinned| **pinned != self.signer);
        let pinned = pinned.map(|key| (key, "which signed the roles that are in force"));
        let signer = (&self.signer, "which `roles.toml` names as `signer`");
        pinned.chain([signer]).filter(|(key, _)| !self.note.is_signed_by(key)).collect()
    }
}

/// Makes a key that signs roles, in the file `path`, which is not below `project`: a run would see it there.
///
/// # Errors
/// [`RolesError::Key`], [`RolesError::InProject`]; a file that is there is never replaced.
pub fn create_signing_key(
    path: &Path,
    name: &str,
    project: Option<&Path>,
) -> Result<VerifierKey, RolesError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let (Ok(parent), Some(Ok(project))) = (parent.canonicalize(), project.map(Path::canonicalize))
        && parent.starts_with(project)
    {
        return Err(RolesError::InProject { path: path.to_owned() });
    }
    Ok(SigningKey::create(path, name)?.public().clone())
}

/// Roles that were signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolesSigned {
    /// The file with the signatures.
    pub path: PathBuf,
    /// The key that signed now.
    pub key: VerifierKey,
    /// Everybody in whose name there is a signature.
    pub names: Vec<String>,
    /// The key that the file names, if it did not sign yet.
    pub missing: Option<VerifierKey>,
}

/// Signs `directory/roles.toml` for `project` with the key in the file `key`: writes `directory/roles.sig` as a whole or
/// not at all. Signatures of others over the same file stay.
///
/// # Errors
/// [`RolesError`]: the roles are wrong, or there is no key; nothing was written.
pub fn sign_roles(directory: &Path, project: &ProjectName, key: &Path) -> Result<RolesSigned, RolesError> {
    let text = read_roles(directory)?;
    let roles = parsed(&text, directory)?;
    let key = SigningKey::read(key)?;
    let path = directory.join(SIGNATURES);
    let there = read(&path, NOTE_BYTES_MAX)?.unwrap_or_default();
    let mut signatures = match Signatures::of(&roles, &text, project, &there, None) {
        Ok(signatures) => signatures,
        // The file was changed since: whoever signed it then did not sign this.
        Err(RolesError::Other { .. }) => Signatures::of(&roles, &text, project, "", None)?,
        Err(error) => return Err(error),
    };
    signatures.note.sign(&key);
    let note = signatures.note.to_string();
    if note.len() > NOTE_BYTES_MAX {
        let source = io::Error::other("there are too many signatures; remove the file, and sign anew");
        return Err(RolesError::Io { what: "write", path, source });
    }
    replace(&path, &note)?;
    let missing = (!signatures.note.is_signed_by(&signatures.signer)).then(|| signatures.signer.clone());
    let names = signatures.note.names().map(str::to_owned).collect();
    Ok(RolesSigned { path, key: key.public().clone(), names, missing })
}

/// A roles file that may be put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolesChecked {
    /// Who has which role.
    pub roles: Roles,
    /// The key that is pinned when it is put in force.
    pub signer: String,
    /// The one that is pinned now.
    pub pinned: Option<String>,
}

/// Checks `directory/roles.toml` and its signatures as they are checked before roles are put in force.
///
/// # Errors
/// [`RolesError`].
pub fn check_roles(home: &Home, project: &ProjectName, directory: &Path) -> Result<RolesChecked, RolesError> {
    home.allowed(project, Act::View, None)?;
    let text = read_roles(directory)?;
    let roles = parsed(&text, directory)?;
    let signatures = read(&directory.join(SIGNATURES), NOTE_BYTES_MAX)?;
    let files = signatures.map(|text| (format!("policy/{SIGNATURES}"), text)).into_iter();
    let document = PolicyDocument::new(files.chain([(format!("policy/{ROLES}"), text)]).collect());
    let pinned = home.catalog.pinned_signer(project).map_err(HomeError::from)?;
    let signer = verify_roles(&document, project, pinned.as_deref())?.unwrap_or_default();
    not_replaced(home, project, &document)?;
    Ok(RolesChecked { roles, signer, pinned })
}

/// The roles of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRoles {
    /// Who.
    pub user: String,
    /// Each role, with every way to it.
    pub roles: BTreeMap<Role, BTreeSet<Through>>,
}

/// Who has which role in a project, and what each may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolesShown {
    /// Everybody who has a role, or the one who was asked about.
    pub users: Vec<UserRoles>,
    /// What each role may do.
    pub may: BTreeMap<Role, Vec<&'static str>>,
    /// The key that must sign the next roles; none where there are no roles.
    pub signer: Option<String>,
}

/// The roles that are in force in `project`: of `user`, or of everybody.
///
/// # Errors
/// [`RolesError`].
pub fn show_roles(home: &Home, project: &ProjectName, user: Option<&str>) -> Result<RolesShown, RolesError> {
    home.allowed(project, Act::View, None)?;
    let policies = in_force(home, project)?.policies;
    let users = match policies.roles() {
        Some(roles) => {
            let asked = user.map_or_else(|| roles.users(), |user| [user].into());
            let of = |user: &str| UserRoles { user: user.to_owned(), roles: roles.roles_of(user) };
            asked.into_iter().map(of).filter(|one| !one.roles.is_empty()).collect()
        }
        None => {
            let principal = home.principal(&policies)?;
            let roles = principal.roles.iter().map(|role| (*role, BTreeSet::new())).collect();
            let owner = UserRoles { user: principal.user, roles };
            [owner].into_iter().filter(|owner| user.is_none_or(|user| user == owner.user)).collect::<Vec<_>>()
        }
    };
    if let (Some(user), true) = (user, users.is_empty()) {
        return Err(RolesError::Nobody { user: user.to_owned(), project: project.clone() });
    }
    let shown: BTreeSet<Role> = match user {
        Some(_) => users.iter().flat_map(|one| one.roles.keys().copied()).collect(),
        None if policies.roles().is_none() => [Role::Owner].into(),
        None => Role::GIVEN.into(),
    };
    let of = |role: Role| {
        let start = policies.starts(role).then_some(Action::Start.as_str());
        (role, start.into_iter().chain(policies.acts_of(role, project).map(Act::as_str)).collect())
    };
    let may = shown.into_iter().map(of).collect();
    let signer = home.catalog.pinned_signer(project).map_err(HomeError::from)?;
    Ok(RolesShown { users, may, signer })
}
