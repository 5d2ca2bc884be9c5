#!/usr/bin/env bash
# test_ops.sh BENCH_OPS -- every operation's answers agree with plain C at small shapes; and when the answers of one
# operation are spoiled, that one is named, and no other.  No time is taken.
set -uo pipefail
program=$1 failed=0
ops="embed embed_text layernorm linear swiglu attention gather_rows unit_rows cls_logits head_pool similarity clean
  merge_max readout upload download"
"$program" --tiny --check --threads 1 || { echo "answers differ from plain C"; exit 1; }
for op in $ops; do
  said=$("$program" --tiny --check --threads 1 --dtype fp32 --spoil "$op" 2>&1 >/dev/null)
  [ $? -eq 1 ] || { echo "$op was spoiled and nobody noticed"; failed=1; }
  others=$(grep -v "no speed for a wrong answer: $op " <<<"$said")
  [ -z "$others" ] || { echo "$op was spoiled, but: $others"; failed=1; }
done
"$program" --tiny >/dev/null 2>&1; [ $? -eq 2 ] || { echo "times of tiny shapes were not refused"; failed=1; }
exit $failed
