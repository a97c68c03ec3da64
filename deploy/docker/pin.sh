#!/bin/sh
# Prints the build arguments that name the base images by digest. Wants a Docker engine with network.
set -eu
for arg in NODE_IMAGE CUDA_IMAGE; do
  image=$(sed -n "s/^ARG $arg=//p" "$(dirname "$0")/Dockerfile")
  digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')
  echo "--build-arg $arg=$image@$digest"
done
