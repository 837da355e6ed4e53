//! What a run has of the network, without any outside: ports of this machine stand for hosts.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::world::{World, wait_until};

const PYTHON: &str = "/usr/bin/python3";

/// Runs the script; gives the exit code and the record.
fn python(world: &World, options: &[&str], script: &str) -> (i32, Value) {
    world.run_json(&[options, &["--", PYTHON, "-c", script]].concat())
}

/// `action target: reason (count)` of everything denied.
fn denied(run: &Value) -> Vec<String> {
    let text = |denied: &Value, key: &str| denied[key].as_str().unwrap().to_owned();
    let line = |denied: &Value| {
        let (action, target) = (text(denied, "action"), text(denied, "target"));
        format!("{action} {target}: {} ({})", text(denied, "reason"), denied["count"])
    };
    run["denied"].as_array().unwrap().iter().map(line).collect()
}

fn help<'r>(run: &'r Value, target: &str) -> &'r str {
    let entries = run["denied"].as_array().unwrap();
    entries.iter().find(|denied| denied["target"] == target).unwrap()["help"].as_str().unwrap()
}

/// A port of this machine that answers each connection by `serve`, for as long as the test goes on.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = std::sync::Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    port
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

#[test]
fn what_is_not_granted_is_denied_at_once_and_listed_with_what_would_allow_it() {
    let world = World::new();
    let script = "
import socket
def attempt(call, *arguments):
    try:
        call(*arguments)
        print('succeeded')
    except OSError as error:
        print(type(error).__name__, error.errno)
for _ in range(3):
    attempt(socket.getaddrinfo, 'files.example.org', 443)
attempt(socket.create_connection, ('93.184.216.34', 8443))
attempt(socket.create_connection, ('2606:2800:220:1::34', 443))
attempt(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect, ('93.184.216.34', 443))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
attempt(udp.sendto, b'x', ('93.184.216.35', 53))
attempt(socket.getaddrinfo, 'config.mlflow-telemetry.io', 443)
";
    let (code, run) = python(&world, &[], script);
    assert_eq!(code, 0, "{run:#}");
    let found = denied(&run);
    for line in [
        "resolve files.example.org: not-granted (",
        "connect 93.184.216.34:8443: not-granted (1)",
        "resolve config.mlflow-telemetry.io: not-granted (",
    ] {
        assert!(found.iter().any(|denied| denied.starts_with(line)), "{line}: {found:#?}");
    }
    assert!(
        found.iter().any(|line| line.starts_with("send 93.184.216.35:53, UDP: not-granted")),
        "{found:#?}"
    );
    let line = help(&run, "93.184.216.34:8443");
    assert!(line.contains("--network files.example.org:443"), "{line}");
    assert!(line.contains("--network 93.184.216.34:8443") && !line.contains("mlflow"), "{line}");
    assert!(help(&run, "config.mlflow-telemetry.io").contains("telemetry of MLflow"));
    assert_eq!((&run["egress"]["complete"], &run["egress"]["grants"]), (&true.into(), &Value::Array(vec![])));
    world.assert_no_leftovers();
}

#[test]
fn a_run_that_wants_nothing_says_nothing() {
    let world = World::new();
    let (_, run) = python(&world, &[], "print(1)");
    assert_eq!((denied(&run).len(), &run["egress"]["complete"]), (0, &true.into()));
    let shown = world.run(&["run", "--", "true"]);
    assert!(!shown.contains("denied") && !shown.contains("network"), "{shown}");
}

#[test]
fn a_granted_address_is_reached_and_counted() {
    let world = World::new();
    let port = server(echo);
    let grant = format!("127.0.0.1:{port}");
    let script = format!(
        "
import socket
s = socket.create_connection(('127.0.0.1', {port}))
s.sendall(b'x' * 100_000)
s.shutdown(socket.SHUT_WR)
got = b''
while piece := s.recv(65536):
    got += piece
assert got == b'x' * 100_000, len(got)
"
    );
    let (code, run) = python(&world, &["--network", &grant], &script);
    assert_eq!(code, 0, "{run:#}");
    let used = &run["egress"]["grants"][0];
    assert_eq!((&used["grant"], &used["revoked"]), (&grant.as_str().into(), &false.into()));
    let traffic = &used["traffic"];
    assert_eq!(traffic["connections"], 1, "{run:#}");
    assert_eq!((&traffic["sent_bytes"], &traffic["received_bytes"]), (&100_000.into(), &100_000.into()));
    let host = &run["egress"]["hosts"][0];
    assert_eq!((&host["host"], &host["addresses"][0]), (&grant.as_str().into(), &"127.0.0.1".into()));
    assert_eq!((denied(&run).len(), &run["egress"]["complete"]), (0, &true.into()));
    world.assert_no_leftovers();
}

