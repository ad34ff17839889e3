"""The short version of tests/faults/releases.py: releases of every strategy under load, with faults drawn from a seed."""

import os
import random
import sys

from server import REPO

sys.path.insert(0, str(REPO / "tests/faults"))

import releases  # noqa: E402


def test_releases_with_faults_fail_no_request_and_converge():
    seed = int(os.environ.get("WATARI_SEED", random.randrange(1 << 30)))
    result = releases.run(12, seed, rate=25)
    assert result["errors"] == [] and result["failed"] == 0, result
    assert result["releases"] == 12 and result["requests"] > 500, result
