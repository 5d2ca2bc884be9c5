#!/bin/sh
# Installs into a folder of its own, builds the example with CMake's package and with pkg-config, and runs it.
#     run.sh BUILD_FOLDER SOURCE_FOLDER MODEL PICTURE
set -eu
build=$1 source=$2 model=$3 picture=$4
work=$build/install_test
[ -e "$model" ] || { echo "skipped: no $model (python3 with numpy and xxhash makes it)"; exit 77; }
rm -rf "$work"
cmake --install "$build" --prefix "$work/root" >/dev/null
library=$(dirname "$(find "$work/root" -name libtalk2dino.so)")

cmake -S "$source" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$work/root" >/dev/null
cmake --build "$work/cmake" >/dev/null
"$work/cmake/example" "$model" "$picture" "$work/cmake.png" cat dog

# The .pc file names the prefix of the configuration; --define-prefix follows the file.
flags=$(PKG_CONFIG_PATH="$library/pkgconfig" pkg-config --define-prefix --cflags --libs talk2dino)
cc -std=c11 -Wall -Wextra -Werror "$source/example.c" $flags -Wl,-rpath,"$library" -o "$work/example"
"$work/example" "$model" "$picture" "$work/pkgconfig.png" cat dog
cmp "$work/cmake.png" "$work/pkgconfig.png"

# The SONAME is what a program remembers; nothing but t2d_ functions leaves the library.
readelf -d "$library/libtalk2dino.so" | grep -q 'SONAME.*libtalk2dino\.so\.0'
foreign=$(nm -D --defined-only "$library/libtalk2dino.so" | awk '{print $3}' | grep -v '^t2d_' || true)
[ -z "$foreign" ] || { echo "the library exports $foreign"; exit 1; }

if "$work/example" "$model" /nonexistent.jpg "$work/none.png" cat 2>"$work/message"; then exit 1; fi
grep -q '/nonexistent.jpg' "$work/message"
[ ! -e "$work/none.png" ]
echo "installed, found, built twice, run"