#[test]
fn a_name_that_leads_to_this_machine_is_refused_unless_the_address_is_granted_as_well() {
    let world = World::new();
    let port = server(echo);
    // Its name server answers for `localhost` as everywhere; the first granted name has the first address.
    let script = format!(
        "
import socket
s = socket.create_connection(('198.18.0.1', {port}))
s.sendall(b'hello')
assert s.recv(5) == b'hello'
"
    );
    let (named, literal) = (format!("localhost:{port}"), format!("127.0.0.1:{port}"));
    let (code, run) = python(&world, &["--network", &named], &script);
    assert_eq!(code, 1, "{run:#}");
    let found = denied(&run);
    assert!(found[0].contains("private-address"), "{found:#?}");
    assert!(run["denied"][0]["help"].as_str().unwrap().contains("127.0.0.1"), "{run:#}");
    let (code, run) = python(&world, &["--network", &named, "--network", &literal], &script);
    assert_eq!((code, denied(&run).len()), (0, 0), "{run:#}");
}

#[test]
fn observing_lists_what_a_job_wants_and_a_spec_is_written_from_it() {
    let world = World::new();
    let script = "
import socket
for host, port in [('files.example.org', 8443), ('api.segment.io', 443), ('other.example.net', 80)]:
    try:
        socket.create_connection((host, port)).recv(1)
    except OSError as error:
        print(error)
";
    let (code, run) = python(&world, &["--network", "observe"], script);
    assert_eq!(code, 0, "{run:#}");
    let found = denied(&run);
    for target in ["files.example.org:8443", "other.example.net:80"] {
        assert!(
            found.iter().any(|line| line.starts_with(&format!("connect {target}: not-granted"))),
            "{found:#?}"
        );
    }
    world.ok(&["init", "--from-run", "latest"]);
    let spec = fs::read_to_string(world.path("project/aseptic.toml")).unwrap();
    assert!(spec.contains(r#"network = ["files.example.org:8443", "other.example.net:80"]"#), "{spec}");
    assert!(spec.contains("# Left out: api.segment.io"), "{spec}");
    let plan = world.json(&["plan", "--json", "train"]);
    assert_eq!(plan["plan"]["network"].as_array().unwrap().len(), 2);
    assert_eq!(plan["plan"]["command"][2], script, "{plan:#}");
}

/// Starts a run and waits until its job is connected.
fn started(world: &World, options: &[&str], script: &str) -> Child {
    let arguments = [&["run", "--json"], options, &["--", PYTHON, "-c", script]].concat();
    let mut child = world.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.as_mut().unwrap()).lines();
    said.find(|line| line.as_ref().unwrap() == "connected").unwrap().unwrap();
    child
}

/// The process id of its gateway.
fn gateway_of(run: &Child) -> i32 {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", run.id())).unwrap();
    let is_gateway = |pid: &&str| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("gateway-part")
    };
    children.split_whitespace().find(is_gateway).unwrap().parse().unwrap()
}

const HOLD: &str = "
import socket, sys
s = socket.create_connection(('127.0.0.1', PORT))
s.sendall(b'x')
assert s.recv(1) == b'x'
print('connected', flush=True)
try:
    print('cut' if s.recv(1) == b'' else 'data')
except ConnectionResetError:
    print('cut')
try:
    s = socket.create_connection(('127.0.0.1', PORT))
    s.sendall(b'x')
    print('open' if s.recv(1) else 'closed')
except OSError:
    print('closed')
";

