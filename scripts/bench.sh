#!/usr/bin/env bash
# Builds for release and measures: the start of a run beside other sandboxes, a program inside against the same
# program outside, the gateway of a run beside other relays, the store beside other tools for data, the ledger
# beside fdatasync(2), SQLite and a verifier in Go, metrics beside MLflow and pandas, the catalog beside MLflow,
# and decisions beside other engines.
#
#   scripts/bench.sh          all
#   scripts/bench.sh PART …   one of start_up, inside, explain, egress, store, ledger, metrics, catalog, policy; any further
#                             argument goes to it:
#                             `start_up --samples 200`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

parts=(start_up inside explain egress store ledger metrics catalog policy)
case ${1:-} in
  start_up | inside | explain | egress | store | ledger | metrics | catalog | policy)
    parts=("$1")
    shift
    ;;
  ?*)
    echo "usage: $0 [start_up|inside|explain|egress|store|ledger|metrics|catalog|policy ARGUMENT…]" >&2
    exit 2
    ;;
esac

scripts/setup.sh bench
cargo build --release --locked -p aseptic
for part in "${parts[@]}"; do
  # Where a part measures a library, an example of its crate calls it.
  case $part in
    start_up) cargo build --release --locked -p aseptic-sandbox --example jail ;;
    store) cargo build --release --locked -p aseptic-store --example store ;;
    ledger) cargo build --release --locked -p aseptic-ledger --example ledger ;;
    policy) cargo build --release --locked -p aseptic-policy --example decide ;;
    metrics) cargo build --release --locked -p aseptic-metrics --example metrics ;;
    catalog) cargo build --release --locked -p aseptic-catalog --example catalog ;;
  esac
done
python=$(scripts/find-python.sh)

# The jail once more without the start of the C library, where Rust can build that.
build_static_jail() {
  local target jail
  target=$(uname -m)-unknown-linux-musl
  jail=target/release/examples/jail-static
  rm -f -- "$jail"
  if [[ -d $(rustc --print target-libdir --target "$target") ]]; then
    cargo build --release --locked --target "$target" -p aseptic-sandbox --example jail
    cp -- "target/$target/release/examples/jail" "$jail"
  else
    echo "bench: no static jail; \`rustup target add $target\` makes it measured, too"
  fi
}

make_environment() {
  local venv=bench/scratch/venv
  if ! "$venv/bin/python" -c 'import numpy' 2>/dev/null; then
    mkdir -p bench/scratch
    "$python" -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check numpy
  fi
}

# What the store is measured beside. One that cannot be installed is named in the result.
make_store_peers() {
  local place=bench/scratch/store-peers
  if ! "$place/venv/bin/python" -c 'import dvc, oxen' 2>/dev/null; then
    mkdir -p "$place"
    "$python" -m venv --clear "$place/venv"
    for package in dvc oxenai; do
      "$place/venv/bin/pip" install --quiet --disable-pip-version-check "$package" ||
        echo "bench: $package cannot be installed here" >&2
    done
  fi
  # It is a floor, so nothing is measured without it.
  "$place/bin/b3sum" --version >/dev/null 2>&1 || cargo install --quiet --locked --root "$place" b3sum
}

# The verifier in Go, with the sources of its packages that Debian has.
make_verifier() {
  mkdir -p bench/scratch
  GO111MODULE=off GOPATH=/usr/share/gocode go build -o bench/scratch/ledger-notes scripts/peers/proofs/go/main.go
}

# What metrics and the catalog are measured beside. If it cannot be installed, the result has no column for it.
make_mlflow() {
  local venv=bench/scratch/mlflow
  if ! "$venv/bin/python" -c 'import mlflow, sqlalchemy, alembic, pandas' 2>/dev/null; then
    mkdir -p bench/scratch
    "$python" -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check mlflow-skinny sqlalchemy alembic pandas ||
      rm -rf "$venv"
  fi
}

# Engines that decide by rules. Those that cannot be installed are left out of the result, which says so.
make_engines() {
  local venv=bench/scratch/policy
  if ! "$venv/bin/python" -c 'import cedarpy, opa_eval, regopy' 2>/dev/null; then
    mkdir -p bench/scratch
    "$python" -m venv --clear "$venv"
    for package in cedarpy opa-eval regopy; do
      "$venv/bin/pip" install --quiet --disable-pip-version-check "$package" ||
        echo "bench: $package cannot be installed here" >&2
    done
  fi
}

for part in "${parts[@]}"; do
  case $part in
    start_up) build_static_jail ;;
    inside) make_environment ;;
    store) make_store_peers ;;
    ledger) make_verifier ;;
    metrics | catalog) make_mlflow ;;
    policy) make_engines ;;
  esac
  "$python" "bench/$part.py" "$@"
done
