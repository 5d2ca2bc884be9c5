#!/usr/bin/env bash
# run.sh — on a machine with a GPU: the emulator's self-test on the chip, all kernel suites, whole models and the
# published cases, compute-sanitizer on small shapes, then a table of times beside their floors.
#
#   tests/gpu/run.sh FOLDER [OUT]
#
# FOLDER is what `./dev gpu pack` makes (or the build folder's gpu/): programs, their libraries, models, a picture.
# Logs and tables go to OUT (FOLDER/out).  Exit code: 0 when every test passed.
set -uo pipefail
folder=$(cd "${1:?run.sh FOLDER [OUT]}" && pwd) out=${2:-$folder/out}
mkdir -p "$out"
export T2D_TINY_MODEL=$folder/tiny_random.safetensors T2D_TEST_PICTURE=$folder/beach.ppm \
  T2D_SMALL_MODEL=$folder/small_random.safetensors
[ -d "$folder/reference" ] && export T2D_REFERENCE=$folder/reference
export T2D_REFERENCE_MODELS=$folder/reference_models T2D_DEMO=$folder/demo
export LD_LIBRARY_PATH=$folder/lib:${LD_LIBRARY_PATH:-}:/usr/local/cuda/lib64
failed=0

# step NAME LIMIT COMMAND...: its output into OUT/NAME.log, its end on the terminal.
step() {
  local name=$1 limit=$2 start=$SECONDS rc
  shift 2
  timeout "$limit" "$@" >"$out/$name.log" 2>&1
  rc=$?
  [ $rc -eq 0 ] || failed=1
  printf '%-16s %4d s  %s\n' "$name" $((SECONDS - start)) "$([ $rc -eq 0 ] && echo ok || echo "FAILED ($rc)")"
  if [ $rc -ne 0 ]; then grep -E 'FAIL|Assertion|differ|error|ERROR' "$out/$name.log" | head -8; fi
}

{
  cat "$folder/commit"
  date -u +%F
  nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.limit,temperature.gpu,ecc.mode.current --format=csv
  "$folder/t2d" doctor
} >"$out/machine.txt" 2>&1
cat "$out/machine.txt"
"$folder/t2d" doctor --json 2>/dev/null | grep -q '"device":"cuda:0"' || { echo "no usable GPU: nothing was tested"; exit 4; }

step selftest 60 "$folder/gpu_tests" --filter 'cuda_selftest/*'
for suite in gemm norm attention heads tokens clean similarity readout count pamr; do
  step "$suite" 60 "$folder/gpu_tests" --filter "cuda_$suite/*"
done
step model 60 "$folder/gpu_tests" --filter 'model/*'
step reference 90 "$folder/gpu_tests" --filter 'reference/*'
step half 60 "$folder/gpu_tests" --filter 'half/*'
if [ -x "$folder/test_cudnn" ]; then
  step cudnn 300 "$folder/test_cudnn" --jobs 1
else
  echo "cuDNN was not there when this was built: not compared with it"
fi
step demo 60 "$folder/gpu_tests" --filter 'demo/*'

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
if [ -n "$sanitizer" ]; then
  small=("$folder/t2d" segment "$T2D_TEST_PICTURE" -m "$T2D_TINY_MODEL" -c "sky,sea;water,sand" --whole --size 112
    --device cuda --bg-clean --with-background --pamr -o "$out/mask.png")
  for tool in memcheck racecheck synccheck; do
    step "$tool" 90 "$sanitizer" --tool "$tool" --error-exitcode 9 "${small[@]}"
  done
else
  echo "compute-sanitizer is not here: not run"
fi
step bench 150 "$folder/bench_ops" --device cuda --quick --json "$out/bench_ops.json"
cat "$out/bench.log"
nvidia-smi --query-gpu=clocks.sm,clocks.mem,temperature.gpu,power.draw --format=csv >>"$out/machine.txt" 2>&1
[ $failed -eq 0 ] && echo "all passed: commit $(cat "$folder/commit")" || echo "something failed: see $out"
exit $failed
