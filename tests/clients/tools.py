"""Where the tests find the tools that teams deploy with: unmodified, as their authors release them.

They are kept in ~/.cache/watari-tests (WATARI_TEST_TOOLS names another place), so that a run does not build them again. What cannot be
had here is skipped, with what to do about it.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HOME = pathlib.Path(os.environ.get("WATARI_TEST_TOOLS", pathlib.Path.home() / ".cache/watari-tests"))

# The plugin's repository has no go.mod: its dependencies are pinned here, to versions that it was released with or that it builds with.
PLUGIN = "github.com/aws/session-manager-plugin"
PLUGIN_MODULE = f"""module watari-tests
go 1.24
require (
	{PLUGIN} v0.0.0-20260401221635-b79d06c1d3a2
	github.com/aws/aws-sdk-go-v2 v1.47.7
	github.com/aws/aws-sdk-go-v2/config v1.33.14
	github.com/aws/aws-sdk-go-v2/service/kms v1.62.3
	github.com/aws/aws-sdk-go-v2/service/ssm v1.81.3
	github.com/twinj/uuid v0.0.0-20151029044442-89173bcdda19
)
"""


def _installed(name):
    """On PATH, or in our cache."""
    found = shutil.which(name) or shutil.which(name, path=str(HOME / "bin"))
    return pathlib.Path(found) if found else None


def ecspresso():
    """ecspresso v2. It is not built here: put a release of it on PATH or into ~/.cache/watari-tests/bin."""
    found = _installed("ecspresso")
    if not found:
        pytest.skip(f"ecspresso is neither on PATH nor in {HOME / 'bin'}: its tests were not run; put a release of version 2 there")
    return found


def session_manager_plugin():
    """AWS's session-manager-plugin: of the system, else built from its Go module, once."""
    found = _installed("session-manager-plugin")
    if found:
        return found
    if not shutil.which("go"):
        pytest.skip("neither session-manager-plugin nor Go is installed: terminals by aws-cli and ecspresso were not tested")
    work = HOME / ("build-" + hashlib.sha256(PLUGIN_MODULE.encode()).hexdigest()[:12])
    work.mkdir(parents=True, exist_ok=True)
    (work / "go.mod").write_text(PLUGIN_MODULE)
    (HOME / "bin").mkdir(exist_ok=True)
    target = HOME / "bin" / "session-manager-plugin"
    fresh = work / "session-manager-plugin"
    built = subprocess.run(["go", "build", "-mod=mod", "-o", fresh, f"{PLUGIN}/src/sessionmanagerplugin-main"], cwd=work, capture_output=True, text=True, timeout=900)
    if built.returncode != 0:
        pytest.skip(f"session-manager-plugin could not be built (is there a Go module proxy?): {built.stderr[-400:]}")
    os.replace(fresh, target)
    return target


def path_with(*tools):
    """PATH on which these tools, and aws of the test environment, are found first."""
    return os.pathsep.join([*{str(tool.parent) for tool in tools}, str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
