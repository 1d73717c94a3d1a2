"""Programs that only note how they were called, and commands run in a folder where they stand in for the real ones."""

import os
import subprocess
from pathlib import Path


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess:
    env = {name: value for name, value in os.environ.items() if name not in {"RECSYS_STATE_DIR", "MAKEFLAGS"}}
    return subprocess.run(command, cwd=folder, env=env | variables, capture_output=True, text=True, check=False)
