#!/usr/bin/env bash
# Tests by other people, and tests by force: CPython's regression tests inside and outside, the kernel's own
# tests of what the walls rest on, real clients and servers through the network of runs, archives at servers of
# others, proofs and documents in front of their verifiers, inventories beside pip and uv, and many runs whose supervisors are killed.
#
#   scripts/test-peers.sh                              all of them
#   scripts/test-peers.sh cpython|kernel|egress|archives|proofs|environments|stress only these; what follows `--` goes to the last one
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

user="aseptic-test" # Made by scripts/setup.sh.
place=
trap '[[ -z $place ]] || rm -rf -- "$place"' EXIT

parts=()
while (($#)) && [[ $1 != -- ]]; do
  case $1 in
    cpython | kernel | egress | archives | proofs | environments | stress) parts+=("$1") ;;
    *)
      echo "usage: $0 [cpython] [kernel] [egress] [archives] [proofs] [environments] [stress] [-- ARGUMENT…]" >&2
      exit 2
      ;;
  esac
  shift
done
(($# == 0)) || shift
((${#parts[@]})) || parts=(kernel cpython egress archives proofs environments stress)

scripts/setup.sh peers
cargo build --locked -p aseptic
python=$(scripts/find-python.sh)
aseptic=$PWD/target/debug/aseptic
clients=bench/scratch/clients
servers=$PWD/bench/scratch/servers
verifiers=$PWD/bench/scratch/verifiers

# A directory that an ordinary user can read, for the checkout may lie where he cannot go.
make_place() {
  [[ -z $place ]] || return 0
  place=$(mktemp -d /var/tmp/aseptic-peers.XXXXXX)
  chmod 755 "$place"
  cp -- "$aseptic" "$place/"
}

as_user() {
  chmod -R go+rX "$place"
  (
    cd /
    setpriv --reuid "$user" --regid "$user" --init-groups --inh-caps=-all \
      env --ignore-environment "HOME=/" "USER=$user" "LOGNAME=$user" PATH=/usr/local/bin:/usr/bin:/bin "$@"
  )
}

# As an ordinary user: only the modules that ask who runs them.
cpython_as_user() {
  make_place
  cp -- scripts/peers/cpython.py scripts/peers/cpython.toml "$place/"
  as_user "$python" "$place/cpython.py" --aseptic "$place/aseptic" --subset "$@"
}

# A Python environment with the clients that PyPI has.
make_environment() {
  if ! "$clients/bin/python" -c 'import psycopg, pyarrow' 2>/dev/null; then
    mkdir -p "${clients%/*}"
    "$python" -m venv --clear "$clients"
    "$clients/bin/pip" install --quiet --disable-pip-version-check 'psycopg[binary]' pyarrow
  fi
}

# A Python environment with a server that speaks S3.
make_servers() {
  if ! "$servers/bin/python" -c 'import boto3, moto.server' 2>/dev/null; then
    mkdir -p "${servers%/*}"
    "$python" -m venv --clear "$servers"
    "$servers/bin/pip" install --quiet --disable-pip-version-check 'moto[server,s3]'
  fi
}

# The verifiers of others: those from PyPI by the hashes of the list, those in Go and Rust built here.
make_verifiers() {
  local wanted=scripts/peers/proofs/requirements.txt
  if ! cmp --silent "$wanted" "$verifiers/requirements.txt"; then
    rm -rf -- "$verifiers"
    mkdir -p "${verifiers%/*}"
    "$python" -m venv "$verifiers"
    "$verifiers/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$wanted"
    cp -- "$wanted" "$verifiers/"
  fi
  GO111MODULE=off GOPATH=/usr/share/gocode go build -o "$verifiers/bin/notes" scripts/peers/proofs/go/main.go
  cargo build --locked --quiet -p aseptic-ledger --example ledger
  CARGO_TARGET_DIR=$PWD/target/tlog-peer cargo build --locked --quiet --manifest-path scripts/peers/proofs/tlog/Cargo.toml
}

egress_as_user() {
  make_place
  mkdir -p "$place/scripts/peers"
  cp -R -- scripts/testbed "$place/scripts/"
  cp -R -- scripts/peers/egress "$place/scripts/peers/"
  cp -R --no-dereference -- "$clients" "$place/clients"
  as_user "$python" "$place/scripts/peers/egress" --aseptic "$place/aseptic" --python "$place/clients" "$@"
}

failed=0
for part in "${parts[@]}"; do
  echo "peers: $part"
  case $part in
    kernel) "$python" scripts/peers/kernel.py "$@" || failed=1 ;;
    cpython)
      "$python" scripts/peers/cpython.py --aseptic "$aseptic" "$@" || failed=1
      ((EUID)) || cpython_as_user "$@" || failed=1
      ;;
    egress)
      make_environment
      "$python" scripts/peers/egress --aseptic "$aseptic" --python "$clients" "$@" || failed=1
      ((EUID)) || egress_as_user "$@" || failed=1
      ;;
    archives)
      make_servers
      "$servers/bin/python" scripts/peers/archives.py --aseptic "$aseptic" --python "$servers/bin/python" || failed=1
      ;;
    proofs)
      make_verifiers
      "$verifiers/bin/python" scripts/peers/proofs --aseptic "$aseptic" --go "$verifiers/bin/notes" \
        --rust target/tlog-peer/debug/aseptic-tlog-peer --filler target/debug/examples/ledger "$@" || failed=1
      ;;
    environments) "$python" scripts/peers/environments.py --aseptic "$aseptic" || failed=1 ;;
    stress) "$python" scripts/stress.py --aseptic "$aseptic" "$@" || failed=1 ;;
  esac
done
((failed == 0)) || echo "peers: FAILED" >&2
exit "$failed"
