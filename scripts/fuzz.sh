#!/usr/bin/env bash
# Lets fuzzers read what comes from a hostile job, each for some seconds, with what earlier ones found.
#
#   scripts/fuzz.sh                    every target for a minute
#   scripts/fuzz.sh SECONDS [TARGET…]  these for so long
#
# What makes one fail is kept in fuzz/artifacts, and is an argument of its program in fuzz/target, which makes it smaller
# with `-minimize_crash=1`. `cargo fuzz run TARGET` works as well, and watches memory too where there is a nightly compiler.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

seconds=${1:-60}
shift || true
targets=("$@")
((${#targets[@]})) || mapfile -t targets < <(sed -n 's/^path = "fuzz_targets\/\(.*\)\.rs"/\1/p' fuzz/Cargo.toml)

scripts/setup.sh fuzz
# The code has no `unsafe`, so it goes without the address sanitizer, which needs a nightly compiler.
host=$(rustc -vV | sed -n 's/^host: //p')
programs=()
for target in "${targets[@]}"; do programs+=(--bin "$target"); done
cd fuzz
RUSTC_WRAPPER=$PWD/rustc.sh RUSTFLAGS="-Coverflow-checks --cfg fuzzing" \
  cargo build --release --target "$host" "${programs[@]}"
for target in "${targets[@]}"; do
  echo "fuzz: $target"
  mkdir -p "corpus/$target" "artifacts/$target"
  dictionary=()
  [[ ! -e dictionaries/$target ]] || dictionary=("-dict=dictionaries/$target")
  "target/$host/release/$target" "${dictionary[@]}" -max_total_time="$seconds" -max_len=20000 -timeout=10 -verbosity=0 -print_funcs=0 \
    -print_final_stats=1 -artifact_prefix="artifacts/$target/" "corpus/$target" "seeds/$target" 2>&1 |
    grep -v '" # Uses: \|ecommended dictionary' # Not of use here, and long.
done
