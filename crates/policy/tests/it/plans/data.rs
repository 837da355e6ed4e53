//! What may meet what: data, destinations, outputs.

use super::{Row, allowed, denied, waits};
use crate::world::{evaluates, trains};

pub(super) fn network() -> Vec<Row> {
    vec![
        allowed("trains on public data", trains(), &[]),
        allowed("downloads from a host that it names", trains().network("example.org:443"), &[]),
        denied(
            "names a host, where there is no network",
            trains().network("example.org:443").without_network(),
            &[
                "network.example.org:443 (network/unavailable): `aseptic doctor` says what is missing; or remove it, and import what the job needs as a dataset",
            ],
        ),
        allowed("looks what the job wants of the network", trains().observes(), &[]),
        allowed("names every host below one", trains().network("*.example.org:443"), &[]),
        denied(
            "names every host below one, in strict mode",
            trains().strict().network("*.example.org:443"),
            &[
                "network.*.example.org:443 (network/wildcard): name the hosts that the job needs: `aseptic run --network observe` lists them",
            ],
        ),
        allowed("names an address in strict mode", trains().strict().network("192.0.2.7:443"), &[]),
    ]
}

pub(super) fn sensitive() -> Vec<Row> {
    let pii = || trains().labelled("pii");
    vec![
        allowed("trains on personal data, without a network", pii(), &[]),
        allowed("looks what a job on personal data wants of the network", pii().observes(), &[]),
        denied(
            "trains on personal data and reaches a host",
            pii().network("example.org:443"),
            &[
                r#"network.example.org:443 (label/sensitive-egress): remove `example.org:443` from `network`, or use data without that label; `policy/settings.toml` can allow it: `[labels."pii"] hosts = ["example.org:443"]`"#,
            ],
        ),
        denied(
            "goes on from a run that saw patient data, and reaches a host",
            trains().input("model", "run:8m3k00000000", &["phi"]).network("example.org:443"),
            &[
                r#"network.example.org:443 (label/sensitive-egress): remove `example.org:443` from `network`, or use data without that label; `policy/settings.toml` can allow it: `[labels."phi"] hosts = ["example.org:443"]`"#,
            ],
        ),
        denied(
            "calls its own outputs secret, and reaches a host",
            trains().own_label("secret").network("example.org:443"),
            &[
                r#"network.example.org:443 (label/sensitive-egress): remove `example.org:443` from `network`, or use data without that label; `policy/settings.toml` can allow it: `[labels."secret"] hosts = ["example.org:443"]`"#,
            ],
        ),
        allowed(
            "sends personal data to the host that the settings allow",
            pii().network("example.org:443").setting("pii", &["example.org:443"]),
            &[],
        ),
        allowed(
            "sends it to a host below one that the settings allow",
            pii().network("eu.example.org:443").setting("pii", &["*.example.org:443"]),
            &[],
        ),
        denied(
            "asks for every host below, where the settings allow one",
            pii().network("*.example.org:443").setting("pii", &["eu.example.org:443"]),
            &[
                r#"network.*.example.org:443 (label/sensitive-egress): remove `*.example.org:443` from `network`, or use data without that label; `policy/settings.toml` can allow it: `[labels."pii"] hosts = ["*.example.org:443"]`"#,
            ],
        ),
        denied(
            "sends it to another port of that host",
            pii().network("example.org:80").setting("pii", &["example.org:443"]),
            &[
                r#"network.example.org:80 (label/sensitive-egress): remove `example.org:80` from `network`, or use data without that label; `policy/settings.toml` can allow it: `[labels."pii"] hosts = ["example.org:80"]`"#,
            ],
        ),
        denied(
            "has patient data too, which that host may not have",
            pii().labelled("phi").network("example.org:443").setting("pii", &["example.org:443"]),
            &[
                r#"network.example.org:443 (label/sensitive-egress): remove `example.org:443` from `network`, or use data without that label; `policy/settings.toml` can allow it: `[labels."phi"] hosts = ["example.org:443"]`"#,
            ],
        ),
        denied(
            "reaches two hosts, one of which the settings allow",
            pii().network("a.example:443").network("b.example:443").setting("pii", &["a.example:443"]),
            &[
                r#"network.b.example:443 (label/sensitive-egress): remove `b.example:443` from `network`, or use data without that label; `policy/settings.toml` can allow it: `[labels."pii"] hosts = ["b.example:443"]`"#,
            ],
        ),
        denied(
            "has data with a label that the settings call sensitive",
            trains().labelled("consortium").network("example.org:443").setting("consortium", &[]),
            &[
                r#"network.example.org:443 (label/sensitive-egress): remove `example.org:443` from `network`, or use data without that label; `policy/settings.toml` can allow it: `[labels."consortium"] hosts = ["example.org:443"]`"#,
            ],
        ),
        denied(
            "writes the label in another way",
            trains().labelled("type:PII").network("example.org:443"),
            &[
                r#"network.example.org:443 (label/sensitive-egress): remove `example.org:443` from `network`, or use data without that label; `policy/settings.toml` can allow it: `[labels."type:PII"] hosts = ["example.org:443"]`"#,
            ],
        ),
        allowed(
            "has data with a label that nobody calls sensitive",
            trains().labelled("consortium").network("example.org:443"),
            &[],
        ),
    ]
}

