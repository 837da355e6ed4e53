//! The network of a jail: what is granted comes out of it with its true destination, nothing else does.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};

use aseptic_sandbox::{Ended, Jail, Network, NetworkEnds, Ports, PrepareError, network_support, prepare};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::served::{reports, served};
use crate::support::{pipes, prepared, python, run};

/// A prelude for scripts: what comes of a connection, and of a datagram.
const ATTEMPTS: &str = "import errno, socket
def family(host): return socket.AF_INET6 if ':' in host else socket.AF_INET
def tcp(host, port):
    with socket.socket(family(host)) as s:
        try: s.connect((host, port))
        except OSError as error: return errno.errorcode[error.errno]
        return s.makefile().readline().strip()
def udp(host, port):
    with socket.socket(family(host), socket.SOCK_DGRAM) as s:
        try: s.sendto(b'x', (host, port))
        except OSError as error: return errno.errorcode[error.errno]
        return 'sent'
def attempt(call, *arguments):
    try: call(*arguments)
    except OSError as error: return errno.errorcode[error.errno]
    return 'done'
";

fn job(script: &str, network: Network) -> Jail {
    Jail { network: Some(network), ..python(&[ATTEMPTS, script].concat()) }
}

fn network(ports: &[u16], literals: &[&str]) -> Network {
    let literals = literals.iter().map(|literal| literal.parse().unwrap()).collect();
    Network { ports: Ports::These(ports.iter().copied().collect()), literals }
}

#[test]
fn what_is_granted_comes_out_and_nothing_else() {
    let script = "
for host in '198.18.0.7', 'fda5:e971:c000::7':
    print(tcp(host, 443), tcp(host, 8443), tcp(host, 80), udp(host, 443))
for host in '192.0.2.1', '169.254.169.254', '2001:db8::1':
    print(tcp(host, 443), udp(host, 53))";
    let (output, seen) = served(&job(script, network(&[443, 8_443], &[])));
    output.assert(
        Ended::Exited(0),
        "198.18.0.7:443 198.18.0.7:8443 ECONNREFUSED sent\n\
         [fda5:e971:c000::7]:443 [fda5:e971:c000::7]:8443 ECONNREFUSED sent\n\
         ECONNREFUSED ENETUNREACH\nECONNREFUSED ENETUNREACH\nECONNREFUSED ENETUNREACH",
    );
    let from = |family: usize| seen.connections[2 * family].1.ip().to_string();
    assert_eq!((from(0).as_str(), from(1).as_str()), ("198.19.0.1", "fda5:e971:c000:1::1"));
    assert_eq!(seen.connections.len(), 4, "{seen:?}");
    let refused = [
        "tcp 169.254.169.254:443",
        "tcp 192.0.2.1:443",
        "tcp 198.18.0.7:80",
        "tcp [2001:db8::1]:443",
        "tcp [fda5:e971:c000::7]:80",
        "udp 169.254.169.254:53",
        "udp 192.0.2.1:53",
        "udp 198.18.0.7:443",
        "udp [2001:db8::1]:53",
        "udp [fda5:e971:c000::7]:443",
    ];
    assert_eq!(seen.refused(), refused);
    assert_eq!(seen.refused.len(), refused.len(), "each once: {seen:?}");
}

#[test]
fn without_a_grant_everything_is_refused_and_reported() {
    let script = "print(tcp('198.18.0.7', 443), tcp('192.0.2.1', 1), tcp('127.0.0.1', 9))";
    let (output, seen) = served(&job(script, Network::default()));
    output.assert(Ended::Exited(0), "ECONNREFUSED ECONNREFUSED ECONNREFUSED");
    assert_eq!(seen.refused(), ["tcp 192.0.2.1:1", "tcp 198.18.0.7:443"]);
    let (_, quiet) = served(&job("print('nothing')", Network::default()));
    assert!(quiet.refused.is_empty() && quiet.names.is_empty(), "{quiet:?}");
}

