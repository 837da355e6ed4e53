//! Credentials, on disk and in the environment.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;

use super::{first, secret, tail};
use crate::attempt::{Attempt, Family};
use crate::{Said, Scene};

pub(super) const FAMILY: Family = Family {
    name: "credentials",
    about: "credentials of the user, on disk and in the environment",
    attempts: &[
        Attempt::new("aws-credentials", MOUNT, "read ~/.aws/credentials", |scene| {
            read(scene, ".aws/credentials")
        })
        .canary(),
        Attempt::new("ssh-key", MOUNT, "read ~/.ssh/id_ed25519", |scene| read(scene, ".ssh/id_ed25519"))
            .canary(),
        Attempt::new("netrc", MOUNT, "read ~/.netrc", |scene| read(scene, ".netrc")).canary(),
        Attempt::new("gcloud-credentials", MOUNT, "read the credentials of gcloud", |scene| {
            read(scene, ".config/gcloud/application_default_credentials.json")
        })
        .canary(),
        Attempt::new("kube-config", MOUNT, "read ~/.kube/config", |scene| read(scene, ".kube/config"))
            .canary(),
        Attempt::new("docker-config", MOUNT, "read ~/.docker/config.json", |scene| {
            read(scene, ".docker/config.json")
        })
        .canary(),
        Attempt::new("huggingface-token", MOUNT, "read ~/.cache/huggingface/token", |scene| {
            read(scene, ".cache/huggingface/token")
        })
        .canary(),
        Attempt::new("git-credentials", MOUNT, "read ~/.git-credentials", |scene| {
            read(scene, ".git-credentials")
        })
        .canary(),
        Attempt::new("pypi-token", MOUNT, "read ~/.pypirc", |scene| read(scene, ".pypirc")).canary(),
        Attempt::new("token-in-the-environment", ENVIRONMENT, "look through its own environment", |_| {
            let secrets = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().contains("SECRET"));
            first(secrets, |(_, value): (OsString, OsString)| Said::reached(tail(value.as_bytes())))
        })
        .canary(),
        Attempt::new(
            "token-of-the-caller",
            ENVIRONMENT,
            "read the environment of the processes above",
            |scene| {
                let parent = rustix::process::getppid().map_or(1, |pid| pid.as_raw_nonzero().get());
                first(std::iter::once(parent).chain(scene.processes()), |pid| {
                    let environment = std::fs::read(format!("/proc/{pid}/environ"))?;
                    super::after(&environment, "AWS_SECRET_ACCESS_KEY=")
                        .map_or_else(|| Said::refused("nothing to see"), Said::reached)
                })
            },
        )
        .canary(),
        Attempt::new("agent-socket", MOUNT, "connect to the socket of an agent that holds keys", |scene| {
            scene.ask(|target| super::channels::path_socket(&target.socket))
        })
        .canary(),
    ],
};

const MOUNT: &str = "mount namespace";
const ENVIRONMENT: &str = "clean environment";

/// Where the user has it, and where a job of the same user would look.
fn read(scene: &Scene, name: &str) -> io::Result<Said> {
    first([&scene.host.home, &scene.place.home], |home| secret(&home.join(name)))
}
