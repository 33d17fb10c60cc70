#!/usr/bin/env bash
# Debian's kernel for virtual machines, as FOLDER/kernel, not installed: kernel.sh FOLDER
set -euo pipefail
folder=$1
if [ -e "$folder/kernel" ]; then
    exit 0
fi
mkdir -p "$folder/part"
cd "$folder/part"
name=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/ *Depends: \(linux-image\S*\)/\1/p' | head -n 1)
[ -n "$name" ] || {
    echo "kernel.sh: this Debian has no linux-image-cloud-amd64" >&2
    exit 1
}
apt-get -qq download "$name"
dpkg-deb -x ./*.deb root
mv root/boot/vmlinuz-* ../kernel
cd ..
rm -rf part
