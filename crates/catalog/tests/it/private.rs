//! A PostgreSQL server that nobody else can reach, for the tests of one process; also those of the command line.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server that ends with this, however this ends: it serves until its standard input does.
pub(crate) struct Private {
    child: Child,
    /// The URL of its database; with TLS also port and certificate.
    pub(crate) line: String,
}

impl Private {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let root =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let mut child = Command::new(Path::new(&root).join("../../scripts/private-postgresql.sh"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("postgresql://"), "the server did not start; it says why above");
        Self { child, line: line.trim().to_owned() }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
