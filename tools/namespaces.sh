#!/usr/bin/env bash
# Two machines in one: two network namespaces joined by a veth pair, and a training job of two processes, one in each,
# compared with the same job in one process. Needs root, iproute2 and Open MPI.
#
#   bash tools/namespaces.sh            prints how far the parameters are apart, and seconds a step
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'ip netns del ul-a 2>/dev/null || true; ip netns del ul-b 2>/dev/null || true; rm -rf "$work"' EXIT
for name in ul-a ul-b; do ip netns add $name; ip -n $name link set lo up; done
ip -n ul-a link add to-b type veth peer name to-a netns ul-b
ip -n ul-a addr add 10.77.0.1/24 dev to-b && ip -n ul-a link set to-b up
ip -n ul-b addr add 10.77.0.2/24 dev to-a && ip -n ul-b link set to-a up

# What mpirun takes for ssh: the second address is the second namespace. Both have the machine's name, so each gets one of its own.
cat >"$work/agent" <<'AGENT'
#!/usr/bin/env bash
shift
exec ip netns exec ul-b unshare --uts bash -c "hostname ul-b; $*"
AGENT
chmod +x "$work/agent"
settings=(--smoke --steps 20 --threads 1 --json
  --set train.batch=16 --set train.stage2.batch=16 --set train.logEvery=1 --set train.sampleEvery=100)
node=$(command -v node)
"$node" dist/commands/main.mjs train study "${settings[@]}" --out "$work/one" >"$work/one.log"
ip netns exec ul-a unshare --uts bash -c "hostname ul-a
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --host 10.77.0.1:1,10.77.0.2:1 -n 2 --bind-to none \
  --mca plm_rsh_agent '$work/agent' --mca btl self,tcp --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 \
  --prefix /usr -x OMPI_ALLOW_RUN_AS_ROOT -x OMPI_ALLOW_RUN_AS_ROOT_CONFIRM \
  '$node' '$PWD/dist/commands/main.mjs' train study ${settings[*]} --out '$work/two'" >"$work/two.log"
echo "bytes over the pair: $(ip -n ul-a -s -j link show to-b | grep -o '"bytes":[0-9]*' | tr '\n' ' ')"
"$node" tools/compare_runs.mjs "$work/one" "$work/two"
