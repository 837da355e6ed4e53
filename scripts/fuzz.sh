#!/usr/bin/env bash
# Lets fuzzers read what comes from a hostile job, each for some seconds, with what earlier ones found.
#
#   scripts/fuzz.sh                    every target for a minute
#   scripts/fuzz.sh SECONDS [TARGET…]  these for so long
#
# What makes one fail is kept in fuzz/artifacts, and is an argument of its program in fuzz/target.
# `cargo fuzz run TARGET` works as well, where that is installed, and watches memory too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

seconds=${1:-60}
shift || true
targets=("$@")
((${#targets[@]})) || mapfile -t targets < <(sed -n 's/^path = "fuzz_targets\/\(.*\)\.rs"/\1/p' fuzz/Cargo.toml)

scripts/setup.sh fuzz
# Counts which edges were taken and what was compared, as libFuzzer wants to know. The code has no `unsafe`,
# so it goes without the address sanitizer, which needs a nightly compiler.
flags=(
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
  -Cdebug-assertions
  -Coverflow-checks
  --cfg fuzzing
)
host=$(rustc -vV | sed -n 's/^host: //p')
cd fuzz
RUSTFLAGS="${flags[*]}" cargo build --release --target "$host"
for target in "${targets[@]}"; do
  echo "fuzz: $target"
  mkdir -p "corpus/$target" "artifacts/$target"
  "target/$host/release/$target" -max_total_time="$seconds" -max_len=20000 -timeout=10 -verbosity=0 -print_funcs=0 \
    -print_final_stats=1 -artifact_prefix="artifacts/$target/" "corpus/$target" "seeds/$target" 2>&1 |
    grep -v '" # Uses: \|ecommended dictionary' # Not of use here, and long.
done
