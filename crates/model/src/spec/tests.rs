use proptest::prelude::*;

use super::*;
use crate::Diagnose as _;

const EXAMPLE: &str = r#"
[project]
name = "digits"

[experiment.train]
command = ["python", "train.py"]
params  = { lr = 0.1, seed = 7 }
data    = { train = "digits-train", labels = "labels@3" }
network = ["example.org:443"]
limits  = { wall = "1h", processes = 512 }
env     = { python = ".venv", variables = { OMP_NUM_THREADS = "1" } }
"#;

fn error(text: &str) -> String {
    let error = Spec::parse(text.as_bytes()).unwrap_err();
    format!("{error}; {}", error.diagnosis().help)
}

#[test]
fn a_whole_spec() {
    let spec = Spec::parse(EXAMPLE.as_bytes()).unwrap();
    let train = &spec.experiments[&"train".parse().unwrap()];
    assert_eq!(spec.project.as_str(), "digits");
    assert_eq!(train.command, ["python", "train.py"]);
    assert_eq!(train.params["lr"], serde_json::json!(0.1));
    assert_eq!(train.data[&"labels".parse().unwrap()].to_string(), "labels@3");
    assert_eq!(train.limits.wall_ms, Some(3_600_000));
    assert_eq!(train.limits.processes, 512);
    assert_eq!(train.python.as_deref(), Some(".venv"));
}

#[test]
fn grants_are_text_or_tables() {
    let spec = |network: &str| {
        format!("[project]\nname=\"p\"\n[experiment.a]\ncommand=[\"x\"]\nnetwork={network}\n")
    };
    let text = spec(r#"["a.example:443", { to = "b.example:80", tls = "any" }, "c.example:1,tls=any"]"#);
    let parsed = Spec::parse(text.as_bytes()).unwrap();
    let grants = &parsed.experiments[&"a".parse().unwrap()].network;
    let grants: Vec<_> = grants.iter().map(ToString::to_string).collect();
    assert_eq!(grants, ["a.example:443", "b.example:80,tls=any", "c.example:1,tls=any"]);
    for (network, wrong) in [
        (r#""a.example:443""#, "5:9: `network`: expected a list"),
        (r#"["https://a.example"]"#, "without a scheme"),
        ("[443]", "5:10: `network`"),
        (r#"[{ tls = "any" }]"#, "an element of `network` has no `to`"),
        (r#"[{ to = "a.example:443", tls = "no" }]"#, "`granted` or `any`"),
        (r#"[{ to = "a.example:443", tsl = "any" }]"#, "did you mean `tls`"),
    ] {
        assert!(error(&spec(network)).contains(wrong), "{}", error(&spec(network)));
    }
}

#[test]
fn errors_say_where_and_what_next() {
    assert_eq!(
        error("[project]\nname = \"p\"\n[experiment.a]\ncomand = [\"x\"]\n"),
        "4:1: unknown key `comand` in [experiment.a]; did you mean `command`?"
    );
    assert_eq!(error("[project]\n"), "1:1: [project] has no `name`; add `name`; see `docs/spec.md`");
    assert!(error("[project]\nname = \"a b\"\n").starts_with("2:8: "), "the place of the value");
    assert!(error("[project\n").starts_with("1:9: "), "{}", error("[project\n"));
    assert!(error("[project]\nname=\"p\"\n[experiment.a]\ncommand=[]\n").contains("program"));
    assert!(error("[project]\nname=\"p\"\n[experiment.a]\ncommand=\"x\"\n").starts_with("4:9: `command`"));
    for odd in ["nan", "-inf", "1979-05-27", "[1, inf]"] {
        let text = format!("[project]\nname=\"p\"\n[experiment.a]\ncommand=[\"x\"]\nparams={{a={odd}}}\n");
        assert!(
            error(&text).starts_with(if odd.starts_with('[') { "5:15: `a`: " } else { "5:11: `a`: " }),
            "{}",
            error(&text)
        );
    }
    let limits = "[project]\nname=\"p\"\n[experiment.a]\ncommand=[\"x\"]\nlimits={wall=\"soon\"}\n";
    assert!(error(limits).starts_with("5:14: `wall`: `soon` is not a duration"), "{}", error(limits));
}

#[test]
fn every_element_has_a_place() {
    let text = r#"[project]
name = "p"
[experiment.eval]
command = ["x"]
data = { test = "digits@1" }
network = [
  "a.example:443",
  { to = "b.example:80", tls = "any" },
]
limits = { memory = "1GiB" }
accept = ["memory", "böse\u0007"]
env.python = ".venv"
gpus = [0]
labels = ["release", "phi"]
keep = "metrics"
"#;
    let spec = Spec::parse(text.as_bytes()).unwrap();
    let experiment = &spec.experiments[&"eval".parse().unwrap()];
    assert_eq!(experiment.keep, Keep::Metrics);
    assert_eq!(experiment.labels.len(), 2);
    let places = experiment.places.iter().map(|(name, place)| (name.as_str(), place.line, place.column));
    assert_eq!(
        places.collect::<Vec<_>>(),
        [
            ("accept.böse\\x07", 11, 21),
            ("accept.memory", 11, 11),
            ("data.test", 5, 10),
            ("environment", 12, 14),
            ("gpus", 13, 8),
            ("labels.phi", 14, 22),
            ("labels.release", 14, 11),
            ("limits.memory", 10, 21),
            ("network.a.example:443", 7, 3),
            ("network.b.example:80,tls=any", 8, 3),
            ("outputs", 15, 8),
            ("run", 3, 13),
        ]
    );
    let wrong = text.replace("metrics", "nothing");
    assert!(
        error(&wrong).starts_with("15:8: `keep`: expected `everything` or `metrics`"),
        "{}",
        error(&wrong)
    );
    let wrong = text.replace("\"phi\"", "7");
    assert!(error(&wrong).starts_with("14:22: `labels`: "), "{}", error(&wrong));
}

#[test]
fn places_on_one_long_line_take_no_longer_than_on_many() {
    let grants: Vec<_> = (0..20_000).map(|number| format!("\"x{number}.example:443\"")).collect();
    let grants = grants.join(",");
    let text = format!("[project]\nname=\"p\"\n[experiment.a]\ncommand=[\"x\"] # ü\nnetwork=[{grants}]\n");
    let spec = Spec::parse(text.as_bytes()).unwrap();
    let places = &spec.experiments[&"a".parse().unwrap()].places;
    assert_eq!(places["network.x19999.example:443"].line, 5);
    let last = text.lines().nth(4).unwrap().find("\"x19999").unwrap();
    assert_eq!(places["network.x19999.example:443"].column, last + 1);
}

#[test]
fn ten_megabytes_are_refused_at_once() {
    let bytes = vec![b'#'; 10_000_000];
    assert_eq!(Spec::parse(&bytes), Err(SpecError::TooLarge { bytes: 10_000_000 }));
}

#[test]
fn text_that_is_not_utf_8_has_a_line() {
    let spec = b"[project]\nname = \"caf\xe9\"\n";
    assert!(
        matches!(Spec::parse(spec), Err(SpecError::Syntax { at, .. }) if (at.line, at.column) == (2, 12))
    );
}

proptest! {
    #[test]
    fn any_bytes_give_a_result(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = Spec::parse(&bytes);
    }

    #[test]
    fn any_edit_of_a_spec_gives_a_result(position in 0..EXAMPLE.len(), byte in any::<u8>()) {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        bytes[position] = byte;
        let _ = Spec::parse(&bytes);
    }
}
