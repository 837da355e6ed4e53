//! Asking the witnesses of this machine's ledger, over HTTP or by file.

use std::path::Path;

use aseptic_http::{Answer, Client, ClientLimits, Outgoing};
use aseptic_ledger::{
    AddCheckpoint, Checkpoint, CollectError, Policy, PolicyWitness, collected, keep, prove_consistency,
    published_checkpoint, update_tiles, with_cosignature,
};

use super::WitnessingError;
use super::policy::witness_policy;
use crate::egress::SiteProxy;

/// How often one witness is asked again because it saw another size, as when two processes ask it at once.
const TRIES: usize = 3;

/// What one witness answered.
#[derive(Debug)]
pub enum Answered {
    /// It cosigned at this time, in seconds since 1970.
    Cosigned(u64),
    /// It has no URL: it is asked by file.
    ByFile,
    /// It refused, with this status and these words.
    Refused {
        /// The status of HTTP.
        status: u16,
        /// Its words, one line.
        words: String,
    },
    /// There is no usable answer.
    Failed(WitnessingError),
}

/// What came of asking all witnesses.
#[derive(Debug)]
pub struct WitnessUpdate {
    /// The checkpoint, with its cosignatures.
    pub checkpoint: Checkpoint,
    /// Whether enough of them cosigned it.
    pub quorum: bool,
    /// Each witness, by its name in the policy.
    pub answers: Vec<(String, Answered)>,
}

/// Asks every witness of the policy to cosign the ledger in `dir` as it is now, and keeps what they sign, durably.
///
/// # Errors
/// [`WitnessingError`]. That a witness refuses or is silent is none: the answers say so. But
/// [`WitnessingError::Ahead`] is, since the ledger is then not what it was.
pub fn update_witnesses(dir: &Path, proxy: &SiteProxy) -> Result<WitnessUpdate, WitnessingError> {
    let policy = witness_policy(dir)?;
    if policy.witnesses().is_empty() {
        return Err(WitnessingError::WhichWitness { count: 0 });
    }
    let mut checkpoint = present(dir)?;
    let url = Some(proxy.url.as_str()).filter(|url| !url.is_empty());
    let proxy = url.map(|url| aseptic_http::SiteProxy { url, except: &proxy.except });
    let client = Client::new(ClientLimits::default(), proxy)?;
    let (mut answers, mut ahead) = (Vec::new(), None);
    for witness in policy.witnesses() {
        let answered = match &witness.url {
            None => Answered::ByFile,
            Some(url) => match ask(&client, dir, witness, url, &checkpoint) {
                // The others are asked all the same: nobody signed this answer.
                Err(error @ WitnessingError::Ahead { .. }) => {
                    ahead = ahead.or(Some(error));
                    continue;
                }
                Err(error) => Answered::Failed(error),
                Ok(Err(refused)) => refused,
                Ok(Ok(cosigned)) => {
                    keep(dir, &cosigned, &policy)?;
                    checkpoint = cosigned;
                    let time = witness.key.cosigned(&checkpoint).ok().flatten().unwrap_or_default();
                    Answered::Cosigned(time)
                }
            },
        };
        answers.push((witness.name.clone(), answered));
    }
    update_tiles(dir)?;
    if let Some(error) = ahead {
        return Err(error);
    }
    let quorum = policy.judge(&checkpoint).is_ok_and(|judged| judged.quorum);
    Ok(WitnessUpdate { checkpoint, quorum, answers })
}

/// The checkpoint of the ledger as it is now.
fn present(dir: &Path) -> Result<Checkpoint, WitnessingError> {
    published_checkpoint(dir)?.ok_or(WitnessingError::Empty)
}

/// How many entries the witness cosigned last, as far as this side knows.
fn last_seen(dir: &Path, witness: &PolicyWitness) -> Result<u64, WitnessingError> {
    let seen = collected(dir)?;
    let by_it = seen.iter().rev().find(|kept| matches!(witness.key.cosigned(kept), Ok(Some(_))));
    Ok(by_it.map_or(0, Checkpoint::size))
}