#[test]
fn every_port_comes_out_where_all_do() {
    let script = "print(tcp('198.18.0.7', 443), tcp('fda5:e971:c000::7', 65535), tcp('192.0.2.1', 80))";
    let (output, seen) = served(&job(script, Network { ports: Ports::Every, literals: BTreeSet::new() }));
    output.assert(Ended::Exited(0), "198.18.0.7:443 [fda5:e971:c000::7]:65535 ECONNREFUSED");
    assert_eq!(seen.refused(), ["tcp 192.0.2.1:80"]);
}

#[test]
fn names_are_asked_of_whoever_serves() {
    let script = "
flags = socket.AI_ADDRCONFIG
found = socket.getaddrinfo('name.example', 443, socket.AF_INET, socket.SOCK_STREAM, 0, flags)
print([where for *_, where in found])
found = socket.getaddrinfo('both.example', 443, 0, socket.SOCK_STREAM, 0, flags)
print([where for *_, where in found])
with socket.create_connection(('name.example', 443)) as s:
    print(s.getsockname()[0], s.makefile().readline().strip())
print(tcp('198.19.0.53', 53))
print([where for *_, where in socket.getaddrinfo('localhost', 80, socket.AF_INET, socket.SOCK_STREAM)])";
    let (output, seen) = served(&job(script, network(&[443], &[])));
    output.assert(
        Ended::Exited(0),
        "[('198.18.0.7', 443)]\n[('198.18.0.7', 443)]\n198.19.0.1 198.18.0.7:443\n198.19.0.53:53\n\
         [('127.0.0.1', 80)]",
    );
    assert!(seen.names.iter().all(|name| name.ends_with("\u{7}example")), "{seen:?}");
    assert_eq!(seen.refused(), [""; 0]);
}

#[test]
fn without_a_network_no_name_is_waited_for() {
    let script = "import socket
try: socket.getaddrinfo('name.example', 443)
except socket.gaierror as error: print(error.errno == socket.EAI_AGAIN)
print(socket.gethostbyname('localhost'))";
    run(&python(script)).assert(Ended::Exited(0), "True\n127.0.0.1");
}

#[test]
fn a_literal_address_comes_out_on_its_port_alone() {
    let script = "
print(tcp('192.0.2.1', 5432), tcp('192.0.2.1', 5433))
print(tcp('2001:db8::1', 443), tcp('2001:db8::1', 80))
print(tcp('127.0.0.1', 5000), tcp('127.0.0.1', 5001), tcp('::1', 5000))
print(tcp('::ffff:192.0.2.1', 5432), tcp('198.18.0.7', 5432))";
    let literals = ["192.0.2.1:5432", "[2001:db8::1]:443", "127.0.0.1:5000", "[::1]:5000"];
    let (output, seen) = served(&job(script, network(&[], &literals)));
    output.assert(
        Ended::Exited(0),
        "192.0.2.1:5432 ECONNREFUSED\n[2001:db8::1]:443 ECONNREFUSED\n\
         127.0.0.1:5000 ECONNREFUSED [::1]:5000\n192.0.2.1:5432 ECONNREFUSED",
    );
    let to: BTreeSet<_> = seen.connections.iter().map(|(to, _)| to.to_string()).collect();
    assert_eq!(to, literals.iter().map(ToString::to_string).collect());
    assert_eq!(seen.refused(), ["tcp 192.0.2.1:5433", "tcp 198.18.0.7:5432", "tcp [2001:db8::1]:80"]);
}

#[test]
fn the_jails_own_servers_are_its_own() {
    let script = "
import threading
def server(host, port):
    s = socket.create_server((host, port), family=family(host))
    def serve():
        while True: s.accept()[0].sendall(b'own\\n')
    threading.Thread(target=serve, daemon=True).start()
server('0.0.0.0', 8443); server('127.0.0.1', 5000); server('::1', 8443)
print(tcp('127.0.0.1', 8443), tcp('127.0.0.1', 5000), tcp('::1', 8443), tcp('198.19.0.1', 8443))
print(tcp('198.18.0.7', 8443), tcp('192.0.2.1', 8443), tcp('fda5:e971:c000::7', 8443))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b:
    a.bind(('0.0.0.0', 0)); b.sendto(b'datagram', ('127.0.0.1', a.getsockname()[1])); print(a.recv(20).decode())
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b:
    a.bind(('0.0.0.0', 0)); group = socket.inet_aton('239.1.2.3') + socket.inet_aton('127.0.0.1')
    a.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    b.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton('127.0.0.1'))
    b.sendto(b'group', ('239.1.2.3', a.getsockname()[1])); print(a.recv(20).decode())
