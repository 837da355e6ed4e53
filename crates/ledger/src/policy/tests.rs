use proptest::prelude::*;

use super::*;
use crate::cosign::Cosigner;
use crate::merkle::TreeHash;
use crate::note::Signer;

fn cosigner(seed: u8) -> Cosigner {
    Cosigner::from_seed(&format!("witness.example/{seed}"), &[seed; 32])
}

/// The example of the specification, with keys.
fn example() -> String {
    let key = |seed| cosigner(seed).public().to_string();
    let log = Signer::from_seed("example.com/log", &[9; 32]).public().to_string();
    format!(
        "# who is believed\nlog {log} https://example.com/log\n\n\twitness X1 {} https://x1.example/\n\
         witness X2 {}\nwitness X3 {}\ngroup X-witnesses 2 X1 X2 X3\n\nwitness Y1 {}\nwitness Y2 {}\n\
         witness Y3 {}\ngroup Y-witnesses any Y1 Y2 Y3\n\ngroup X-and-Y all X-witnesses Y-witnesses\n\
         quorum X-and-Y\n",
        key(1),
        key(2),
        key(3),
        key(4),
        key(5),
        key(6)
    )
}

/// A checkpoint that only these witnesses signed.
fn cosigned(witnesses: &[u8]) -> Checkpoint {
    let root = TreeHash::empty();
    let text = format!("example.com/log\n9\n{root}");
    let bare: Checkpoint = format!("{text}\n\n\u{2014} other AAAAAAE=\n").parse().unwrap();
    let lines: String = witnesses.iter().map(|seed| cosigner(*seed).cosign(&bare, 5).to_string()).collect();
    format!("{bare}{lines}").parse().unwrap()
}

#[test]
fn a_quorum_is_counted_through_groups() {
    let policy: Policy = example()
        .lines()
        .filter(|line| !line.starts_with("log"))
        .fold(String::new(), |text, line| text + line + "\n")
        .parse()
        .unwrap();
    for (witnesses, enough) in [
        (&[][..], false),
        (&[1, 2], false),
        (&[1, 4], false),
        (&[1, 3, 6], true),
        (&[4, 5, 6], false),
        (&[1, 2, 3, 4, 5, 6], true),
        (&[1, 1, 4], false),
    ] {
        let judged = policy.judge(&cosigned(witnesses)).unwrap();
        assert_eq!(judged.quorum, enough, "{witnesses:?}");
    }
    assert_eq!(policy.required(), None);
}

#[test]
fn a_log_of_the_policy_must_have_signed() {
    let policy: Policy = example().parse().unwrap();
    policy.judge(&cosigned(&[1, 2, 4])).unwrap_err();
    let none: Policy = "quorum none\n".parse().unwrap();
    assert!(none.judge(&cosigned(&[])).unwrap().quorum);
    assert!(!none.needs_witnesses());
}

#[test]
fn the_text_is_kept_but_for_its_comments() {
    let policy: Policy = example().parse().unwrap();
    assert_eq!((policy.logs().len(), policy.witnesses().len()), (1, 6));
    let text = policy.to_string();
    assert_eq!(text.parse(), Ok(policy));
    assert!(text.starts_with("log example.com/log+") && text.ends_with("\nquorum X-and-Y\n"), "{text}");
}

#[test]
fn parsing_is_strict() {
    let good = example();
    let key = cosigner(7).public().to_string();
    let same = cosigner(1).public().to_string();
    let cases = [
        good.replace("quorum X-and-Y\n", ""),
        good.clone() + "quorum none\n",
        good.replace("quorum X-and-Y\n", "quorum Z\n"),
        good.replace("group X-witnesses 2", "group X-witnesses 4"),
        good.replace("group X-witnesses 2", "group X-witnesses 0"),
        good.replace("group X-witnesses 2", "group X-witnesses 02"),
        good.replace("2 X1 X2 X3", "2 X1 X1 X3"),
        good.replace("2 X1 X2 X3", "2"),
        good.replace("any Y1 Y2 Y3", "any Y1 Y2 Y3 X1"),
        good.replace("group X-and-Y all", "group X-and-Y all none"),
        good.replace("witness X2", "witness X1"),
        good.replace("witness X2", "witness none"),
        good.replace("witness X2", "witness"),
        good.replace("quorum", &format!("witness Z {same}\nquorum")),
        good.replace("quorum", &format!("witness Z {key} url more\nquorum")),
        good.replace("quorum", &format!("log {key}\nquorum")),
        good.replace("quorum", "allow all\nquorum"),
        good.replace('\n', "\r\n"),
        good.trim_end().to_owned(),
        good.clone() + &"#".repeat(POLICY_BYTES_MAX),
        String::new(),
    ];
    for bad in cases {
        bad.parse::<Policy>().unwrap_err();
    }
    "group a any b\nwitness b x\nquorum a\n".parse::<Policy>().unwrap_err();
}

#[test]
fn a_simple_policy_can_be_edited() {
    let witness =
        |seed| PolicyWitness { name: format!("w{seed}"), key: cosigner(seed).public().clone(), url: None };
    for required in [Required::All, Required::Any, Required::AtLeast(2)] {
        let policy = Policy::of(Vec::new(), vec![witness(1), witness(2)], required).unwrap();
        assert_eq!(policy.to_string().parse::<Policy>().unwrap().required(), Some(required));
        assert_eq!(policy.judge(&cosigned(&[1])).unwrap().quorum, required == Required::Any);
        assert!(policy.judge(&cosigned(&[1, 2])).unwrap().quorum);
    }
    Policy::of(Vec::new(), vec![witness(1)], Required::AtLeast(2)).unwrap_err();
    Policy::of(Vec::new(), vec![witness(1), witness(1)], Required::All).unwrap_err();
    let empty = Policy::of(Vec::new(), Vec::new(), Required::All).unwrap();
    assert_eq!((empty.to_string().as_str(), empty.needs_witnesses()), ("quorum none\n", false));
}

proptest! {
    #[test]
    fn any_text_is_refused_without_a_panic(text in "(log|witness|group|quorum|none|a|2|any|[ \t]|\n|#|\\PC){0,40}") {
        if let Ok(policy) = text.parse::<Policy>() {
            prop_assert_eq!(policy.to_string().parse(), Ok(policy));
        }
    }
}
