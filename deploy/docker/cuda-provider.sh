#!/bin/sh
# Puts onnxruntime's CUDA provider beside the engine of onnxruntime-node, in an image or on any machine:
#
#   sh deploy/docker/cuda-provider.sh
#
# It comes out of PyPI's wheel onnxruntime-gpu of the same version (cuda-provider.txt), of which nothing
# else is kept; the sha256 of the wheel and of each library (cuda-provider.sha256) are checked. Wants
# Linux on x86_64, python3 with pip, and 900 MB in TMPDIR while it works. pip's own variables apply:
# PIP_INDEX_URL for a mirror, PIP_NO_INDEX and PIP_FIND_LINKS for a folder that has the wheel.
set -eu
cd "$(dirname "$0")"
refuse() { echo "cuda-provider.sh: $1" >&2; exit 1; }

[ "$(uname -sm)" = "Linux x86_64" ] || refuse "the CUDA provider is for Linux x86_64, and this is $(uname -sm)"
package=$(dirname "$(node -p 'require.resolve("onnxruntime-node/package.json")')")
version=$(node -p 'require("onnxruntime-node/package.json").version')
grep -q "^onnxruntime-gpu==$version " cuda-provider.txt ||
  refuse "onnxruntime-node is $version, and cuda-provider.txt names another version: an engine takes its own version only"
binding=$(find "$package/bin" -path '*/linux/x64/onnxruntime_binding.node')
[ -n "$binding" ] || refuse "there is no engine in $package/bin"

wheel=$(mktemp -d)
trap 'rm -rf "$wheel"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --dest "$wheel" --require-hashes \
  --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64 \
  --requirement cuda-provider.txt
python3 -m zipfile --extract "$wheel"/*.whl "$wheel/content"
sums=$(pwd)/cuda-provider.sha256
cd "$wheel/content/onnxruntime/capi"
sha256sum --check --strict --quiet "$sums" >&2 || refuse "a library is not what $sums names"
while read -r _ library; do
  cp "$library" "$(dirname "$binding")/.$library"
  mv "$(dirname "$binding")/.$library" "$(dirname "$binding")/$library"
done < "$sums"
