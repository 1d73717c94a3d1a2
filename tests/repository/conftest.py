"""A copy of what surrounds the package."""

import shutil

import pytest

from recsys.config import PROJECT_ROOT
from tests.repository.copies import program


@pytest.fixture
def clone(tmp_path):
    """A clone's Makefile and scripts in a folder whose name needs quotes; its Python only notes how it was called."""
    clone = tmp_path / 'my "clone" größer\'s'
    for name in ("scripts", ".ci"):
        shutil.copytree(PROJECT_ROOT / name, clone / name)
    shutil.copy(PROJECT_ROOT / "Makefile", clone)
    program(clone / ".venv/bin/python", 'echo "$RECSYS_STATE_DIR $*" >> calls')
    return clone