fn finished(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_revoked_grant_cuts_its_connections() {
    let world = World::new();
    let port = server(echo);
    let grant = format!("127.0.0.1:{port}");
    let child = started(&world, &["--network", &grant], &HOLD.replace("PORT", &port.to_string()));
    let revoked = world.json(&["revoke", "--json", "latest", &grant]);
    assert_eq!((&revoked["grant"], &revoked["cut"]), (&grant.as_str().into(), &1.into()));
    let run = finished(child);
    assert_eq!(world.ok(&["logs", "latest"]), "connected\ncut\nclosed\n");
    assert_eq!(run["egress"]["grants"][0]["revoked"], true);
    assert!(denied(&run)[0].contains(": revoked"), "{run:#}");
    let entries = world.ok(&["ledger", "show"]);
    assert!(entries.contains("grant.revoked") && entries.contains(&grant), "{entries}");
    let over = world.run(&["revoke", "latest", &grant]);
    assert!(over.contains("revoke/over"), "{over}");
}

#[test]
fn a_grant_that_a_plan_has_twice_is_revoked_twice() {
    let world = World::new();
    let grant = format!("127.0.0.1:{}", server(echo));
    let any = format!("{grant},tls=any");
    let port = grant.rsplit(':').next().unwrap();
    let child = started(&world, &["--network", &grant, "--network", &any], &HOLD.replace("PORT", port));
    assert_eq!(world.json(&["revoke", "--json", "latest", &grant])["cut"], 1);
    let run = finished(child);
    assert_eq!(world.ok(&["logs", "latest"]), "connected\ncut\nclosed\n");
    for used in run["egress"]["grants"].as_array().unwrap() {
        assert_eq!(used["revoked"], true, "{run:#}");
    }
}

#[test]
fn only_a_grant_of_the_plan_can_be_revoked() {
    let world = World::new();
    let port = server(echo);
    let grant = format!("127.0.0.1:{port}");
    let child = started(&world, &["--network", &grant], &HOLD.replace("PORT", &port.to_string()));
    let wrong = world.run(&["revoke", "latest", "example.org:443"]);
    assert!(wrong.contains("revoke/no-grant") && wrong.contains(&grant), "{wrong}");
    world.ok(&["revoke", "latest", &grant]);
    finished(child);
}

#[test]
fn the_end_of_the_gateway_is_the_end_of_the_network() {
    let world = World::new();
    let port = server(echo);
    let grant = format!("127.0.0.1:{port}");
    let child = started(&world, &["--network", &grant], &HOLD.replace("PORT", &port.to_string()));
    let pid = rustix::process::Pid::from_raw(gateway_of(&child)).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let run = finished(child);
    assert_eq!(world.ok(&["logs", "latest"]), "connected\ncut\nclosed\n");
    assert_eq!(run["egress"]["complete"], false);
    let why = run["egress"]["incomplete_because"].as_str().unwrap();
    assert!(why.starts_with("the gateway ended before the run"), "{why}");
    world.assert_no_leftovers();
}

#[test]
fn nothing_of_a_gateway_is_left_after_a_killed_supervisor() {
    let world = World::new();
    let port = server(echo);
    let grant = format!("127.0.0.1:{port}");
    let mut child = started(&world, &["--network", &grant], &HOLD.replace("PORT", &port.to_string()));
    let gateway = format!("/proc/{}", gateway_of(&child));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the gateway is gone", || fs::metadata(&gateway).is_err());
    world.ok(&["runs"]);
    world.assert_no_leftovers();
}

#[test]
fn a_proxy_that_cannot_be_used_is_an_error_where_there_is_a_network() {
    let world = World::new();
    let with = |arguments: &[&str]| {
        let output = world.command(arguments).env("HTTPS_PROXY", "socks5://me:sesame@p:1").output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(with(&["run", "--", "true"]).0, Some(0));
    let (code, text) = with(&["run", "--network", "example.org:443", "--", "true"]);
    assert_eq!(code, Some(125), "{text}");
    assert!(text.contains("request/proxy") && !text.contains("sesame"), "{text}");
}

#[test]
fn what_would_allow_it_is_a_grant_that_works() {
    let world = World::new();
    let port = server(echo);
    let script = format!(
        "
import http.client, socket
for host in 'localhost', 'Other.example.org':
    client = http.client.HTTPConnection('127.0.0.1', {port})
    try:
        client.request('GET', '/', headers={{'Host': f'{{host}}:{port}'}})
        client.getresponse()
    except OSError:
        pass
for attempt in socket.getaddrinfo, lambda *_: socket.create_connection(('169.254.169.254', 80)):
    try:
        attempt('files.example.org', 80)
    except OSError:
        pass
"
    );
    let (_, run) = python(&world, &["--network", &format!("127.0.0.1:{port}")], &script);
    let help: Vec<_> =
        run["denied"].as_array().unwrap().iter().map(|denied| denied["help"].as_str().unwrap()).collect();
    let any = format!("\"127.0.0.1:{port},tls=any\" for every name there");
    let has = |parts: &[&str]| help.iter().any(|help| parts.iter().all(|part| help.contains(part)));
    assert!(has(&[&format!("`localhost:{port}` in HTTP: grant {any}")]), "{help:#?}");
    assert!(has(&[&format!("grant \"other.example.org:{port}\" itself, or {any}")]), "{help:#?}");
    assert!(has(&["--network files.example.org:443", "443 is a guess"]), "{help:#?}");
    assert!(has(&["metadata service", "credentials"]), "{help:#?}");
    assert!(!help.iter().any(|help| help.contains("169.254")), "it is not suggested: {help:#?}");
}
