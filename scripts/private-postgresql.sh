#!/usr/bin/env bash
# Starts a PostgreSQL server that nobody else can reach, for tests: a socket in a new directory, no network.
#
# Prints one line, the URL of its database, and serves until standard input ends, which it does however who started
# this ends; then nothing of it is left. As root the server runs as an ordinary user, since it refuses root.
#
#   scripts/private-postgresql.sh         without a password
#   scripts/private-postgresql.sh --tls   with passwords, and on 127.0.0.1 with TLS: prints `URL PORT CERTIFICATE`
set -euo pipefail

programs=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -name initdb -printf '%h\n' 2>/dev/null | sort -V | tail -n 1)
if [[ -z $programs ]]; then
  echo "private-postgresql: there is no PostgreSQL here; run \`scripts/setup.sh test\`, or as root on Debian:" >&2
  echo "  apt-get update && apt-get install -y --no-install-recommends postgresql" >&2
  exit 1
fi

place=$(mktemp -d /tmp/aseptic-pg.XXXXXX) # Short: the path of a socket has at most 107 bytes.
server=
finish() {
  if [[ -n $server ]]; then
    kill -QUIT "$server" 2>/dev/null || true # Ends at once: nothing in it is needed.
    wait "$server" 2>/dev/null || true
  fi
  rm -rf -- "$place"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

as_user=()
if ((EUID == 0)); then
  user=$(getent passwd aseptic-test postgres | head -n 1 | cut -d : -f 1)
  if [[ -z $user ]]; then
    echo "private-postgresql: there is no user aseptic-test; run \`scripts/setup.sh test\`" >&2
    exit 1
  fi
  chown "$user" "$place"
  as_user+=(setpriv --reuid "$user" --regid "$user" --init-groups)
fi
as_user+=(env --ignore-environment "PATH=$programs:/usr/bin:/bin" LC_ALL=C)
cd "$place"

auth=(--auth=trust)
settings=(-c listen_addresses= -c fsync=off -c full_page_writes=off -c shared_buffers=64MB -c max_wal_size=256MB)
if [[ ${1:-} == --tls ]]; then
  port=$((20000 + RANDOM % 20000))
  "${as_user[@]}" openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem \
    -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE >/dev/null 2>&1
  echo "hunter2" >password
  auth=(--auth=scram-sha-256 --pwfile=password)
  settings=(-c listen_addresses=127.0.0.1 -c "port=$port" -c ssl=on -c "ssl_cert_file=$place/cert.pem"
    -c "ssl_key_file=$place/key.pem" -c fsync=off)
fi

"${as_user[@]}" initdb --pgdata="$place/data" --username=aseptic --encoding=UTF8 --locale=C --no-sync --wal-segsize=1 \
  "${auth[@]}" >log 2>&1 || { cat log >&2; exit 1; }
# The server goes with this script, however that ends. Another user would forget the signal, so it is set last.
"${as_user[@]}" setpriv --pdeathsig QUIT postgres -D "$place/data" -k "$place" "${settings[@]}" >>log 2>&1 </dev/null &
server=$!
for ((attempt = 0; attempt < 600; attempt++)); do
  "$programs/pg_isready" --quiet --host="$place" --port="${port:-5432}" && break
  kill -0 "$server" 2>/dev/null || { cat log >&2; exit 1; }
  sleep 0.02
done
"$programs/pg_isready" --quiet --host="$place" --port="${port:-5432}" || { cat log >&2; exit 1; }

if [[ -n ${port:-} ]]; then
  echo "postgresql:///postgres?host=$place&user=aseptic&port=$port $port $place/cert.pem"
else
  echo "postgresql:///postgres?host=$place&user=aseptic"
fi
exec 3<&0
while read -r -u 3 _; do :; done
