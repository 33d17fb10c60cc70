#!/usr/bin/env bash
# What a C++ program needs of ONNX Runtime, in a folder: Debian 13's headers and CMake files (Debian 12 has none),
# and the library of the Python package. Needs curl and dpkg-deb, not root.
#   onnxruntime.sh FOLDER PYTHON      PYTHON: one that has onnxruntime
set -euo pipefail
folder=$1
python=$2
if [ -e "$folder/ready" ]; then
    exit 0
fi
version=1.21.0  # a library of a later version runs what was compiled with it
name="libonnxruntime-dev_$version+dfsg-1_$(dpkg --print-architecture).deb"
mirror=http://deb.debian.org/debian/pool/main/o/onnxruntime
snapshot=https://snapshot.debian.org/archive/debian/20250601T000000Z/pool/main/o/onnxruntime
rm -rf "$folder"
mkdir -p "$folder"
for source in "$mirror" "$snapshot"; do
    curl --fail --silent --show-error --location --retry 3 "$source/$name" -o "$folder/$name" && break
done
dpkg-deb -x "$folder/$name" "$folder"
library=$(echo "$folder"/usr/lib/*/cmake)/..
shared=$("$python" -c "import onnxruntime, pathlib
found, = pathlib.Path(onnxruntime.__file__).parent.glob('capi/libonnxruntime.so.1.*')
print(found)")
for link in "libonnxruntime.so.$version" libonnxruntime.so.1; do
    ln -s "$shared" "$library/$link"
done
touch "$folder/ready"