fn request(
    dir: &Path,
    name: &str,
    old: u64,
    checkpoint: &Checkpoint,
) -> Result<AddCheckpoint, WitnessingError> {
    let size = checkpoint.size();
    if old > size {
        return Err(WitnessingError::Ahead { name: name.to_owned(), seen: old, size });
    }
    let (proof, _) = prove_consistency(dir, old, checkpoint)?;
    Ok(AddCheckpoint { old, proof, checkpoint: checkpoint.clone() })
}

/// Asks one witness.
fn ask(
    client: &Client,
    dir: &Path,
    witness: &PolicyWitness,
    url: &str,
    checkpoint: &Checkpoint,
) -> Result<Result<Checkpoint, Answered>, WitnessingError> {
    let url = format!("{}/add-checkpoint", url.trim_end_matches('/'));
    let mut old = last_seen(dir, witness)?.min(checkpoint.size());
    let mut tries = 0;
    loop {
        tries += 1;
        let body = request(dir, &witness.name, old, checkpoint)?.to_string();
        let headers = &[("content-type", "text/plain; charset=utf-8")];
        let Answer { status, body, .. } =
            client.send(&Outgoing { method: "POST", url: &url, headers, body: body.as_bytes() })?;
        let text = String::from_utf8_lossy(&body);
        match status {
            200 => return Ok(Ok(with_cosignature(checkpoint, &text, &witness.key)?)),
            409 if tries < TRIES => match text.trim_end().parse() {
                Ok(seen) => old = seen,
                Err(_) => return Ok(Err(refused(status, &text))),
            },
            _ => return Ok(Err(refused(status, &text))),
        }
    }
}

fn refused(status: u16, text: &str) -> Answered {
    let line = text.lines().next().unwrap_or_default();
    Answered::Refused { status, words: line.chars().filter(|c| !c.is_control()).take(200).collect() }
}

/// The request for the witness `name` (for the only one there is without a name), to be carried by hand. `old` is
/// how many entries it cosigned last; without it, what this side knows.
///
/// The checkpoint is kept, so that the answer finds it.
///
/// # Errors
/// [`WitnessingError`].
pub fn witness_request(
    dir: &Path,
    name: Option<&str>,
    old: Option<u64>,
) -> Result<AddCheckpoint, WitnessingError> {
    let policy = witness_policy(dir)?;
    let witness = one(&policy, name)?;
    let checkpoint = present(dir)?;
    let old = match old {
        Some(old) => old,
        None => last_seen(dir, witness)?,
    };
    let request = request(dir, &witness.name, old, &checkpoint)?;
    keep(dir, &checkpoint, &policy)?;
    Ok(request)
}

fn one<'p>(policy: &'p Policy, name: Option<&str>) -> Result<&'p PolicyWitness, WitnessingError> {
    match (name, policy.witnesses()) {
        (None, [witness]) => Ok(witness),
        (None, witnesses) => Err(WitnessingError::WhichWitness { count: witnesses.len() }),
        (Some(name), witnesses) => witnesses.iter().find(|witness| witness.name == name).ok_or_else(|| {
            let has = witnesses.iter().map(|witness| witness.name.clone()).collect();
            WitnessingError::NoWitness { name: name.to_owned(), has }
        }),
    }
}

/// Takes the answer of a witness that was asked by hand, for whichever checkpoint it is, and keeps it, durably.
/// Returns the name of the witness, and the checkpoint.
///
/// # Errors
/// [`WitnessingError::NotAsked`]: it is of no checkpoint for which a witness was asked.
pub fn take_cosignature(dir: &Path, answer: &str) -> Result<(String, Checkpoint), WitnessingError> {
    let policy = witness_policy(dir)?;
    for checkpoint in collected(dir)?.iter().rev() {
        // Only a checkpoint of this ledger gets a cosignature added.
        if policy.judge(checkpoint).is_err() {
            continue;
        }
        for witness in policy.witnesses() {
            match with_cosignature(checkpoint, answer, &witness.key) {
                Err(CollectError::NotBy { .. }) => {}
                cosigned => {
                    let cosigned = cosigned?;
                    keep(dir, &cosigned, &policy)?;
                    update_tiles(dir)?;
                    return Ok((witness.name.clone(), cosigned));
                }
            }
        }
    }
    Err(WitnessingError::NotAsked)
}
