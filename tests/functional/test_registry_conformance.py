"""The opencontainers/distribution-spec conformance suite against a real server.

Needs Go 1.24 and a Go module proxy; skipped without them. sha512 and tags as parameters of a push by digest, both optional, are tested too.
"""
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from server import Server  # noqa: E402

SUITE = "github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111"


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    if not shutil.which("go"):
        pytest.skip("go is not installed: the conformance suite of the registry API was not run")
    directory = tmp_path_factory.mktemp("conformance")
    built = subprocess.run(["go", "install", SUITE], env={**os.environ, "GOBIN": str(directory), "GOFLAGS": "-mod=mod"}, capture_output=True, text=True, timeout=300)
    if built.returncode != 0:
        pytest.skip(f"the conformance suite could not be built: {built.stderr[-300:]}")
    return directory / "conformance"


def test_the_registry_conforms(suite, tmp_path):
    with Server() as server:
        environment = {
            **os.environ, "OCI_REGISTRY": server.url.removeprefix("http://"), "OCI_TLS": "disabled", "OCI_RESULTS_DIR": str(tmp_path),
            "OCI_DATA_SHA512": "true", "OCI_API_MANIFESTS_TAG_PARAM": "true", "OCI_API_BLOBS_UPLOAD_CANCEL": "true", "OCI_API_BLOBS_DIGEST_HEADER": "true", "OCI_API_MANIFESTS_DIGEST_HEADER": "true",
        }
        done = subprocess.run([str(suite)], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    failed = [line for line in done.stdout.splitlines() if "FAIL" in line or "Error" in line]
    assert done.returncode == 0, "\n".join(failed[:40])
