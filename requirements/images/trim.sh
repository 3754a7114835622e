#!/usr/bin/env bash
# trim.sh [cpu|cuda]: remove from /opt/venv what no stage reads, and compile the rest, since images are read-only.
set -euo pipefail
packages=/opt/venv/lib/python3.11/site-packages
cd "$packages"

find . -depth -type d \( -name tests -o -name test \) -not -path './torch/*' -not -path './ray/*' -exec rm -rf {} +
rm -rf pip
# AWS describes each of its services in a folder; the store is S3, with credentials of STS and SSO
[ ! -d botocore/data ] || find botocore/data -mindepth 1 -maxdepth 1 -type d \
  -not -name s3 -not -name sts -not -name sso -not -name sso-oidc -exec rm -rf {} +

if [ "${1:-}" = cpu ] && [ -d torch ]; then
  # compilers, headers, and CUDA libraries that are loaded when a GPU is used
  rm -rf triton torch/include torch/share nvidia/*/include nvidia/*/*/include
  rm -rf nvidia/cu13/lib/libcusolver* nvidia/cu13/lib/libnvrtc.alt* nvidia/cu13/lib/libnvrtc-builtins* nvidia/cu13/lib/libnvblas*
  find nvidia -name 'libcudnn_*' -delete
fi

python3.11 -m compileall -q -j 2 "$packages" > /dev/null || true   # a few packages ship files for other versions of Python