print(udp('224.0.0.9', 53), udp('ff0e::1', 53))";
    let (output, seen) = served(&job(script, network(&[8_443], &["192.0.2.1:8443"])));
    output.assert(
        Ended::Exited(0),
        "own own own own\n198.18.0.7:8443 192.0.2.1:8443 [fda5:e971:c000::7]:8443\ndatagram\ngroup\n\
         ENETUNREACH ENETUNREACH",
    );
    assert_eq!(seen.refused(), [""; 0]);
}

#[test]
fn a_job_cannot_change_its_network_or_take_its_places() {
    let script = "
import struct
def bind(host, port, kind=socket.SOCK_STREAM):
    with socket.socket(family(host), kind) as s: return attempt(s.bind, (host, port))
print(bind('198.19.0.1', 1), bind('0.0.0.0', 1), bind('198.18.0.7', 443), bind('198.19.0.53', 53, socket.SOCK_DGRAM))
print(tcp('198.19.0.1', 1), tcp('fda5:e971:c000:1::1', 1), tcp('127.0.0.1', 1))
print(attempt(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, 12))
with socket.socket() as s:
    print(attempt(s.setsockopt, socket.SOL_SOCKET, 36, 2), attempt(s.setsockopt, socket.IPPROTO_IP, 19, 1))
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
    body = struct.pack('=BBBBI', 2, 32, 0, 0, 1) + struct.pack('=HH4s', 8, 2, socket.inet_aton('198.19.0.1'))
    s.send(struct.pack('=IHHII', 16 + len(body), 21, 5, 1, 0) + body)
    print(errno.errorcode[-struct.unpack_from('=i', s.recv(200), 16)[0]])
print(attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, 6))";
    let (output, seen) = served(&job(script, network(&[1, 443], &[])));
    output.assert(
        Ended::Exited(0),
        "EACCES EACCES EACCES EACCES\nECONNREFUSED ECONNREFUSED ECONNREFUSED\nEPROTONOSUPPORT\nEPERM EPERM\n\
         EPERM\nEPERM",
    );
    assert_eq!(seen.refused(), ["tcp 198.19.0.1:1", "tcp [fda5:e971:c000:1::1]:1"]);
    assert!(seen.connections.is_empty(), "{seen:?}");
}

/// At once, and with nobody there to accept them yet.
#[test]
fn many_connections_wait_until_they_are_accepted() {
    let script = "
from contextlib import suppress
sockets = [socket.socket() for _ in range(900)]
for number, s in enumerate(sockets):
    s.setblocking(False)
    with suppress(BlockingIOError): s.connect(('198.18.%d.%d' % (number >> 8, number & 255), 443))
input()
for number, s in enumerate(sockets):
    s.setblocking(True)
    assert s.makefile().readline() == '198.18.%d.%d:443\\n' % (number >> 8, number & 255)
print('all')";
    let (mut prepared, mut pipes) = prepared(&job(script, network(&[443], &[])));
    let listener = TcpListener::from(prepared.take_network().unwrap().connections);
    let mut running = prepared.start();
    listener.set_nonblocking(false).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..900 {
                let (mut stream, _) = listener.accept().unwrap();
                let to = stream.local_addr().unwrap();
                writeln!(stream, "{to}").unwrap();
            }
        });
        let mut stdin = std::fs::File::from(pipes.stdin.take().unwrap());
        writeln!(stdin).unwrap();
        assert_eq!(pipes.read_all(), ("all\n".into(), String::new()));
    });
    assert_eq!(running.wait(), Ended::Exited(0));
}

