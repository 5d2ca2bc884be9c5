#!/bin/bash
# Plants one bug at a time in a copy of a kernel file and demands that a build of its test fails.
#
#   mutants.sh FAMILY [NAME]    (in the build folder: simt_env.sh and suite_*.sh are written there by CMake)
#
# Only the mutated file is compiled; the builds are tried from the one that finds most, and the first that notices
# ends the case.  mutants.txt: family|name|file|suite, or suite:test|sed expression (extended).  A file is one of
# kernels/cuda, of this folder, or named from the project's root.
here=$(cd "$(dirname "$0")" && pwd)
. ./simt_env.sh
family=$1 only=$2 missed=0 count=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# Compiles the mutant for build $1 and runs suite $2 (of it, the tests $4) with it; true when the suite fails.
noticed() {
    local mode=$1 suite=$2 stem=$3 tests=$4
    local flags=kernel_$mode link=link_$mode others replaced compile
    case $file in
    *.c) compile="$CC $machine_options -c" replaced="${source#"$root"}.o\$" ;;
    *) compile="$CXX $kernel_options ${!flags} -x c++ -c" replaced="/simt_${stem}_$mode.dir/" ;;
    esac
    if ! $compile "$work/${file##*/}" -o "$work/mutant.o" 2>"$work/log"; then
        echo "$family/$name: does not compile"
        cat "$work/log"
        exit 1
    fi
    others=$(sed -n "s/^$mode //p" "suite_$suite.txt" | tr ' ' '\n' | grep -v "$replaced")
    $CXX ${!link} $others "$work/mutant.o" -L. -lsimt_$mode $test_libraries -o "$work/test" 2>"$work/log" || { tail -3 "$work/log"; exit 1; }
    ! timeout 100 "$work/test" --fail-fast --filter "*/$tests" >"$work/log" 2>&1
}

if [ "$family" = model ] && [ ! -f "$T2D_TINY_MODEL" ]; then
    echo "skipped: T2D_TINY_MODEL names no file: the fixture did not run"
    exit 77
fi
baseline= # of the suites seen so far: a failing suite would "catch" everything
while IFS='|' read -r fam name file suite expression; do
    [ "$fam" = "$family" ] || continue
    [ -n "$only" ] && [ "$name" != "$only" ] && continue
    count=$((count + 1))
    for source in "$here/$file" "$kernels/$file" "$root/$file"; do [ -f "$source" ] && break; done
    stem=$(basename "$file" .cu) tests='*'
    case $suite in *:*) tests=${suite#*:} suite=${suite%%:*} ;; esac
    if [ "$suite" != "$baseline" ]; then
        "./test_cuda_${suite}_race" >"$work/log" 2>&1 || { echo "suite $suite fails without a mutant"; exit 1; }
        baseline=$suite
    fi
    sed -E "$expression" "$source" >"$work/${file##*/}"
    if cmp -s "$source" "$work/${file##*/}"; then
        echo "$family/$name: the expression changes nothing"
        missed=$((missed + 1))
        continue
    fi
    caught=
    for mode in race plain asan; do
        if noticed $mode "$suite" "$stem" "$tests"; then
            caught=$mode
            break
        fi
    done
    message=$(grep -a -m1 -E 'SIMT:|runtime error|AddressSanitizer|error \(|Expression|got |two runs differ|answers' "$work/log" | cut -c1-150)
    printf '%-28s %-6s %s\n' "$family/$name" "${caught:-MISSED}" "$message"
    [ -n "$caught" ] || missed=$((missed + 1))
done <"$here/mutants.txt"

[ $count -gt 0 ] || { echo "no mutants of family $family"; exit 1; }
echo "$((count - missed)) of $count caught"
[ $missed = 0 ]
