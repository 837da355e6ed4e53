#!/usr/bin/env bash
# Makes a Debian machine with a Rust toolchain ready for one task: build, test (the default), demo,
# peers, bench, fuzz or check.
#
# As root it installs what is missing, and only that. Otherwise it prints the one command that root has
# to run, and fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

# Runs the tests. An archive of tests carries its programs and names them at run time from 0.9.116 on.
nextest_version=0.9.143
# Makes what a fuzzer found small, and a corpus too; the fuzzers themselves run without it.
fuzz_version=0.13.2

task=${1:-test}
missing=()

# need PACKAGE COMMAND…: PACKAGE is missing if COMMAND fails.
need() {
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}

need_build() {
  need git git --version
  need gcc cc --version
  need libc6-dev test -e /usr/include/stdlib.h # Without it cc(1) cannot link, and SQLite does not build.
  need make make --version
}

need_jail() {
  need util-linux unshare --version
  need util-linux setpriv --version
}

# The catalog on a server is tested with a private one.
need_postgresql() {
  need postgresql ls /usr/lib/postgresql/*/bin/initdb
}

# The second reader of stores.
need_zstd() {
  need zstd zstd --version
}

# Reads the graphs of lineage.
need_graphviz() {
  need graphviz dot -V
}

need_python() {
  need python3 python3 --version
  need python3-venv scripts/find-python.sh
}

# The tests of the network have a world of their own, with servers and certificates.
need_testbed() {
  need curl curl --version
  need openssl openssl version
}

need_second_user() {
  ((EUID)) || need passwd command -v useradd
}

# CPython's tests for Debian's Python, what the kernel's own tests are built with, and clients and servers.
need_peers() {
  local python
  python=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true)
  need "libpython$python-testsuite" test -e "/usr/lib/python$python/test/test_os.py"
  need libcap-dev test -e /usr/include/sys/capability.h
  need xz-utils xz --version
  need git git --version
  need nodejs node --version
  need default-jdk-headless javac --version
  need_postgresql
  need postgresql-client psql --version
  need rclone rclone version
  need openssl openssl version
}

# A second reader of what ledgers publish.
need_go() {
  need golang-go go version
  need golang-golang-x-mod-dev test -e /usr/share/gocode/src/golang.org/x/mod/sumdb/note/note.go
}

# Relays to measure beside the gateway.
need_relays() {
  need haproxy haproxy -v
  need nginx nginx -v
  need libnginx-mod-stream test -e /usr/lib/nginx/modules/ngx_stream_module.so
}

# What else keeps versions of data; the rest of them comes from PyPI.
need_stores() {
  need restic restic version
  need git git --version
}

# Other sandboxes to measure beside ours. Not all work everywhere; the result says which do not.
need_sandboxes() {
  need bubblewrap bwrap --version
  need runc command -v runc
  need crun command -v crun
  need podman command -v podman
  need uidmap command -v newuidmap
  need firejail command -v firejail
}

# A virtual machine, and what its first files are made of. The kernel itself is fetched by its script.
need_machine() {
  need qemu-system-x86 qemu-system-x86_64 --version
  need busybox-static busybox
  need cpio cpio --version
}

case $task in
  build) need_build ;;
  test)
    need_build && need_jail && need_python && need_testbed && need_second_user && need_zstd &&
      need_graphviz && need_postgresql
    ;;
  demo) need_build && need_jail && need_python ;;
  peers) need_build && need_jail && need_python && need_testbed && need_second_user && need_peers && need_go ;;
  bench)
    need_build && need_jail && need_python && need_testbed && need_second_user && need_sandboxes && need_relays && need_stores &&
      need_go
    need strace strace --version
    ;;
  vm) need_build && need_python && need_machine ;;
  fuzz) need_build && need g++ g++ --version ;;
  check) need_build && need_python && need shellcheck shellcheck --version ;;
  *)
    echo "usage: $0 [build|test|demo|peers|bench|vm|fuzz|check]" >&2
    exit 2
    ;;
esac

if ((${#missing[@]})); then
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
  install="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
  if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    echo "setup: missing here: ${missing[*]}. As root, on Debian, run:" >&2
    echo "  $install" >&2
    exit 1
  fi
  echo "setup: $install"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

# As root, what is for ordinary users is tried as one.
case $task in
  test | peers | bench)
    ((EUID)) || getent passwd aseptic-test >/dev/null ||
      useradd --system --user-group --create-home --shell /bin/bash aseptic-test
    ;;
esac

channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
if ! cargo --version >/dev/null; then
  echo "setup: cargo does not run here; the Rust toolchain $channel is needed. With rustup:" >&2
  echo "  rustup toolchain install $channel --profile minimal --component clippy --component rustfmt" >&2
  exit 1
fi
if [[ $(rustc --version) != "rustc $channel "* ]]; then
  echo "setup: rust-toolchain.toml pins Rust $channel, and this is $(rustc --version)." >&2
  exit 1
fi

if [[ $task == test ]] && ! cargo nextest --version >/dev/null 2>&1; then
  echo "setup: building cargo-nextest $nextest_version; this takes some minutes, once"
  cargo install cargo-nextest --locked --version "$nextest_version"
fi
if [[ $task == check ]] && ! cargo deny --version >/dev/null 2>&1; then
  echo "setup: building cargo-deny; this takes some minutes, once"
  cargo install cargo-deny --locked
fi
if [[ $task == fuzz ]] && ! cargo fuzz --version >/dev/null 2>&1; then
  echo "setup: building cargo-fuzz $fuzz_version; this takes a minute, once"
  cargo install cargo-fuzz --locked --version "$fuzz_version" ||
    echo "setup: cargo-fuzz cannot be installed here; the fuzzers run without it" >&2
fi
