#!/usr/bin/env bash
# Install Debian packages whose command or file is missing, as root; else say which.
#   need.sh COMMAND_OR_FILE=PACKAGE...
set -euo pipefail
missing=()
for pair in "$@"; do
    what=${pair%=*}
    [ -e "$what" ] || command -v "$what" >/dev/null || missing+=("${pair##*=}")
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "need.sh: missing: ${missing[*]}; install them, for example: sudo apt-get install ${missing[*]}" >&2
    exit 1
fi
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq -y install "${missing[@]}" >/dev/null
