#!/usr/bin/env bash
# An ARM computer in a folder: Debian's arm64 Python, aarch64 wheels, and QEMU to run them.
# Needs Debian or Ubuntu with apt, not root: apt gets lists and caches of its own, below the folder.
#   setup.sh FOLDER PYTHON      PYTHON: one with pip and the versions of the packages that are to be tested
set -euo pipefail
folder=$1
python=$2
version=3.11
if [ -e "$folder/ready" ]; then
    exit 0
fi
for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || {
        echo "setup.sh: '$tool' is not here; the ARM test is set up with Debian's packages" >&2
        exit 1
    }
done
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
work=$folder.part
rm -rf "$work" "$folder/root" "$folder/wheels" "$folder/downloads"
mkdir -p "$work"/{lists/partial,root,wheels} "$folder"/{debs,archives/partial,downloads}
touch "$work/status"

host=$(dpkg --print-architecture)
apt() {
    apt-get -qq -o APT::Architectures::="$host" -o APT::Architectures::=arm64 -o APT::Sandbox::User= \
        -o Dir::State::Lists="$work/lists" -o Dir::State::status="$work/status" \
        -o Dir::Cache="$folder" "$@"
}
apt update
libraries=(libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5 libssl3 libuuid1
    libsqlite3-0 libncursesw6 libtinfo6 libreadline8 libdb5.3 libcrypt1 libnsl2 libtirpc3)
packages=(qemu-user-static)
for name in "python$version-minimal" "libpython$version-minimal" "libpython$version-stdlib" \
    "${libraries[@]}"; do
    packages+=("$name:arm64")
done
(
    cd "$folder/debs"
    apt download "${packages[@]}" || {
        echo "setup.sh: this Debian does not have all of: ${packages[*]}" >&2
        exit 1
    }
)
for deb in "$folder"/debs/*.deb; do
    dpkg-deb -x "$deb" "$work/root"
done

# The very versions that were exported with. ONNX Runtime 1.32 crashes when it is imported under Debian 12's
# QEMU 7.2 (on every -cpu), 1.26 does not.
wheels=("onnxruntime==1.26.0")
for name in numpy ncnn opencv-python-headless; do
    found=$("$python" -c "from importlib.metadata import version; print(version('$name'))")
    wheels+=("$name==$found")
done
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version $version --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 \
    --platform manylinux2014_aarch64 --dest "$folder/downloads" "${wheels[@]}"
for wheel in "$folder"/downloads/*.whl; do
    "$python" -m zipfile -e "$wheel" "$work/wheels"
done
rm -rf "$work/lists" "$work/status"
mv "$work/root" "$work/wheels" "$folder"
rmdir "$work"
touch "$folder/ready"
