#!/bin/sh
# What package-lock.json names, with no install script of anybody.
set -eu
npm ci --ignore-scripts --no-audit --no-fund --no-progress
