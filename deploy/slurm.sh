#!/usr/bin/env bash
# A training job of Slurm, two processes on each of four machines: sbatch deploy/slurm.sh. Open MPI wants --mpi=pmix, MPICH --mpi=pmi2.
#SBATCH --job-name=unified-latents
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
set -euo pipefail
: "${RUNS:=$HOME/runs}" "${DATA:=$HOME/data}"
export UL_CACHE="$RUNS/cache"
# The signal comes five minutes before the end: the job saves, and the same command, requeued, goes on.
srun --mpi=pmix --cpu-bind=cores --kill-on-bad-exit=1 \
  npx ul train imagenet512 --set "data.path=$DATA/imagenet" --out "$RUNS/imagenet512" --threads "$SLURM_CPUS_PER_TASK"
