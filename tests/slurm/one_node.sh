#!/bin/bash
# Runs a suite on a real SLURM of one node on this machine, preempts its workers, and compares the
# curves with those of an undisturbed run. As root, on Debian or Ubuntu:
#
#     apt-get install slurm-wlm munge && pip install -e '.[slurm]' && tests/slurm/one_node.sh
#
# It starts munged, slurmctld and slurmd with a configuration of its own, and ends them. It exits
# with 77 if they do not start here, as in some containers.
set -euo pipefail
python=${PYTHON:-python}
here=$(cd "$(dirname "$0")" && pwd)
place=$(mktemp -d /tmp/velodrome-slurm.XXXXXX)
mkdir -p "$place"/{state,spool,log} /run/munge
chown munge: /run/munge
host=$(hostname -s)
cat > "$place/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool
SlurmctldLogFile=$place/log/slurmctld.log
SlurmdLogFile=$place/log/slurmd.log
SlurmctldPidFile=$place/slurmctld.pid
SlurmdPidFile=$place/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
JobRequeue=1
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=8000 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$place/slurm.conf
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
  wait 2> /dev/null || true
  rm -rf "$place"
}
trap finish EXIT
[ -f /etc/munge/munge.key ] || /usr/sbin/mungekey --create
runuser -u munge -- /usr/sbin/munged --foreground > /dev/null 2>&1 &
pids+=($!)
sleep 1
slurmctld -D > /dev/null 2>&1 & pids+=($!)
slurmd -D > /dev/null 2>&1 & pids+=($!)
for _ in $(seq 30); do sinfo -h -o %T 2> /dev/null | grep -q idle && break; sleep 1; done
sinfo || exit 77
sinfo -h -o %T | grep -q idle || exit 77

run() { "$python" -m velodrome run smoke --steps 3000 --seeds 1 --learning-rates 1e-3 "$@"; }
run --out "$place/inline" --workers 0 2>&1 | tail -1
(
  # When a worker is at work, it is preempted: SLURM's own signal, a requeue, a restart.
  until "$python" -m velodrome status "$place/slurm" --json 2> /dev/null | grep -q '"pid"'; do sleep 1; done
  job=$(squeue -h -t R -o %A | head -1)
  echo "preempting job $job"
  scancel --signal=USR2 "$job"
) & pids+=($!)
run --out "$place/slurm" --engine slurm --workers 2 --time 20 2>&1 | tee "$place/run.txt" | tail -5
"$python" -m velodrome status "$place/slurm"
grep -m 1 "Requeuing JobId" "$place/log/slurmctld.log"
PYTHONPATH="$here/../suites:${PYTHONPATH:-}" "$python" - "$place/inline" "$place/slurm" << 'PY'
import sys
from pathlib import Path
import toys
one, other = (toys.contents(Path(name)) for name in sys.argv[1:])
assert one and one == other, "the curves differ"
print(f"{len(one)} shards, the same bits")
PY
