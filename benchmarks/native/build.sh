#!/usr/bin/env bash
# Build the native program once: FOLDER/TARGET/rtmpose-native. Minutes at first, nothing afterwards.
#   build.sh FOLDER TARGET    TARGET: host, aarch64-linux-gnu, or android (with ANDROID_NDK set)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$1
target=$2
"$here/ncnn.sh" "$folder"
case $target in
    host) flags=() ;;
    android)
        flags=("-DCMAKE_TOOLCHAIN_FILE=${ANDROID_NDK:?set it to the folder of the Android NDK}/build/cmake/android.toolchain.cmake"
            -DANDROID_ABI=arm64-v8a -DANDROID_PLATFORM=android-24)
        ;;
    *) flags=("-DCMAKE_TOOLCHAIN_FILE=$here/$target.cmake") ;;
esac
cmake -S "$here" -B "$folder/$target" -DNCNN_SOURCE_DIR="$(realpath "$folder/ncnn")" "${flags[@]}" >"$folder/$target.log"
cmake --build "$folder/$target" --target rtmpose-native --parallel "$(nproc)" >>"$folder/$target.log" 2>&1 || {
    tail -n 40 "$folder/$target.log" >&2
    exit 1
}
