//! Hosts outside, as a job reaches them: by name, over TLS and HTTP, through a proxy, or not at all.

use std::fs;
use std::process::Stdio;

use crate::testbed::{Testbed, arguments, denied, told};
use crate::world::wait_until;

const FILES: &str = "files.example.org:443";

#[test]
fn what_is_granted_is_reached_and_counted_and_nothing_else_is() {
    let testbed = Testbed::new();
    let urls = ["https://files.example.org/", "http://files.example.org/", "https://other.example.org/"];
    let (said, run) = testbed.fetch(&[FILES], &urls);
    assert!(said.starts_with("files.example.org over https\nfailed: "), "{said}");
    assert_eq!(said.matches("failed: ").count(), 2, "{said}");
    assert_eq!(testbed.journal(), ["GET https://files.example.org/"]);
    let found = denied(&run);
    for line in ["connect files.example.org:80: not-granted", "resolve other.example.org: not-granted"] {
        assert!(found.contains(&line.to_owned()), "{line}: {found:#?}");
    }
    let egress = &run["egress"];
    let traffic = &egress["grants"][0]["traffic"];
    assert_eq!((&egress["complete"], &traffic["connections"]), (&true.into(), &1.into()));
    let (sent, received) =
        (traffic["sent_bytes"].as_u64().unwrap(), traffic["received_bytes"].as_u64().unwrap());
    assert!(sent > 200 && received > 500, "a handshake is more than that: {run:#}");
    let host = &egress["hosts"][0];
    assert_eq!((&host["host"], &host["traffic"]), (&FILES.into(), traffic));
    let known = ["93.184.216.34", "2606:2800:220:1::34"];
    assert!(known.contains(&host["addresses"][0].as_str().unwrap()), "{run:#}");
}

#[test]
fn all_names_below_one_and_hosts_with_ipv6_alone() {
    let testbed = Testbed::new();
    let urls = ["https://six.example.org/", "https://git.example.org/", "https://elsewhere.example.net/"];
    let (said, run) = testbed.fetch(&["*.example.org:443"], &urls);
    assert!(said.starts_with("six.example.org over https\ngit.example.org over https\nfailed: "), "{said}");
    assert_eq!(run["egress"]["grants"][0]["traffic"]["connections"], 2);
    assert!(denied(&run).contains(&"resolve elsewhere.example.net: not-granted".to_owned()), "{run:#}");
}

/// A server that answers for several names: the name in TLS, or in HTTP, is not that of the connection.
#[test]
fn a_front_is_refused_unless_the_grant_permits_any_name() {
    let testbed = Testbed::new();
    let tls = "
import socket, ssl
context = ssl.create_default_context(cafile='ca.pem')
with socket.create_connection(('files.example.org', 443)) as plain:
    with context.wrap_socket(plain, server_hostname='other.example.org') as client:
        client.sendall(b'GET / HTTP/1.1\\r\\nHost: other.example.org\\r\\nConnection: close\\r\\n\\r\\n')
        print(client.makefile().read())
";
    let http = "
import urllib.request
request = urllib.request.Request('http://files.example.org/', headers={'Host': 'other.example.org'})
print(urllib.request.urlopen(request).read().decode())
";
    for (port, script) in [(443, tls), (80, http)] {
        let grant = format!("files.example.org:{port}");
        let (said, run) = testbed.run(&[&grant], &["python3", "-c", script]);
        assert_eq!(run["status"], "failed", "{said}");
        assert_eq!(denied(&run), [format!("connect {grant}: other-name")]);
        assert!(testbed.journal().is_empty());
        let (said, run) = testbed.run(&[&format!("{grant},tls=any")], &["python3", "-c", script]);
        assert!(said.contains("other.example.org over http"), "{said}");
        assert!(denied(&run).is_empty(), "{run:#}");
        testbed.journal();
    }
}

