//! First bytes of a hostile TLS client; where a server's library reads a name, the gateway reads none or the same.
#![no_main]

use aseptic_gateway::fuzz::{self, Named};
use rustls::server::Acceptor;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let named = fuzz::client_hello(bytes);
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    while !rest.is_empty() && acceptor.read_tls(&mut rest).is_ok_and(|read| read > 0) {
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let name = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                assert!(
                    named == Named::Malformed || named == Named::Name(name.clone()),
                    "{named:?} is {name:?}"
                );
                return;
            }
            Ok(None) => {}
            Err(_) => return,
        }
    }
});
