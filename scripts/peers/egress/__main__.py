#!/usr/bin/env python3
"""Real clients against real servers, through the network of a sealed run, in a testbed without internet.

Each client is run outside, in a run with the grants that it needs, and in one without. After them come the
cases: what has to be refused, what two runs see of each other, proxies, revocation, a killed gateway, floods.
"""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "testbed"))

import cases
import flood
import surroundings
import testbed
from clients import CLIENTS, Client
from world import World, Wrong, need


def outside(world: World, client: Client) -> None:
    run = world.outside(client.command, client.files)
    need(run.code == 0 and all(said in run.said for said in client.says), "does not work outside", run)


def granted(world: World, client: Client) -> None:
    run = world.run(client.grants, client.command, client.files)
    need(run.code == 0 and all(said in run.said for said in client.says), "does not work in a run", run)
    need(not run.denied() and run.record["egress"]["complete"], "is denied something, or not all is counted", run)
    need(set(run.traffic()) == set(client.grants), "has other grants in its record", run)
    for counts in run.traffic().values():
        need(counts["connections"] and not counts["failed"], "is not counted", run)
        need(counts["received_bytes"] + counts["sent_bytes"], "is counted without its bytes", run)


def denied(world: World, client: Client) -> None:
    world.journal()
    run = world.run([], client.command, client.files)
    need(not any(said in run.said for said in client.says), "works without a grant", run)
    hosts = {grant.rpartition(":")[0].removeprefix("*.") for grant in client.grants}
    for host in hosts:
        need(any(is_denial_of(one, host) for one in run.denied()), f"is denied and {host} not in its record", run)
    reached = world.journal()
    need(not reached, f"is denied and reached {reached}", run)


def is_denial_of(denial: tuple[str, str, str], host: str) -> bool:
    action, target, reason = denial
    return action == "resolve" and (target == host or target.endswith(f".{host}")) and reason == "not-granted"


def passes(name: str, step: Callable[..., None], world: World, client: Client | None) -> bool:
    start = time.monotonic()
    try:
        step(world, client) if client else step(world)
    except Exception as error:  # However it fails, the others go on.
        said = error if isinstance(error, Wrong) else traceback.format_exc()
        print(f"peers: FAILED: {name}: {said}", flush=True)
        return False
    print(f"peers: {name} ({time.monotonic() - start:.1f} s)", flush=True)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aseptic", type=Path, required=True, help="the program")
    parser.add_argument("--python", type=Path, help="Python environment with pip, psycopg and pyarrow")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="those with WORD in the name; repeatable")
    parser.add_argument("--outside", action="store_true", help="only prove that clients and servers work without aseptic")
    options = parser.parse_args()
    wanted = lambda name: not options.only or any(word in name for word in options.only)
    steps = [
        (f"{client.name}: {step.__name__}", step, client)
        for client in CLIENTS
        if options.python or not client.needs
        for step in ((outside,) if options.outside else (outside, granted, denied))
    ]
    if not options.outside:
        steps += [(f"case: {case.__doc__.splitlines()[0]}", case, None) for case in (*cases.ALL, flood.flood)]
    failed, tried, begin = [], 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aseptic-egress.", dir="/var/tmp") as scratch:
        directory = Path(scratch)
        directory.chmod(0o755)
        surroundings.make(directory)
        testbed.enter(directory)
        servers = surroundings.start(directory)
        world = World(options.aseptic.resolve(), options.python and options.python.absolute(), directory)
        for name, step, client in steps:
            if wanted(name) and not passes(name, step, world, client):
                failed.append(name)
            tried += wanted(name)
        surroundings.stop(servers)
    print(f"peers: egress: {tried - len(failed)} passed, {len(failed)} failed, in {time.monotonic() - begin:.0f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