#[test]
fn a_name_leads_to_no_private_address_unless_that_is_granted() {
    let testbed = Testbed::new();
    for name in ["private", "private-six", "local", "metadata"] {
        let host = format!("{name}.example.org");
        let (said, run) = testbed.fetch(&[&format!("{host}:80")], &[&format!("http://{host}/")]);
        assert!(said.starts_with("failed: "), "{said}");
        assert_eq!(denied(&run), [format!("connect {host}:80: private-address")]);
    }
    assert!(testbed.journal().is_empty());
    let grants = ["private.example.org:80", "10.20.30.40:80"];
    let (said, _) = testbed.fetch(&grants, &["http://private.example.org/", "http://10.20.30.40/"]);
    assert_eq!(said, "private.example.org over http\n10.20.30.40 over http\n");
    let (said, _) = testbed.fetch(&["mixed.example.org:80"], &["http://mixed.example.org/"]);
    assert_eq!(said, "mixed.example.org over http\n", "it has a public address, too");
}

#[test]
fn an_address_that_is_granted_is_reached_and_its_other_ports_are_not() {
    let testbed = Testbed::new();
    let grants = ["93.184.217.9:80", "[2606:2800:220:1::34]:80"];
    let urls = ["http://93.184.217.9/", "http://[2606:2800:220:1::34]/", "http://93.184.217.9:443/"];
    let (said, run) = testbed.fetch(&grants, &urls);
    let answers = "93.184.217.9 over http\n2606:2800:220:1::34 over http\nfailed: ";
    assert!(said.starts_with(answers), "{said}");
    assert_eq!(denied(&run), ["connect 93.184.217.9:443: not-granted"]);
}

#[test]
fn bytes_go_through_as_they_are_whoever_speaks_first_and_stops_first() {
    let testbed = Testbed::new();
    let script = "
import hashlib, socket
data = bytes(range(256)) * 4000
with socket.create_connection(('odd.example.org', 9005)) as client:
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    print('digest', client.makefile().read() == hashlib.sha256(data).hexdigest())
with socket.create_connection(('odd.example.org', 9003)) as client:
    print('half', client.makefile().read(), end='')
    client.sendall(data)
with socket.create_connection(('odd.example.org', 9006)) as client:
    print('greeting', client.recv(100))
    client.sendall(b'HELO\\r\\n')
    print('answer', client.recv(100))
with socket.create_connection(('odd.example.org', 9002)) as client:
    client.sendall(b'x\\r\\n')
    try:
        print('end', client.recv(1))
    except ConnectionResetError:
        print('reset')
";
    let ports = [9002, 9003, 9005, 9006].map(|port| format!("odd.example.org:{port}"));
    let grants: Vec<&str> = ports.iter().map(String::as_str).collect();
    let (said, run) = testbed.run(&grants, &["python3", "-c", script]);
    let expected =
        "digest True\nhalf that is all\ngreeting b'220 welcome\\r\\n'\nanswer b'250 HELO\\r\\n'\nreset\n";
    assert_eq!((said.as_str(), denied(&run).len()), (expected, 0), "{run:#}");
    let traffic = |port: usize| &run["egress"]["grants"][port]["traffic"];
    assert_eq!((&traffic(2)["sent_bytes"], &traffic(2)["received_bytes"]), (&1_024_000.into(), &64.into()));
}

/// Data in a question, and records that carry data, are ways out of a network that answers them.
#[test]
fn names_are_asked_for_addresses_alone() {
    let testbed = Testbed::new();
    let script = "
import socket, struct
def ask(name, kind):
    parts = b''.join(bytes([len(part)]) + part.encode() for part in name.split('.'))
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(20)
    question = struct.pack('>6H', 7, 0x100, 1, 0, 0, 0) + parts + b'\\0' + struct.pack('>2H', kind, 1)
    client.sendto(question, ('198.19.0.53', 53))
    return struct.unpack('>6H', client.recv(4096)[:12])[3]
print([ask('files.example.org', kind) for kind in (1, 28, 16, 15, 255)], ask('secret.example.net', 1))
";
    let (said, run) = testbed.run(&[FILES], &["python3", "-c", script]);
    assert_eq!(said, "[1, 1, 0, 0, 0] 0\n");
    let found = denied(&run);
    assert!(found.contains(&"resolve files.example.org: record-type".to_owned()), "{found:#?}");
    assert!(found.contains(&"resolve secret.example.net: not-granted".to_owned()), "{found:#?}");
}

