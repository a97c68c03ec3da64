#!/bin/sh
# Prints what packages run in an image, as CycloneDX: names, versions, hashes and licences.
# With --package-lock-only: as package-lock.json has them, for every platform.
set -eu
npm sbom --sbom-format cyclonedx --sbom-type application --omit dev "$@"
