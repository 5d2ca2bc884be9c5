#!/usr/bin/env bash
# gpu.sh — on a machine with a GPU: all times in one run of under eight minutes, as one JSON file for bench/results/.
# No GPU has run it so far.
#
#     FOLDER/gpu.sh [OUT]
#
# FOLDER is what `./dev gpu pack` makes; OUT (FOLDER/out) gets gpu.json and what each program said.  PEERS: the folder that
# bench/peers/prepare made, else python3; without PyTorch there, or NumPy, the peers are said to be missing.
set -uo pipefail
folder=$(cd "$(dirname "$0")" && pwd) out=${1:-$folder/out} python=python3
[ -x "${PEERS:-}/bin/python3" ] && python=$PEERS/bin/python3
export LD_LIBRARY_PATH=$folder/lib:${LD_LIBRARY_PATH:-}:/usr/local/cuda/lib64
parts=$out/bench
rm -rf "$parts" && mkdir -p "$parts"
"$folder/t2d" doctor --json 2>/dev/null | grep -q '"device":"cuda:0"' || { echo "no usable GPU: nothing was timed"; exit 4; }
cp "$folder/commit" "$parts/"
date -u +%FT%TZ >"$parts/started"
echo "gpu.sh" >"$parts/command"
cut -d' ' -f1-3 /proc/loadavg >"$parts/load"
failed=0

# step NAME LIMIT COMMAND...: what it says goes into OUT/bench/NAME.log.
step() {
  local name=$1 limit=$2 start=$SECONDS rc
  shift 2
  timeout "$limit" "$@" >"$parts/$name.log" 2>&1
  rc=$?
  [ $rc -eq 0 ] || failed=1
  printf '%-12s %4d s  %s\n' "$name" $((SECONDS - start)) "$([ $rc -eq 0 ] && echo ok || echo "FAILED ($rc)")"
}

pictures() {
  local dtype what
  for dtype in fp32 bf16 fp16; do
    for what in "--whole --picture 448x448 --classes 21" "--picture 683x512 --classes 150" \
      "--picture 683x512 --classes 150 --mode offline --batch 32"; do
      # shellcheck disable=SC2086
      "$folder/t2d" bench -m "$model" --device cuda --dtype "$dtype" $what --seconds 3 --json >>"$parts/pictures.jsonl" || return 1
    done
  done
}

model=$parts/vitb.safetensors
if "$python" "$folder/python_export/random_model.py" --size b --registers 4 -o "$model"; then
  export -f pictures && export folder model parts
  step pictures 110 bash -c pictures
  step peers 200 "$python" "$folder/bench/peers/compare.py" --ours "$folder/contender" --model "$model" --device cuda \
    --threads "$(nproc)" --seconds 8 --json "$parts/peers.json"
else
  echo "no model without NumPy and xxhash (pip install numpy xxhash): operations alone are timed"
fi
step ops 150 "$folder/bench_ops" --device cuda --seconds 0.02 --most 0.03 --json "$parts/ops.json"
rm -f "$model"
"$python" "$folder/bench/collect.py" "$parts" "$out/gpu.json"
tail -n 40 "$parts"/{peers,ops}.log 2>/dev/null
exit $failed
