#!/bin/sh
# Joins the parts of a bundle, installs its wheels into a folder of their own, and tries them; no network, no root.
#   sh unpack.sh BUNDLE TARGET [PYTHON]     PYTHON, by default python3, is the one that has torch
set -eu
bundle=$(cd "$1" && pwd)
mkdir -p "$2"
target=$(cd "$2" && pwd)
python=${3:-python3}

(cd "$bundle" && sha256sum --check --quiet SHA256SUMS)
cat "$bundle"/bundle.?? | tar -xf - -C "$target"
mkdir -p "$target/tree"
tar -xf "$target/tree.tar" -C "$target/tree"
rm "$target/tree.tar"
"$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile --no-cache-dir \
  --upgrade --target "$target/site" "$target"/wheels/*.whl
rm -r "$target/wheels"

# onnxruntime looks for CUDA's libraries beside itself; those of torch will do.
nvidia=$("$python" -c 'import importlib.util as u; s = u.find_spec("nvidia"); print(list(s.submodule_search_locations)[0] if s else "")')
if [ -n "$nvidia" ] && [ ! -e "$target/site/nvidia" ]; then
  ln -s "$nvidia" "$target/site/nvidia"
fi

PYTHONPATH="$target/site" "$python" -m mlmfast doctor || true
cat <<END

Unpacked. To run the tests (3 minutes) and the measurements (5 minutes):
  cd $target/tree && export PYTHONPATH=$target/site
  $python -m pytest -v -m gpu -p no:cacheprovider tests/gpu
  $python benches/gpu/run.py
MLMFAST_GPU_DRY_RUN=1 tries both on the CPU.
END
