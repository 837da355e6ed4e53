//! Inspect environments: what a run had, what one would have now, what differs, what stands out.

mod diff;
mod runs;
mod since;
mod verify;

use aseptic_catalog::RunSummary;
use aseptic_model::{
    Diagnose, Diagnosis, Digest, Finding, INVENTORY_FORMAT, InstalledPackage, Interpreter, Inventory,
    Machine, Plan, ProjectName, RunId, RunRef,
};
use aseptic_policy::Act;
use aseptic_store::StoreError;

use crate::environment::EnvironmentError;
use crate::environment::asked::{self, CodeFiles};
use crate::environment::inventory::{Sources, present};
use crate::environment::python::{Captured, capture};
use crate::home::{Home, HomeError};
use crate::plan::Planned;
use crate::request::{CodeChoice, Request, RequestError};
use crate::results::{ResultError, seen};
use crate::retention::there_run;

pub use diff::{Aspect, EnvironmentDiff, FactChange, PackageChange, SystemChange, diff_environments};
pub use runs::{EnvironmentRuns, environment_runs};
pub use verify::{EnvironmentVerified, verify_environment};

/// Which environment is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvironmentRef {
    /// That which a run would have now.
    Now,
    /// That which a run had.
    Run(RunRef),
}

/// An environment, and what stands out about it.
#[derive(Clone, Debug)]
pub struct EnvironmentShown {
    /// The run that had it; nothing for that of now.
    pub run: Option<RunId>,
    /// Digest of the inventory in the store, where it was recorded.
    pub digest: Option<Digest>,
    /// What is in it.
    pub inventory: Inventory,
    /// What stands out in it, beside what its code asks for, and since the run before.
    pub findings: Vec<Finding>,
    /// Why some things are not known, each in words.
    pub unknown: Vec<String>,
}

/// Why an environment cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The spec or the options.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// There is no such environment.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// There is no such run.
    #[error(transparent)]
    Result(#[from] ResultError),
    /// The state of this machine.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Nothing says which environment to check.
    #[error("no Python environment is named, and none is active")]
    NoPython,
    /// The user ended it.
    #[error("interrupted; nothing was found out")]
    Interrupted,
}

impl Diagnose for InspectError {
    fn diagnosis(&self) -> Diagnosis {
        use aseptic_model::Class;
        match self {
            Self::Request(error) => error.diagnosis(),
            Self::Environment(error) => error.diagnosis(),
            Self::Result(error) => error.diagnosis(),
            Self::Home(error) => error.diagnosis(),
            Self::NoPython => Diagnosis::new(
                Class::User,
                "environment/none",
                "name one with `--python PATH`, activate a venv, or set `env.python` in the spec",
            ),
            Self::Interrupted => {
                Diagnosis::new(Class::Interrupted, "environment/interrupted", "start it again")
            }
        }
    }
}

impl From<StoreError> for InspectError {
    fn from(error: StoreError) -> Self {
        Self::Home(error.into())
    }
}

impl From<aseptic_catalog::CatalogError> for InspectError {
    fn from(error: aseptic_catalog::CatalogError) -> Self {
        Self::Home(error.into())
    }
}

/// An environment with everything that stands out about it. Nothing of it is executed, and nothing is recorded.
///
/// # Errors
/// [`InspectError`].
pub fn environment(
    home: &Home,
    project: &ProjectName,
    of: &EnvironmentRef,
    request: &Request,
) -> Result<EnvironmentShown, InspectError> {
    home.allowed(project, Act::View, None)?;
    match of {
        EnvironmentRef::Now => of_now(home, project, request),
        EnvironmentRef::Run(run) => of_run(home, project, run),
    }
}

fn of_now(home: &Home, project: &ProjectName, request: &Request) -> Result<EnvironmentShown, InspectError> {
    let captured = captured(request)?;
    let sources = Sources::new(captured.as_ref(), request.home_directory.as_deref());
    let inventory = present(home, project, &sources);
    let code = match &request.code {
        CodeChoice::Directory(root) => CodeFiles::in_directory(root),
        CodeChoice::Nothing => CodeFiles::default(),
    };
    let mut findings = inventory.findings.clone();
    findings.extend(asked_of(&code, &inventory));
    let packages = captured.as_ref().map(|captured| captured.python.packages.as_slice());
    let experiment = request.experiment.as_ref();
    findings.extend(since::changed(home, project, experiment, None, packages)?);
    let unknown = inventory.incomplete.clone();
    Ok(EnvironmentShown { run: None, digest: None, inventory, findings, unknown })
}

