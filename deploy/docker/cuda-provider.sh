#!/bin/sh
# Fetches onnxruntime's CUDA provider, whose hash must be the one that the builder was told.
#   CUDA_PROVIDER_SHA256  sha256 of libonnxruntime_providers_cuda.so
#   INSTALL               what fetches it; default: the package's own script
set -eu
: "${CUDA_PROVIDER_SHA256:?give the sha256 of libonnxruntime_providers_cuda.so; a first build prints what it found}"
ONNXRUNTIME_NODE_INSTALL=cuda12 ${INSTALL:-node node_modules/onnxruntime-node/script/install.js}
found=$(find node_modules/onnxruntime-node/bin -name libonnxruntime_providers_cuda.so | head -n 1)
if [ -z "$found" ]; then
  echo "the script of onnxruntime-node brought no CUDA provider" >&2
  exit 1
fi
sum=$(sha256sum "$found" | cut -d ' ' -f 1)
if [ "$sum" != "$CUDA_PROVIDER_SHA256" ]; then
  echo "$found has sha256 $sum, and $CUDA_PROVIDER_SHA256 was expected" >&2
  exit 1
fi
