#!/bin/sh
# What ptxas makes of a kernel file, for a chip of each family: registers and shared memory per kernel; spills, stack
# and local memory are failures, and so is an object that needs libstdc++.
#   ptxas.sh NVCC FILE FLAGS...
nvcc=$1 file=$2
shift 2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
for chip in 80 90a 100 120; do
    set -- "$@" "-gencode=arch=compute_$chip,code=sm_$chip"
done
if ! "$nvcc" "$@" --threads=2 -Xptxas=-v -c "$file" -o "$work/kernel.o" >"$work/log" 2>&1; then
    cat "$work/log"
    exit 1
fi
c++filt <"$work/log" | sed 's/void //' | awk -v q="'" '
    /Compiling entry function/ { split($0, part, q); name = part[2]; chip = part[4]; sub(/\(.*/, "", name) }
    /bytes stack frame/ { stack = $1; spills = $5 + $9 }
    / Used [0-9]+ registers/ {
        match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5, RLENGTH - 5)
        smem = 0
        if (match($0, /[0-9]+ bytes smem/)) smem = substr($0, RSTART, RLENGTH) + 0
        bad = stack + spills > 0
        failed += bad
        count++
        printf "%-8s %-60s %3d registers %6d bytes static shared%s\n", chip, name, registers, smem,
            bad ? "  STACK " stack " SPILLS " spills : ""
    }
    END { if (!count) print "ptxas reported no kernel"; exit failed > 0 || !count }' || { cat "$work/log"; exit 1; }
if nm -u "$work/kernel.o" | grep -E '_ZSt|_ZNSt|__cxa_|__gxx_personality'; then
    echo "the object needs libstdc++"
    exit 1
fi
