#!/usr/bin/env bash
# The main job on real data, from nothing: import, plan, run, evaluate, attack, prove. Explains as it goes
# and fails if anything is not as it should be.
#
#   scripts/demo.sh            in a scratch directory that is removed at the end; KEEP=1 keeps it
#   scripts/demo.sh --record   the same, and put what it printed into docs/demo.md
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [[ ${1:-} == --record ]]; then
  printed=$(mktemp)
  trap 'rm -f -- "$printed"' EXIT
  "$0" 2>&1 | tee "$printed"
  exec python3 "$repository/demo/record.py" "$printed" "$repository/docs/demo.md"
fi

cd "$repository"
scripts/setup.sh demo
cargo build --release --locked -p aseptic
export PATH="$repository/target/release:$PATH"
python=$(scripts/find-python.sh)

scratch=$(mktemp -d "${TMPDIR:-/tmp}/aseptic-demo.XXXXXX")
marker=left-${scratch##*.}
bystander=
finish() {
  local status=$?
  [[ -z $bystander ]] || kill "$bystander" 2>/dev/null || true
  rm -f -- "/tmp/$marker" "/dev/shm/$marker"
  if [[ ${KEEP:-} == 1 ]]; then
    echo "demo: kept $scratch"
  else
    chmod -R u+rwX "$scratch" && rm -rf -- "$scratch"
  fi
  ((status == 0)) || echo "demo: FAILED" >&2
}
trap finish EXIT

heading() { printf '\n== %s\n' "$1"; }
say() { printf '%s\n' "$@"; }
wrong() {
  echo "demo: $1" >&2
  exit 1
}
# show COMMAND…: prints it as typed, then runs it.
show() {
  local typed
  typed=$(printf ' %q' "$@")
  printf '\n$%s\n' "$typed"
  "$@"
}
# accuracy_of FILE AT_LEAST: fails when a model that should work does not; of several lines the last one counts.
accuracy_of() {
  "$python" -c 'import json, sys
line = open(sys.argv[1]).read().splitlines()[-1]
sys.exit(not json.loads(line)["accuracy"] >= float(sys.argv[2]))' "$1" "$2" ||
    wrong "the accuracy in $1 is below $2"
}
# denied_by RULE COMMAND…: shows it; fails unless it is denied and names the rule.
denied_by() {
  local rule=$1 status=0
  shift
  printf '\n$%s\n' "$(printf ' %q' "$@")"
  "$@" >"$scratch/denied.txt" 2>&1 || status=$?
  cat "$scratch/denied.txt"
  ((status == 3)) || wrong "a plan that must be denied ended with $status"
  grep -q "rule: $rule (deny)" "$scratch/denied.txt" || wrong "the denial does not name the rule $rule"
}
# every_outcome FILE OUTCOME…: fails when an attempt in the report ended in another way.
every_outcome() {
  "$python" -c '
import json, sys
report = json.load(open(sys.argv[1]))
other = [row["name"] for row in report if row["outcome"] not in sys.argv[2:]]
sys.exit("demo: wrong outcome of: " + ", ".join(other) if other or len(report) < 15 else 0)' "$@"
}

heading "A project, a Python environment, two public data sets"
project=$scratch/project
mkdir -p "$project" "$scratch/outside"
cp "$repository"/demo/{aseptic.toml,requirements.txt,.gitignore,*.py} "$project/"
rm -f "$project/record.py"
cd "$project"
say "scikit-learn, pandas and pyarrow go into an ordinary virtual environment."
show "$python" -m venv .venv
show .venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
show .venv/bin/python prepare_data.py

# From here on, the user of the demo: a home with credentials in it, and a state of aseptic of its own.
export HOME=$scratch/home ASEPTIC_HOME=$scratch/aseptic HF_HOME=$scratch/home/.cache/huggingface
unset XDG_DATA_HOME XDG_CACHE_HOME XDG_CONFIG_HOME
mkdir -p "$HOME/.aws" "$HOME/.ssh" "$HF_HOME"
printf '[default]\naws_secret_access_key = not-a-real-key\n' >"$HOME/.aws/credentials"
printf 'not a real key\n' >"$HOME/.ssh/id_ed25519"
printf 'DATABASE_PASSWORD=not-a-real-password\n' >.env
chmod -R go= "$HOME"
export AWS_SESSION_TOKEN=not-a-real-token
git init --quiet .
git add .
git -c user.name=demo -c user.email=demo@localhost commit --quiet --message "demo: the project"

heading "What this machine can enforce"
show aseptic doctor

heading "Datasets: immutable, versioned, labelled"
show aseptic dataset add data/digits-train --name digits-train --label public
show aseptic dataset add data/digits-test --name digits-test --label public --role holdout
show aseptic dataset add data/penguins.parquet --name penguins --label public
show aseptic dataset list

heading "Plan: everything the run will see, by digest, before anything starts"
show aseptic plan train

heading "Run: train a model on the digits"
say "train.py knows nothing of aseptic: it reads /data/train and writes to \$ASEPTIC_OUT."
show aseptic run train

heading "Run: evaluate it"
say "The input \`model\` is run:train/out/model.joblib: what the last run left, by its digest. The digits are held" \
  "out, so that only metrics leave the run, and each look at them is counted."
show aseptic run evaluate

heading "Policy: what may not be is said before it starts"
say "The same evaluation, if it kept everything that it leaves and reached the internet:"
denied_by holdout/training aseptic plan evaluate --keep everything --network example.org:443
say "" "A rule of the project can only take from what is allowed. This one wants metrics of every run on the digits:"
mkdir policy
cat >policy/lab.cedar <<'END'
@id("lab/digits")
@message("runs on `{resource}` keep metrics alone")
@advice("set `keep = \"metrics\"`")
forbid (principal, action == Action::"Mount", resource in Dataset::"digits-train")
when { context.keep == "everything" };
END
show cat policy/lab.cedar
show aseptic policy check
denied_by lab/digits aseptic plan train
rm -r policy
say "" "Why a run was decided as it was is known later, from the ledger alone:"
show aseptic policy explain evaluate

heading "Run: another data set, with other parameters than in aseptic.toml"
show aseptic run penguins --param folds=10

heading "Runs, one in full, and its results"
show aseptic runs
show aseptic show latest
show aseptic metrics train evaluate
say "" "Nothing was written into this directory; results come out when they are asked for."
[[ -z $(git status --porcelain) ]] || wrong "a run changed the tree: $(git status --porcelain)"
show aseptic export run:train/out --to ./results/train
show aseptic export run:evaluate/out --to ./results/evaluate
show aseptic export run:penguins/out --to ./results/penguins
show find results -type f
accuracy_of "$(find results/train -name metrics.json)" 0.95
accuracy_of "$(find results/evaluate -name metrics.jsonl)" 0.95
[[ -z $(find results/evaluate -type f ! -name metrics.jsonl ! -name .aseptic-labels.json) ]] ||
  wrong "more than metrics left a run on held-out data"
accuracy_of "$(find results/penguins -name metrics.json)" 0.95

heading "A leaky program, outside first"
say "leak.py tries to get at credentials, other runs, other processes and the network. Without a jail every" \
  "attempt works: so none of them can fail later because it was made badly. (Those that would leave this" \
  "machine are made in the jail only.)"
coproc BYSTANDER { exec "$python" bystander.py "$marker"; }
# shellcheck disable=SC2153 # coproc sets BYSTANDER_PID.
bystander=$BYSTANDER_PID
read -r -t 30 port <&"${BYSTANDER[0]}" || wrong "bystander.py did not start"
"$python" -c 'import json, sys; print(json.dumps(dict(pair.split("=", 1) for pair in sys.argv[1:])))' \
  "input=$project/data/digits-train" "caller_home=$HOME" "project=$project" "store=$ASEPTIC_HOME" \
  "marker=$marker" "port=$port" "pid=$bystander" >"$scratch/outside/params.json"
outside=(env "ASEPTIC_PARAMS=$scratch/outside/params.json" "ASEPTIC_OUT=$scratch/outside" .venv/bin/python)
"${outside[@]}" leak.py --leave >/dev/null
printf '\n$ python leak.py --outside\n'
"${outside[@]}" leak.py --outside || wrong "an attempt does not work outside, so it proves nothing"
rm "/tmp/$marker" "/dev/shm/$marker" "$HOME/$marker" "$HF_HOME/$marker"

heading "The same program, sealed"
say "One run leaves files for the next. The next looks for them, and tries everything else."
show aseptic run leave --param "marker=$marker"
for place in /tmp /dev/shm "$HOME" "$HF_HOME"; do
  [[ ! -e $place/$marker ]] || wrong "the run left a file in $place"
done
show aseptic run leak --param "caller_home=$HOME" --param "project=$project" --param "store=$ASEPTIC_HOME" \
  --param "marker=$marker" --param "port=$port" --param "pid=$bystander"
aseptic export run:leak/out/report.json --to "$scratch/report" >/dev/null
every_outcome "$(find "$scratch/report" -type f -name report.json)" held
kill -0 "$bystander" || wrong "bystander.py is gone"
say "" "The program's word is not taken for it: seen from outside,"
show git status --short
[[ -z $(git status --porcelain) ]] || wrong "the run changed the tree"
[[ -z $(find .venv -name "$marker") ]] || wrong "the run changed the Python environment"
show aseptic dataset verify digits-train

heading "Where does this model come from?"
show aseptic lineage run:train/out/model.joblib

heading "Replay: the same plan five times, and what came of it compared"
show aseptic replay train --times 5 | tee "$scratch/replay.txt"
grep -q '^deterministic: 5 of 5' "$scratch/replay.txt" || wrong "training is not deterministic"

heading "Another result: what differs, and what explains it?"
show aseptic run train --quiet --param gamma=0.01 --name wider
show aseptic runs --where 'experiment = train and param.gamma > 0.001' --columns name,param.gamma,metric.accuracy
printf '\n$ aseptic diff train wider\n'
compared=$(aseptic runs --json --where 'experiment = train and param.gamma = 0.001' --limit 1 |
  "$python" -c 'import json, sys; print(json.load(sys.stdin)["runs"][0]["run"])')
status=0
aseptic diff "$compared" wider || status=$?
((status == 1)) || wrong "diff says $status of two runs with another parameter"

heading "The data turn out to be mislabelled: what did they reach?"
show aseptic incident open --dataset digits-train@1 --reason "labels of two writers were swapped" --yes --out evidence
printf '\n$ aseptic run train\n'
if aseptic run train 2>&1 | tee "$scratch/denied.txt"; then
  wrong "a run with data in quarantine passed"
fi
grep -q 'input/quarantined' "$scratch/denied.txt" || wrong "the denial does not name its rule"
say "" "Anyone can check the evidence, without this machine's state:"
show env ASEPTIC_HOME="$scratch/elsewhere" aseptic incident verify evidence
rm -rf evidence

heading "What all of it comes to: risk and evidence of controls"
show aseptic project report --output "$scratch/report.md"
sed -n 1,30p "$scratch/report.md"

heading "The ledger"
say "Every decision is on disk before what it permits. The chain proves that nothing was changed since."
show aseptic ledger verify
say "" "One bit of one entry is changed in a copy:"
cp -R "$ASEPTIC_HOME/ledger" "$scratch/tampered"
show "$python" tamper.py "$scratch/tampered"
printf '\n$ aseptic ledger verify --ledger %q\n' "$scratch/tampered"
if aseptic ledger verify --ledger "$scratch/tampered" >"$scratch/verify.txt" 2>&1; then
  cat "$scratch/verify.txt"
  wrong "a changed ledger passed"
fi
cat "$scratch/verify.txt"
grep -Eq 'entry [0-9]+' "$scratch/verify.txt" || wrong "verify does not name the entry"

heading "All of it was as it should be"