#[test]
fn datagrams_leave_no_run() {
    let testbed = Testbed::new();
    let script = "
import socket
for family, host in ((socket.AF_INET, '93.184.216.40'), (socket.AF_INET6, '2606:2800:220:1::34')):
    try:
        socket.socket(family, socket.SOCK_DGRAM).sendto(b'out', (host, 9000))
    except OSError as error:
        print(error)
";
    let (_, run) = testbed.run(&["observe"], &["python3", "-c", script]);
    let found = denied(&run);
    for line in
        ["send 93.184.216.40:9000, UDP: not-granted", "send [2606:2800:220:1::34]:9000, UDP: not-granted"]
    {
        assert!(found.contains(&line.to_owned()), "{line}: {found:#?}");
    }
    assert!(testbed.journal().is_empty());
}

#[test]
fn a_proxy_of_the_site_is_used_for_what_is_granted_and_no_proxy_goes_around_it() {
    let testbed = Testbed::new();
    let grants = [FILES, "behind.example.net:80", "git.example.org:443"];
    let urls = ["https://files.example.org/", "http://behind.example.net/", "https://git.example.org/"];
    let command = [&["python3", "fetch.py"], &urls[..], &["https://other.example.org/"]].concat();
    let mut command = testbed.command(&arguments(&grants, &command));
    command
        .env("HTTPS_PROXY", "http://user:secret@proxy.example.net:3128")
        .env("NO_PROXY", "git.example.org");
    let (said, run) = told(&command.output().unwrap());
    let answers =
        "files.example.org over https\nbehind.example.net over http\ngit.example.org over https\nfailed: ";
    assert!(said.starts_with(answers), "{said}");
    let asked: Vec<_> = testbed.journal().into_iter().filter(|line| line.starts_with("CONNECT")).collect();
    assert_eq!(asked, ["CONNECT files.example.org:443 as user", "CONNECT behind.example.net:80 as user"]);
    assert_eq!(run["egress"]["proxy"], "proxy.example.net:3128");
    assert!(!run.to_string().contains("secret"), "{run:#}");
}

#[test]
fn what_was_observed_becomes_a_spec_that_works() {
    let testbed = Testbed::new();
    let urls = ["https://files.example.org/", "http://git.example.org/"];
    let (said, _) = testbed.fetch(&["observe"], &urls);
    assert_eq!(said.matches("failed: ").count(), 2, "{said}");
    assert!(testbed.journal().is_empty());
    assert!(testbed.output(&["init", "--from-run", "latest"]).status.success());
    let spec = fs::read_to_string(testbed.world.path("project/aseptic.toml")).unwrap();
    let (said, run) = told(&testbed.output(&["run", "--json", "--quiet", "train"]));
    assert_eq!(said, "files.example.org over https\ngit.example.org over http\n", "{spec}");
    assert!(denied(&run).is_empty(), "{run:#}");
}

/// Each run has a network of its own, and numbers of its own.
#[test]
fn two_runs_share_no_network() {
    let testbed = Testbed::new();
    let listens = "
import socket, subprocess, sys
listener = socket.create_server(('', 8000))
subprocess.run([sys.executable, 'fetch.py', 'https://files.example.org/'])
sys.stdin.read()
listener.setblocking(False)
try:
    print('reached from', listener.accept()[1])
except BlockingIOError:
    print('nobody came')
";
    let mut first = testbed.command(&arguments(&[FILES], &["python3", "-c", listens]));
    first.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut first = first.spawn().unwrap();
    wait_until("the first run listens", || {
        testbed.journal().contains(&"GET https://files.example.org/".to_owned())
    });
    let urls = ["http://198.19.0.1:8000/", "http://127.0.0.1:8000/", "https://files.example.org/"];
    let (said, other) = testbed.fetch(&[FILES], &urls);
    assert_eq!((said.matches("failed: ").count(), said.matches("over https").count()), (2, 1), "{said}");
    drop(first.stdin.take());
    let (said, first) = told(&first.wait_with_output().unwrap());
    assert!(said.contains("nobody came"), "{said}");
    for run in [first, other] {
        assert_eq!(run["egress"]["grants"][0]["traffic"]["connections"], 1, "{run:#}");
    }
}
