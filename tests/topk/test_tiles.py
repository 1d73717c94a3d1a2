"""The compiled kernel gives the same bits on other processors: each kind of tile runs in a process of its own."""

import contextlib
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from llvmlite import binding

from recsys.config import PROJECT_ROOT
from recsys.topk import blocks, exact

FEATURES = binding.get_host_cpu_features()

# What is said to be missing numba does not use either. The vectors of AVX2 for bytes are the exception: their
# instruction is written differently where AVX-512 has it, so numba must know the processor as it is.
SCRIPT = """
import sys
from llvmlite import binding
features = binding.get_host_cpu_features()
if "avxvnni" in sys.argv:
    true_features = features.flatten()
    features.flatten = lambda: true_features
kinds = "avx2", "avx512f", "avx512bw", "avx512vnni", "avxvnni"
features.update({name: name in sys.argv for name in kinds})
binding.get_host_cpu_features = lambda: features
from recsys.topk import tiles
from tests.topk.test_tiles import digest
print(tiles.IN_BYTES, tiles.WIDTH, digest(None))
"""


def digest(path):
    """Of the lists of users and movies whose dimensions differ widely, which is hard on bytes."""
    rng = np.random.default_rng(9)
    users, movies = (
        (rng.normal(size=(n, 19)) * np.exp(rng.normal(size=(n, 1))) * np.exp(rng.normal(size=19))).astype(np.float32)
        for n in (301, 3_001)
    )
    seen = np.arange(0, 302 * 7, 7), rng.integers(0, 3_001, 301 * 7)
    found, scores = exact.top_k(users, exact.MovieFactors(movies, path), 12, *seen)
    return hashlib.sha256(found.tobytes() + scores.tobytes()).hexdigest()


KINDS = {  # what the processor is said to have, what it must have for that, and the tile that is then taken
    "none of these": ("", None, "False 16"),
    "AVX2": ("avx2", "avx2", "True 16"),
    "AVX-512": ("avx2 avx512f", "avx512f", "False 48"),
    "AVX-512 BW": ("avx2 avx512f avx512bw", "avx512bw", "True 48"),
    "AVX-VNNI": ("avx2 avxvnni", "avx512vnni", "True 16"),
    "AVX-512 VNNI": ("avx2 avx512f avx512bw avx512vnni", "avx512vnni", "True 48"),
}


# Each compiles for ten seconds and more. What is left out here shares its instructions with two of the others.
MANY = ("AVX-512", "AVX-VNNI", "AVX-512 VNNI")
PARAMETERS = [pytest.param(kind, marks=pytest.mark.slow if kind in MANY else ()) for kind in KINDS]


@pytest.fixture(scope="module")
def processes(tmp_path_factory, request):
    """All kinds that are asked about at once, as each spends most of its time on one core, compiling."""
    started, asked = {}, {item.callspec.params["kind"] for item in request.session.items if item.path == request.path}
    with contextlib.ExitStack() as stack:
        for kind, (has, needs, _) in KINDS.items():
            if kind in asked and (needs is None or FEATURES.get(needs)):
                # numba's cache does not ask for the kind, so each keeps its code apart.
                cache = {"NUMBA_CACHE_DIR": str(tmp_path_factory.mktemp("numba"))}
                environment = {**os.environ, **cache, "PYTHONPATH": str(PROJECT_ROOT)}
                command = [sys.executable, "-c", SCRIPT, *has.split()]
                process = subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE)
                started[kind] = stack.enter_context(process)
        yield started


@pytest.mark.parametrize("kind", PARAMETERS)
def test_every_kind_of_tile_gives_the_bits_of_the_path_without_compiler(kind, processes):
    if kind not in processes:
        pytest.skip(f"this processor has no {KINDS[kind][1]}")
    output, _ = processes[kind].communicate()
    assert processes[kind].returncode == 0
    assert output.decode().split() == [*KINDS[kind][2].split(), digest(blocks)]
