#!/bin/sh
# Leaves what runs: no compiler, no test tool.
set -eu
npm prune --omit=dev --ignore-scripts --no-audit --no-fund --no-progress