#[test]
fn granted_ports_may_be_connected_to_beside_the_listed_ones_and_not_taken() {
    let script = "
def bind(port):
    with socket.socket() as s: return attempt(s.bind, ('127.0.0.1', port))
print(bind(4000), bind(4443), bind(5432), bind(4001))
print(tcp('198.18.0.7', 4443), tcp('192.0.2.1', 5432), tcp('198.19.0.53', 53), tcp('198.18.0.7', 4001))";
    let mut jail = job(script, network(&[4_443], &["192.0.2.1:5432"]));
    jail.tcp_ports = Some(vec![4_000]);
    match prepare(&jail, pipes().0, &[]) {
        Err(error) => {
            return assert!(matches!(error, PrepareError::Wall { wall: "tcp ports", .. }), "{error}");
        }
        Ok(prepared) => drop(prepared),
    }
    served(&jail).0.assert(
        Ended::Exited(0),
        "done EACCES EACCES EACCES\n198.18.0.7:4443 192.0.2.1:5432 198.19.0.53:53 EACCES",
    );
    jail.network = Some(Network { ports: Ports::Every, ..network(&[], &["192.0.2.1:5432"]) });
    served(&jail).0.assert(
        Ended::Exited(0),
        "done EACCES EACCES EACCES\n198.18.0.7:4443 192.0.2.1:5432 198.19.0.53:53 198.18.0.7:4001",
    );
}

#[test]
fn the_ends_do_not_block_and_are_not_inherited() {
    let (mut prepared, _pipes) = prepared(&job("", Network::default()));
    let NetworkEnds { names, connections, connections_6, refused } = prepared.take_network().unwrap();
    for end in [Some(names), Some(connections), connections_6, refused].into_iter().flatten() {
        let flags = rustix::fs::fcntl_getfl(&end).unwrap();
        assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
        assert!(rustix::io::fcntl_getfd(&end).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }
}

#[test]
fn a_job_that_floods_loses_reports_and_nothing_else() {
    let script = "
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    print({attempt(s.sendto, b'x' * 1000, ('192.0.2.1', 1 + number)) for number in range(20000)})
print(tcp('198.18.0.7', 443))";
    let (mut prepared, mut pipes) = prepared(&job(script, network(&[443], &[])));
    let ends = prepared.take_network().unwrap();
    let listener = TcpListener::from(ends.connections);
    let mut running = prepared.start();
    listener.set_nonblocking(false).unwrap();
    writeln!(listener.accept().unwrap().0, "out").unwrap();
    assert_eq!(pipes.read_all(), ("{'ENETUNREACH'}\nout\n".into(), String::new()));
    assert_eq!(running.wait(), Ended::Exited(0));
    let refused = ends.refused.unwrap();
    let mut bytes = [0; 4096];
    let first = rustix::net::recv(&refused, &mut bytes, RecvFlags::DONTWAIT);
    assert_eq!(first.map(drop), Err(Errno::NOBUFS), "the kernel says that reports were lost");
    let kept = reports(&refused);
    assert_eq!(kept[0], "udp 192.0.2.1:1");
    assert!(kept.len() > 100, "{}", kept.len());
}

#[test]
fn what_cannot_be_a_network_is_refused() {
    let refusal = |network| match prepare(&job("", network), pipes().0, &[]) {
        Err(error @ PrepareError::Description { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    for literal in ["0.0.0.0:80", "198.18.0.7:443", "224.0.0.1:80", "[::ffff:198.19.0.53]:53"] {
        assert!(refusal(network(&[], &[literal])).contains("literal address"), "{literal}");
    }
    let many: Vec<_> = (1..2_000).collect();
    assert!(refusal(network(&many, &[])).contains("more than 1024 ports"));
    let literal =
        |number: u16| SocketAddr::from(([10, 0, number.to_be_bytes()[0], number.to_be_bytes()[1]], 1));
    let most =
        Network { ports: Ports::These((1..=1_024).collect()), literals: (1..=1_024).map(literal).collect() };
    let (output, _) = served(&job("print(tcp('10.0.4.0', 1), tcp('198.18.0.7', 1024))", most));
    output.assert(Ended::Exited(0), "10.0.4.0:1 198.18.0.7:1024");
}

#[test]
fn this_host_can_make_networks() {
    let support = network_support().unwrap();
    assert!(support.reports && support.version6, "{support:?}");
}
