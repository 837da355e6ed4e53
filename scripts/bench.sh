#!/usr/bin/env bash
# Builds for release and measures: the start of a run beside other sandboxes, a program inside against the same
# program outside, and the gateway of a run beside other relays.
#
#   scripts/bench.sh                                  all
#   scripts/bench.sh start_up|inside|explain|egress   one of them; any further argument goes to it: `start_up --samples 200`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

parts=(start_up inside explain egress)
case ${1:-} in
  start_up | inside | explain | egress)
    parts=("$1")
    shift
    ;;
  ?*)
    echo "usage: $0 [start_up|inside|explain|egress ARGUMENT…]" >&2
    exit 2
    ;;
esac

scripts/setup.sh bench
cargo build --release --locked -p aseptic
cargo build --release --locked -p aseptic-sandbox --example jail
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

for part in "${parts[@]}"; do
  case $part in
    start_up) build_static_jail ;;
    inside) make_environment ;;
  esac
  "$python" "bench/$part.py" "$@"
done
