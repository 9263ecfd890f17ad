#!/bin/bash
# Submits a training run that survives preemption and time limits:
#   sbatch configs/cluster/submit.sh configs/sft/llama-3-8b.yaml configs/cluster/fsdp2.yaml configs/cluster/slurm.yaml
# One task for each GPU; the numbers must be those of configs/cluster/slurm.yaml. The run's folder must be one that all
# machines see. A job that is put back into the queue finds its last checkpoint there and goes on.
#SBATCH --job-name=oceantune
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log
# Three minutes before the limit, to the tasks themselves: time for a checkpoint.
#SBATCH --signal=SIGUSR1@180

set -euo pipefail
[[ $# -gt 0 ]] || { echo "usage: sbatch $0 CONFIG [CONFIG ...]" >&2; exit 2; }
arguments=()
for config in "$@"; do arguments+=(--config "$config"); done
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# exec, so that signals reach the tasks and no shell stands between.
exec srun --kill-on-bad-exit=1 "${PYTHON:-.venv/bin/python}" train.py fit "${arguments[@]}"
