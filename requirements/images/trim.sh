#!/usr/bin/env bash
# trim.sh [cpu|cuda]: remove from /opt/venv what no stage reads, list what is left, and compile it: images are read-only.
set -euo pipefail
packages=/opt/venv/lib/python3.11/site-packages
here=$(realpath "$(dirname "$0")")
cd "$packages"

find . -depth -type d \( -name tests -o -name test \) -not -path './torch/*' -not -path './ray/*' -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' \) -delete
rm -rf pip
# AWS describes each of its services in a folder; the store is S3, with credentials of STS and SSO
[ ! -d botocore/data ] || find botocore/data -mindepth 1 -maxdepth 1 -type d \
  -not -name s3 -not -name sts -not -name sso -not -name sso-oidc -exec rm -rf {} +

# Codecs of PNG, WebP and TIFF, and the libraries that they need; siad/vision/formats imports no other
codecs='_shared _shared_cython _imcd _png _webp _deflate _zlib _zstd'
if [ -d imagecodecs ]; then
  for module in imagecodecs/*.so; do
    name=$(basename "${module%%.*}")
    [[ " $codecs " == *" $name "* ]] || rm "$module"
  done
  needed=$(ldd imagecodecs/*.so | grep -o 'imagecodecs\.libs/[^ ]*' | sort -u)
  for library in imagecodecs.libs/*; do
    [[ $needed == *"$library"* ]] || rm "$library"
  done
fi

# OpenVINO runs ONNX graphs on CPUs: no other device, no other format
rm -f openvino/libs/libopenvino_intel_{gpu,npu}_* openvino/libs/cache.json
rm -f openvino/libs/libopenvino_{tensorflow,tensorflow_lite,pytorch,paddle,jax,gguf}_frontend*

if [ "${1:-}" = cpu ] && [ -d torch ]; then
  # compilers, headers, and CUDA libraries that are loaded when a GPU is used
  rm -rf triton torch/include torch/share nvidia/*/include nvidia/*/*/include
  rm -rf nvidia/cu13/lib/libcusolver* nvidia/cu13/lib/libnvrtc.alt* nvidia/cu13/lib/libnvrtc-builtins* nvidia/cu13/lib/libnvblas*
  find nvidia -name 'libcudnn_*' -delete
fi

python3.11 "$here/sbom.py" "$packages" > /opt/venv/sbom.cdx.json
python3.11 -m compileall -q -j 2 "$packages" > /dev/null || true   # a few packages ship files for other versions of Python
