"""Disks small enough to be filled in a test."""

import contextlib
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(path, size):
    """A file system of that size; skips where mounting is not allowed."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if answer.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {answer.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
