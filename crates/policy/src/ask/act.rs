//! What people do besides starting runs: each command is one of these acts.

use std::collections::BTreeSet;
use std::fmt;

use aseptic_model::Label;

/// Something that a command does, as an action of the policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// Read anything of a project.
    View,
    /// Name, tag or comment a run.
    Annotate,
    /// End a run of somebody.
    Stop,
    /// Take a grant back from a run.
    Revoke,
    /// Copy outputs out.
    Export,
    /// Import a version of a dataset.
    AddDataset,
    /// Say something about a dataset version.
    Describe,
    /// Give labels.
    Label,
    /// Take labels off.
    Declassify,
    /// Give a dataset to another project.
    Share,
    /// Choose how long something is kept.
    Retain,
    /// Delete what nothing keeps.
    Collect,
    /// Copy bytes to another place.
    Archive,
    /// Bring bytes back.
    Restore,
    /// Put something in quarantine.
    Quarantine,
    /// Take something out of quarantine.
    LiftQuarantine,
    /// Open an incident, or close it.
    HandleIncident,
    /// Give evidence or attestations to others.
    Attest,
    /// Change keys of the ledger, of attestations or of witnesses.
    ManageKeys,
    /// Erase a committed value.
    Erase,
    /// Attack the walls of this machine on purpose.
    Drill,
    /// Put other policies, settings or roles in force.
    EditPolicy,
}

impl Act {
    /// Every act.
    pub const ALL: [Self; 22] = [
        Self::View,
        Self::Annotate,
        Self::Stop,
        Self::Revoke,
        Self::Export,
        Self::AddDataset,
        Self::Describe,
        Self::Label,
        Self::Declassify,
        Self::Share,
        Self::Retain,
        Self::Collect,
        Self::Archive,
        Self::Restore,
        Self::Quarantine,
        Self::LiftQuarantine,
        Self::HandleIncident,
        Self::Attest,
        Self::ManageKeys,
        Self::Erase,
        Self::Drill,
        Self::EditPolicy,
    ];

    /// Its name in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "View",
            Self::Annotate => "Annotate",
            Self::Stop => "Stop",
            Self::Revoke => "Revoke",
            Self::Export => "Export",
            Self::AddDataset => "AddDataset",
            Self::Describe => "Describe",
            Self::Label => "Label",
            Self::Declassify => "Declassify",
            Self::Share => "Share",
            Self::Retain => "Retain",
            Self::Collect => "Collect",
            Self::Archive => "Archive",
            Self::Restore => "Restore",
            Self::Quarantine => "Quarantine",
            Self::LiftQuarantine => "LiftQuarantine",
            Self::HandleIncident => "HandleIncident",
            Self::Attest => "Attest",
            Self::ManageKeys => "ManageKeys",
            Self::Erase => "Erase",
            Self::Drill => "Drill",
            Self::EditPolicy => "EditPolicy",
        }
    }
}

impl Act {
    /// What it is to do, as in "nobody may …".
    #[must_use]
    pub fn deed(self) -> &'static str {
        match self {
            Self::View => "read anything of the project",
            Self::Annotate => "name, tag or comment runs",
            Self::Stop => "stop runs",
            Self::Revoke => "take grants back from runs",
            Self::Export => "copy outputs out",
            Self::AddDataset => "import data",
            Self::Describe => "describe datasets",
            Self::Label => "give labels",
            Self::Declassify => "take labels off",
            Self::Share => "give datasets to other projects",
            Self::Retain => "choose how long things are kept",
            Self::Collect => "delete what nothing keeps",
            Self::Archive => "copy bytes to other places",
            Self::Restore => "bring bytes back",
            Self::Quarantine => "put things in quarantine",
            Self::LiftQuarantine => "take things out of quarantine",
            Self::HandleIncident => "open or close incidents",
            Self::Attest => "give evidence to others",
            Self::ManageKeys => "change keys",
            Self::Erase => "erase committed values",
            Self::Drill => "attack the walls of this machine",
            Self::EditPolicy => "put policies, settings or roles in force",
        }
    }
}

/// What an act is about, as policies are told. The default is the project as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// It, as an object is written, such as `run:8m3k…`; empty where that is the project.
    pub object: String,
    /// Its labels.
    pub labels: BTreeSet<Label>,
}

impl About {
    /// Something without labels.
    #[must_use]
    pub fn object(object: impl Into<String>) -> Self {
        Self { object: object.into(), ..Self::default() }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