pub(super) fn held_out() -> Vec<Row> {
    vec![
        allowed("evaluates on hold-out data", evaluates(), &["hold-out `digits-test`: evaluation 3 of 20"]),
        allowed(
            "looks what an evaluation wants of the network",
            evaluates().observes(),
            &["hold-out `digits-test`: evaluation 3 of 20"],
        ),
        waits(
            "evaluates once more than the budget has",
            evaluates().evaluations(20),
            &[
                "data.test (holdout/budget): choose by validation data, or take a new hold-out; an approver may allow one more",
            ],
        ),
        waits(
            "does so in a project with a smaller budget",
            evaluates().evaluations(3).evaluations_max(3),
            &[
                "data.test (holdout/budget): choose by validation data, or take a new hold-out; an approver may allow one more",
            ],
        ),
        waits(
            "evaluates where nobody counted",
            evaluates().uncounted(),
            &[
                "data.test (holdout/budget): choose by validation data, or take a new hold-out; an approver may allow one more",
            ],
        ),
        denied(
            "trains with hold-out data",
            evaluates().keeps_everything(),
            &[
                r#"data.test (holdout/training): set `keep = "metrics"`, so that only metrics leave the run; to train, use data that is not held out"#,
            ],
        ),
        denied(
            "has hold-out data beside its code",
            trains().in_code("role=holdout", "`test.csv` of digits-test@1"),
            &[
                "code (holdout/code): list it in `.asepticignore`, and name it with `--data` where a run is to see it",
            ],
        ),
        denied(
            "evaluates and may write without end",
            evaluates().unbounded_outputs(),
            &[
                "outputs (holdout/outputs): plan the run again: a plan limits what an evaluation writes, and its metrics to 64KiB, which is no copy of the data",
            ],
        ),
        denied(
            "evaluates by a plan that lets as much leave as the data is",
            evaluates().metrics(5 << 30),
            &[
                "outputs (holdout/outputs): plan the run again: a plan limits what an evaluation writes, and its metrics to 64KiB, which is no copy of the data",
            ],
        ),
        denied(
            "evaluates and reaches a host",
            evaluates().network("example.org:443"),
            &[
                "network.example.org:443 (holdout/egress): remove `example.org:443` from `network`, and import what the job needs as a dataset",
            ],
        ),
        denied(
            "trains with data that another label calls held out",
            trains().labelled("role=holdout"),
            &[
                r#"data.train (holdout/training): set `keep = "metrics"`, so that only metrics leave the run; to train, use data that is not held out"#,
            ],
        ),
        allowed("makes a hold-out of public data", trains().own_label("holdout"), &[]),
        denied(
            "trains on what an evaluation left",
            trains().input("scores", "run:8m3k00000000", &["holdout"]),
            &[
                r#"data.scores (holdout/training): set `keep = "metrics"`, so that only metrics leave the run; to train, use data that is not held out"#,
            ],
        ),
        denied(
            "evaluates beyond the budget and reaches a host: an approver cannot help",
            evaluates().evaluations(20).network("example.org:443"),
            &[
                "network.example.org:443 (holdout/egress): remove `example.org:443` from `network`, and import what the job needs as a dataset",
                "data.test (holdout/budget): choose by validation data, or take a new hold-out; an approver may allow one more",
            ],
        ),
    ]
}

pub(super) fn released() -> Vec<Row> {
    let release = || trains().own_label("release");
    vec![
        allowed("makes a model of public data to give away", release(), &[]),
        allowed("trains on non-commercial data, for itself", trains().labelled("non-commercial"), &[]),
        denied(
            "makes a model of non-commercial data to give away",
            release().labelled("non-commercial"),
            &[
                "outputs (licence/release): remove the label `release` from the run, or use data whose licence allows it",
            ],
        ),
        denied(
            "makes a model of personal data to give away",
            release().labelled("pii"),
            &[
                "outputs (label/release): remove the label `release` from the run, or use data without that label, which a data steward may take off",
            ],
        ),
        denied(
            "gives away what an evaluation found",
            evaluates().own_label("release"),
            &[
                "outputs (holdout/release): remove the label `release` from the run, or use data that is not held out",
            ],
        ),
    ]
}
