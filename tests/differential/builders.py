"""The builders that are compared. Each makes an OCI layout of an image from a context; each cleans up after itself."""
import json
import os
import pathlib
import shutil
import subprocess
import time


class Failed(Exception):
    """The build ended with an error (as some cases want)."""


def run(command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, **options)
    if done.returncode:
        raise Failed((done.stderr or done.stdout).strip())
    return done.stdout


class Watari:
    name = "watari"

    def __init__(self, server, work):
        self.server, self.work = server, work
        server.watari("base", "build", "busybox", "--from", "busybox")

    def copy_base(self, layout):
        self._copy("busybox:latest", layout)

    def _copy(self, reference, layout):
        port = self.server.url.rsplit(":", 1)[1]
        run(["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", f"docker://127.0.0.1:{port}/{reference}", f"oci:{layout}:base"])

    def build(self, case, context, layout):
        done = self.server.watari("build", "-q", "-t", f"diff-{case.name}", *case.options("watari"), context, check=False, **case.environment)
        if done.returncode:
            raise Failed(done.stderr.strip())
        self._copy(f"diff-{case.name}:latest", layout)

    def close(self):
        pass


class Buildah:
    """buildah in a private storage; vfs needs nothing of the host's file system."""
    name = "buildah"

    @staticmethod
    def missing():
        return None if shutil.which("buildah") else "buildah is not installed"

    def __init__(self, base, work):
        self.tool = ["buildah", "--root", work / "storage", "--runroot", work / "run", "--storage-driver", "vfs"]
        run([*self.tool, "pull", "-q", f"oci:{base}:base"])
        identity = json.loads(run([*self.tool, "images", "--json"]))[0]["id"]
        run([*self.tool, "tag", identity, "localhost/busybox"])

    def build(self, case, context, layout):
        run([*self.tool, "bud", "-q", "--isolation", "chroot", "--format", "docker", "--pull=never", "-t", "out",
             *case.options("buildah"), context], env=os.environ | case.environment)
        run([*self.tool, "push", "-q", "--format", "oci", "out", f"oci:{layout}:out"])

    def close(self):
        run([*self.tool, "rmi", "-af"])


class BuildKit:
    """A buildkitd of our own, when one is installed: what WATARI_BUILDKIT names, or the path. Needs runc."""
    name = "buildkit"

    @staticmethod
    def binaries():
        found = os.environ.get("WATARI_BUILDKIT")
        if found:
            return pathlib.Path(found) / "buildkitd", pathlib.Path(found) / "buildctl"
        return shutil.which("buildkitd"), shutil.which("buildctl")

    @classmethod
    def missing(cls):
        return None if all(cls.binaries()) else "buildkitd and buildctl are not installed (or WATARI_BUILDKIT does not name their directory)"

    def __init__(self, base, work):
        self.base, self.work = base, work
        self.daemon, self.client = self.binaries()
        self.socket = f"unix://{work}/socket"
        with open(work / "log", "wb") as log:
            self.process = subprocess.Popen([self.daemon, "--root", work / "root", "--addr", self.socket, "--oci-worker-binary=runc",
                                             "--oci-worker-net=host", "--containerd-worker=false"], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not (work / "socket").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.digest = json.loads((base / "index.json").read_text())["manifests"][0]["digest"]

    def build(self, case, context, layout):
        tar = self.work / "out.tar"
        dockerfile = case.dockerfile_path(context)
        run([self.client, "--addr", self.socket, "build", "--frontend", "dockerfile.v0", "--local", f"context={context}", "--local",
             f"dockerfile={dockerfile.parent}", "--opt", f"filename={dockerfile.name}", "--oci-layout", f"base={self.base}",
             "--opt", f"context:busybox=oci-layout://base@{self.digest}", "--output", f"type=oci,dest={tar}", *case.options("buildkit")],
            env=os.environ | case.environment)
        layout.mkdir()
        run(["tar", "-xf", tar, "-C", layout])

    def close(self):
        self.process.terminate()
        self.process.wait(30)
