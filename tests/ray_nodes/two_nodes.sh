#!/bin/bash
# Runs a suite on a Ray cluster of two nodes on this machine, of which one does not see the folder
# of the store; kills the driver, starts it again, and compares the curves with those of an
# undisturbed run. On Linux, as root (the second node has a mount namespace of its own):
#
#     pip install -e '.[ray]' && tests/ray_nodes/two_nodes.sh
#
set -euo pipefail
python=${PYTHON:-python}
bin=$(dirname "$("$python" -c 'import sys; print(sys.executable)')")
here=$(cd "$(dirname "$0")" && pwd)
place=$(mktemp -d /tmp/velodrome-ray.XXXXXX)
mkdir "$place/ray"
address=127.0.0.1:6401
finish() {
  "$bin/ray" stop --force > /dev/null 2>&1 || true
  rm -rf "$place"
}
trap finish EXIT
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0 RAY_AUTH_MODE=disabled
"$bin/ray" start --head --node-ip-address 127.0.0.1 --port "${address#*:}" --num-cpus 1 --disable-usage-stats > "$place/head.log" 2>&1 || { cat "$place/head.log" >&2; exit 1; }
unshare --mount bash -c "mount -t tmpfs none '$place/ray' && \
  '$bin/ray' start --address $address --node-ip-address 127.0.0.1 --num-cpus 1 --disable-usage-stats" > "$place/node.log" 2>&1 || { cat "$place/node.log" >&2; exit 1; }

run() { "$python" -m velodrome run smoke --steps 3000 --seeds 1 --learning-rates 1e-3 "$@"; }
run --out "$place/inline" --workers 0 2>&1 | tail -1
run --out "$place/ray" --engine ray --address "$address" > "$place/first.txt" 2>&1 &
driver=$!
workers() { "$python" -m velodrome status "$place/ray" --json 2> /dev/null | { grep -o '"pid"' || true; } | wc -l; }
for _ in $(seq 100); do [ "$(workers)" -ge 2 ] && break; sleep 0.2; done
[ "$(workers)" -ge 2 ] || { echo "two workers never worked at once" >&2; tail "$place/first.txt" >&2; exit 1; }
"$bin/ray" status --address "$address" | grep CPU
kill -9 "$driver"
wait "$driver" 2> /dev/null || true
echo "killed the driver"
[ ! -e "$place/ray/report" ]
run --out "$place/ray" --engine ray --address "$address" 2>&1 | tail -1
"$python" -m velodrome status "$place/ray"
PYTHONPATH="$here/../suites:${PYTHONPATH:-}" "$python" - "$place/inline" "$place/ray" << 'PY'
import sys
from pathlib import Path
import toys
one, other = (toys.contents(Path(name)) for name in sys.argv[1:])
assert one and one == other, "the curves differ"
print(f"{len(one)} shards, the same bits")
PY
