#!/usr/bin/env bash
# Builds for release and measures the start of a run beside its peers. Any argument goes to the driver:
# `scripts/bench.sh --samples 200`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/setup.sh bench
cargo build --release --locked -p aseptic
cargo build --release --locked -p aseptic-sandbox --example jail
python=$(scripts/find-python.sh)
exec "$python" bench/start_up.py "$@"
