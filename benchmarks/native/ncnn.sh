#!/usr/bin/env bash
# Fetch ncnn's source from PyPI. Needs curl and sha256sum.
#   ncnn.sh FOLDER        makes FOLDER/ncnn, the source
set -euo pipefail
folder=$1
if [ -e "$folder/ncnn/PKG-INFO" ]; then
    exit 0
fi
# The version that the tests pin (constraints.txt). pip refuses this file: it calls itself after the day it is built on.
version=1.0.20261020
sha256=ad8cdd63e9755cfa8e23b9b6d9ce46156077d80298a89e7c3ba325ffccfca200
address=https://files.pythonhosted.org/packages/b7/50/32b5172afe7d3e0dce410b7d8f4a5b7b84b942a0d69affbaedf669de52bc
mkdir -p "$folder"
curl --fail --silent --show-error --location --retry 3 "$address/ncnn-$version.tar.gz" -o "$folder/ncnn.tar.gz"
echo "$sha256  $folder/ncnn.tar.gz" | sha256sum --check --quiet
tar -xf "$folder/ncnn.tar.gz" -C "$folder"
rm "$folder/ncnn.tar.gz"
mv "$folder/ncnn-$version" "$folder/ncnn"
