"""A network that ends at its own loopback: namespaces with public addresses and names, and nobody behind them.

Works as root and as an ordinary user, who gets a user namespace in which he stays who he is. What he executes in
there has no capability, so a test does what it would do outside.
"""

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_SET_PDEATHSIG = 1
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
RTM_NEWADDR, NLMSG_ERROR = 20, 2
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 1, 4, 0x200, 0x400
IFA_ADDRESS, IFA_LOCAL = 1, 2
LOOPBACK = 1  # Its index, in every network namespace.

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def die_with_parent(signal: int) -> None:
    """Only a process whose parent lives calls this; it is gone when that one is."""
    check(libc.prctl(PR_SET_PDEATHSIG, signal), "prctl")


def enter(directory: Path, hosts: dict[str, list[str]], extra: list[str]) -> None:
    """Moves this process, which has one thread, to a network where `hosts` are all names and addresses there are.

    `extra` are addresses without a name. Any user of the network may bind any port.
    """
    user, group = os.geteuid(), os.getegid()
    nested = 0 if user == 0 else CLONE_NEWUSER
    check(libc.unshare(CLONE_NEWNS | CLONE_NEWNET | nested), "unshare")
    if nested:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    mount(None, "/", MS_REC | MS_PRIVATE)
    names = [f"{address} {name}" for name, addresses in hosts.items() for address in addresses]
    files = {
        "hosts": ["127.0.0.1 localhost", "::1 localhost", *names],
        "nsswitch.conf": ["passwd: files", "group: files", "hosts: files"],
        "resolv.conf": ["nameserver 127.0.0.1"],  # For who asks past nsswitch: nothing listens there.
    }
    for name, lines in files.items():
        file = directory / name
        file.write_text("\n".join(lines) + "\n")
        file.chmod(0o644)
        mount(str(file), os.path.realpath(f"/etc/{name}"), MS_BIND)
    bring_up()
    for address in {*extra, *(address for addresses in hosts.values() for address in addresses)}:
        if not address.startswith("127."):
            add_address(address)
    Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0")
    # Every address can be had, so that these do not look like the machine's own, which no name may lead to.
    for version in ("ipv4", "ipv6"):
        Path(f"/proc/sys/net/{version}/ip_nonlocal_bind").write_text("1")


def mount(source: str | None, target: str, flags: int) -> None:
    origin = source.encode() if source else None
    check(libc.mount(origin, target.encode(), None, flags, None), f"mount {target}")


def bring_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name = struct.pack("16s", b"lo")
        flags = struct.unpack_from("H", fcntl.ioctl(any_socket, SIOCGIFFLAGS, name + bytes(24)), 16)[0]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, name + struct.pack("H", flags | IFF_UP) + bytes(22))


def add_address(text: str) -> None:
    """Gives the address to loopback, as `ip address add` does; rtnetlink(7)."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    address = socket.inet_pton(family, text)
    body = struct.pack("BBBBI", family, 8 * len(address), 0, 0, LOOPBACK)
    for kind in (IFA_LOCAL, IFA_ADDRESS):
        body += struct.pack("HH", 4 + len(address), kind) + address
    flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as route:
        route.send(struct.pack("IHHII", 16 + len(body), RTM_NEWADDR, flags, 1, 0) + body)
        _, kind, _, _, _, error = struct.unpack_from("IHHIIi", route.recv(4096))
    if kind != NLMSG_ERROR or error != 0:
        raise OSError(-error, f"address {text}: {os.strerror(-error)}")
