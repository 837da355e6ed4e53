//! Questions of a hostile client; every answer is read by another library.
#![no_main]

use aseptic_gateway::fuzz;
use simple_dns::{Packet, PacketFlag};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(asked) = fuzz::dns_message(bytes) else { return };
    let Ok(question) = Packet::parse(bytes) else { return }; // It knows fewer types of records.
    let [question] = &question.questions[..] else { panic!("there is one question: {question:?}") };
    for answer in &asked.answers {
        let answer = Packet::parse(answer).expect("others read the answer");
        assert!(answer.has_flags(PacketFlag::RESPONSE | PacketFlag::RECURSION_AVAILABLE));
        assert_eq!(answer.questions.len(), 1);
        assert_eq!(answer.questions[0].qname, question.qname);
        let host = asked.host.as_deref();
        assert!(host.is_none_or(|host| question.qname.to_string().eq_ignore_ascii_case(host)), "{host:?}");
    }
});
