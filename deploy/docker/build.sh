#!/bin/sh
# Compiles everything to dist.
set -eu
node scripts/prepare.mjs
test -f dist/coordinator/main.js && test -f dist/gpu-node/main.js && test -f dist/gpu-node/fetch-checkpoint.js
