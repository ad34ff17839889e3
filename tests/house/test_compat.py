"""The compatibility page says what operations.txt says."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_compatibility_page_is_up_to_date():
    done = subprocess.run([sys.executable, ROOT / "scripts/gen_compat.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