/// The Python environment that a request means.
fn captured(request: &Request) -> Result<Option<Captured>, InspectError> {
    Ok(request.python_path()?.as_deref().map(capture).transpose()?)
}

fn of_run(home: &Home, project: &ProjectName, run: &RunRef) -> Result<EnvironmentShown, InspectError> {
    let summary = seen(home, project, run)?;
    let plan: Plan = home.object(project, &summary.plan)?;
    let (inventory, mut unknown) = recorded(home, project, &summary, &plan)?;
    unknown.extend(inventory.incomplete.clone());
    let mut findings = inventory.findings.clone();
    match (&plan.code, there_run(&summary)) {
        (Some(code), Ok(())) => {
            let store = home.store(project)?;
            findings.extend(asked_of(&CodeFiles::in_snapshot(&store, &code.snapshot)?, &inventory));
        }
        (Some(_), Err(_)) => {
            unknown.push("its code was deleted, so that it is not known what that asked for".to_owned());
        }
        (None, _) => {}
    }
    let packages = plan.environment.python.as_ref().map(|python| python.packages.as_slice());
    let before = home.catalog.run_entry(project, &summary.run)?;
    let experiment = summary.experiment.as_ref();
    findings.extend(since::changed(home, project, experiment, before, packages)?);
    Ok(EnvironmentShown { run: Some(summary.run), digest: summary.inventory, inventory, findings, unknown })
}

/// What a plan's environment is known to have, with everything that stands out, for `plan`.
///
/// # Errors
/// [`InspectError`].
pub fn plan_findings(home: &Home, planned: &Planned) -> Result<Vec<Finding>, InspectError> {
    let plan = &planned.plan;
    let inventory = present(home, &plan.project, &planned.sources);
    let mut findings = inventory.findings.clone();
    if let Some(code) = &plan.code {
        let store = home.store(&plan.project)?;
        findings.extend(asked_of(&CodeFiles::in_snapshot(&store, &code.snapshot)?, &inventory));
    }
    let packages = plan.environment.python.as_ref().map(|python| python.packages.as_slice());
    let experiment = plan.experiment.as_ref();
    findings.extend(since::changed(home, &plan.project, experiment, None, packages)?);
    Ok(findings)
}

fn asked_of(code: &CodeFiles, inventory: &Inventory) -> Vec<Finding> {
    asked::findings(code, inventory.python.as_ref().map(|_| inventory.packages.as_slice()))
}

/// The inventory of a run; where it has none, what its plan says, and that it says less.
fn recorded(
    home: &Home,
    project: &ProjectName,
    run: &RunSummary,
    plan: &Plan,
) -> Result<(Inventory, Vec<String>), InspectError> {
    if let Some(digest) = run.inventory {
        let inventory: Inventory = home.object(project, &digest)?;
        if inventory.format == INVENTORY_FORMAT {
            return Ok((inventory, Vec::new()));
        }
    }
    let why = match (run.status, run.record) {
        (None, _) => "it goes on: what stands here is of its plan",
        (Some(_), None) => "it did not start: what stands here is of its plan",
        (Some(_), Some(_)) => {
            "it has no inventory: what stands here is of its plan, without licences and origins"
        }
    };
    Ok((planned(plan), vec![why.to_owned()]))
}

/// What a plan says of an environment.
fn planned(plan: &Plan) -> Inventory {
    let host = plan.environment.host.clone();
    let python = plan.environment.python.as_ref();
    Inventory {
        format: INVENTORY_FORMAT.to_owned(),
        python: python.map(|python| Interpreter {
            prefix: python.prefix.clone(),
            base_prefix: python.base_prefix.clone(),
            version: python.version.clone(),
            digest: python.interpreter,
            implementation: None,
            build: None,
            library: None,
        }),
        packages: python.iter().flat_map(|python| &python.packages).map(InstalledPackage::planned).collect(),
        system: None,
        machine: Machine {
            kernel: host.kernel,
            kernel_build: String::new(),
            architecture: host.architecture,
            system: None,
            glibc: None,
            cpu: host.cpu,
            cores: None,
            cpu_features: None,
            memory_bytes: None,
            gpu_driver: None,
            cuda_driver: None,
            gpus: Vec::new(),
        },
        findings: Vec::new(),
        incomplete: Vec::new(),
    }
}
