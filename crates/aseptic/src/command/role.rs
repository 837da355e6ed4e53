use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use aseptic_runner::policy::{self, RolesChecked, RolesShown, RolesSigned};
use aseptic_runner::{Role, Through, user_name};
use clap::ValueHint;
use serde_json::{Value, json};

use crate::context::{Context, directory_of};
use crate::failure::Failure;
use crate::table::table;

/// Who may do what in a project
///
/// `policy/roles.toml` beside the spec gives roles to users and groups, and somebody signs it. It decides once
/// `policy/` is put in force. Without it, whoever owns the state directory may do everything, and nobody else anything.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a key that signs roles, and print its public half for `signer`
    ///
    /// Keep the file where nobody else can read it: whoever has it decides who may do what. A file that is there is
    /// never replaced.
    #[command(after_help = "Examples:\n  aseptic role key ~/roles.key\n  \
                            aseptic role key ~/roles.key --name ada@example.org")]
    Key {
        /// File to write the private key to
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Name of the key [default: the user]
        #[arg(long, value_name = "NAME", value_hint = ValueHint::Other)]
        name: Option<String>,
    },
    /// Check `roles.toml` and sign it
    ///
    /// Writes `roles.sig` beside it. Signatures of others over the same file stay: roles that name another signer are
    /// signed by the one before and by the new one.
    #[command(after_help = "Examples:\n  aseptic role sign --key ~/roles.key\n  \
                            aseptic role sign --key ~/roles.key lab/policy")]
    Sign {
        /// File that `aseptic role key` wrote
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        key: PathBuf,
        #[command(flatten)]
        directory: Directory,
    },
    /// Check `roles.toml` and its signatures, as before it is put in force
    #[command(after_help = "Examples:\n  aseptic role check\n  aseptic role check lab/policy --json")]
    Check {
        #[command(flatten)]
        directory: Directory,
    },
    /// Show who has which role, through which group, and what each role may do
    ///
    /// Shows the roles that are in force.
    #[command(after_help = "Examples:\n  aseptic role show\n  aseptic role show ada")]
    Show {
        /// Show the roles of one user
        #[arg(value_name = "USER", value_hint = ValueHint::Username)]
        user: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Directory {
    /// Directory with `roles.toml` [default: `policy` beside the spec]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    directory: Option<PathBuf>,
}

impl Directory {
    fn path(&self, context: &Context) -> PathBuf {
        let beside = || context.spec().map(|spec| directory_of(&spec)).unwrap_or_default().join("policy");
        self.directory.clone().unwrap_or_else(beside)
    }
}

pub(crate) fn run(context: &mut Context, args: &Args) -> Result<ExitCode, Failure> {
    match &args.action {
        Action::Key { file, name } => {
            let name = name.clone().unwrap_or_else(user_name);
            let project = context.spec().map(|spec| directory_of(&spec));
            let key = policy::create_signing_key(file, &name, project.as_deref())?;
            if context.json() {
                let document =
                    json!({ "schema": "aseptic.role-key/1", "name": key.name(), "key": key.to_string() });
                context.document(&document)?;
            } else {
                context.out(&key);
                context.say(format_args!(
                    "Wrote the private key to {}. Write the line above as `signer` into roles.toml.",
                    file.display()
                ));
            }
        }
        Action::Sign { key, directory } => {
            let signed = policy::sign_roles(&directory.path(context), &context.project()?, key)?;
            show_signed(context, &signed)?;
        }
        Action::Check { directory } => {
            let (project, home) = (context.project()?, context.home()?);
            let checked = policy::check_roles(&home, &project, &directory.path(context))?;
            show_checked(context, &checked)?;
        }
        Action::Show { user } => {
            let (project, home) = (context.project()?, context.home()?);
            let shown = policy::show_roles(&home, &project, user.as_deref())?;
            show(context, &shown, user.is_some())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show_signed(context: &Context, signed: &RolesSigned) -> Result<(), Failure> {
    let missing = signed.missing.as_ref().map(ToString::to_string);
    if context.json() {
        return context.document(&json!({
            "schema": "aseptic.role-sign/1", "file": signed.path, "key": signed.key.to_string(),
            "names": signed.names, "missing": missing,
        }));
    }
    context.out(format_args!("{} signed; the signature is in {}", signed.key.name(), signed.path.display()));
    if let Some(missing) = missing {
        context.say(format_args!("`signer` has to sign too: {missing}"));
    }
    Ok(())
}

fn show_checked(context: &Context, checked: &RolesChecked) -> Result<(), Failure> {
    let users = checked.roles.users().len();
    if context.json() {
        return context.document(&json!({
            "schema": "aseptic.role-check/1", "users": users, "signer": checked.signer, "pinned": checked.pinned,
        }));
    }
    context.out(format_args!("{users} users have roles; signed by {}", checked.signer));
    match &checked.pinned {
        None => context.say("No key is pinned yet: putting these roles in force pins this one."),
        Some(pinned) if *pinned != checked.signer => {
            context.say(format_args!("Putting these roles in force hands over from {pinned}."));
        }
        Some(_) => {}
    }
    Ok(())
}

fn show(context: &Context, shown: &RolesShown, is_one: bool) -> Result<(), Failure> {
    if context.json() {
        return context.document(&document(shown));
    }
    let mut rows = Vec::new();
    for one in &shown.users {
        for (role, ways) in &one.roles {
            let ways: Vec<String> = ways.iter().map(|way| escaped(&way.to_string())).collect();
            let ways = if ways.is_empty() { "owns the state directory".to_owned() } else { ways.join(", ") };
            rows.push([escaped(&one.user), role.to_string(), ways]);
        }
    }
    context.out(table(["user", "role", "how"], &rows));
    context.out("");
    let may = |(role, acts): (&Role, &Vec<&str>)| [role.to_string(), acts.join(" ")];
    context.out(table(["role", "may"], &shown.may.iter().map(may).collect::<Vec<_>>()));
    if let (Some(signer), false) = (&shown.signer, is_one) {
        context.out(format_args!("\nsigned by {signer}"));
    }
    Ok(())
}

fn document(shown: &RolesShown) -> Value {
    let groups = |ways: &std::collections::BTreeSet<Through>| -> Vec<Value> {
        let way = |way: &Through| match way {
            Through::Name => Value::Null,
            Through::Group(group) => json!(group),
        };
        ways.iter().map(way).collect()
    };
    let users = shown.users.iter().map(|one| {
        let roles =
            one.roles.iter().map(|(role, ways)| json!({ "role": role.as_str(), "groups": groups(ways) }));
        json!({ "user": one.user, "roles": roles.collect::<Vec<_>>() })
    });
    let may = shown.may.iter().map(|(role, acts)| (role.as_str(), acts));
    json!({
        "schema": "aseptic.role-show/1", "users": users.collect::<Vec<_>>(), "may": may.collect::<BTreeMap<_, _>>(),
        "signer": shown.signer,
    })
}

fn escaped(text: &str) -> String {
    text.escape_debug().to_string()
}
