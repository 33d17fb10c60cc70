#!/usr/bin/env bash
# What the C++ example is built with and this machine may lack, from Debian's packages, as root where missing.
set -euo pipefail
missing=()
command -v cmake >/dev/null || missing+=(cmake)
command -v make >/dev/null || missing+=(make)
command -v g++ >/dev/null || missing+=(g++)
[ -e /usr/include/stb/stb_image.h ] || missing+=(libstb-dev)
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "setup.sh: missing: ${missing[*]}; install them, for example: sudo apt-get install ${missing[*]}" >&2
    exit 1
fi
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq -y install "${missing[@]}" >/dev/null
