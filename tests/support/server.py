"""A Watari server of a test's own: temporary root, free port, real clients."""

import contextlib
import functools
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import requests

REPO = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("WATARI_BIN", REPO / "build/release/bin"))
MAKING_CLIENTS = threading.Lock()


@functools.cache
def session_of(key, secret, region):
    """Reading the models of a service takes a session longer than anything else that it does."""
    return boto3.Session(key, secret, region_name=region)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def processes_of(owner, name):
    """Pids of processes called `name` whose command line or cgroup mentions `owner`: a server's root id, or a task's id."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if (entry / "comm").read_text().strip() == name and (owner in command or owner in (entry / "cgroup").read_text()):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


class Server:
    """`with Server() as server:` starts `watari serve`; leaving the block stops it and takes down all that it ran."""

    def __init__(self, *options, region="ap-northeast-1"):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="watari-test-"))
        self.root = self.directory / "root"
        self.options = options
        self.region = region
        self.process = None
        self.url = None
        self.log = self.directory / "serve.log"

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(self, *_):
        # A server that a test stopped or killed has left its tasks and load balancers running, as it should: only a server
        # on the same root can take them down.
        if self.process and self.process.poll() is not None and (self.root / "root-id").exists():
            with contextlib.suppress(AssertionError):
                self.start()
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR2)  # stop, and take tasks and load balancers down
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if os.environ.get("WATARI_TEST_KEEP"):
            print(f"kept {self.directory}", file=sys.stderr)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, timeout=30):
        port = self.url.rsplit(":", 1)[1] if self.url else "0"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [BIN / "watari", "serve", "--root", self.root, "--listen", f"127.0.0.1:{port}", *self.options],
                stdout=subprocess.PIPE, stderr=log, text=True)
        line = self._ready_line(timeout)
        self.url = line.removeprefix("watari ready on ").strip()
        assert line.startswith("watari ready on http"), f"no ready line but {line!r}; the log:\n{self.log_text()}"
        return self

    def _ready_line(self, timeout):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if select.select([self.process.stdout], [], [], 0.2)[0]:
                return self.process.stdout.readline()
            if self.process.poll() is not None:
                break
        return ""

    def kill(self):
        """kill -9 of the daemon."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """A clean stop that leaves tasks and load balancers running."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def restart(self):
        if self.process.poll() is None:
            self.stop()
        return self.start()

    def log_text(self):
        return self.log.read_text(errors="replace")

    def environment(self, **extra):
        """For the tools: what `watari env` exports, and nothing of the developer's own AWS settings."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        return clean | {"AWS_ENDPOINT_URL": self.url, "AWS_SHARED_CREDENTIALS_FILE": str(self.root / "credentials"),
                        "AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region, "AWS_CONFIG_FILE": "/dev/null",
                        "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": ""} | extra

    @property
    def keys(self):
        pairs = dict(line.split(" = ", 1) for line in (self.root / "credentials").read_text().splitlines() if " = " in line)
        return pairs["aws_access_key_id"], pairs["aws_secret_access_key"]

    def client(self, service, region=None, keys=None, **config):
        """A boto3 client. Retries are off, so that an error is seen as it is."""
        key, secret = keys or self.keys
        settings = botocore.config.Config(retries={"max_attempts": 1, "mode": "standard"}, **config)
        with MAKING_CLIENTS:
            return session_of(key, secret, region or self.region).client(service, endpoint_url=self.url, config=settings)

    def aws(self, *arguments, check=True, **environment):
        """Runs the aws-cli; gives its answer as JSON (None when it printed nothing), or the finished process when check is off."""
        done = subprocess.run([sys.executable, "-m", "awscli", *map(str, arguments), "--output", "json"], capture_output=True, text=True,
                              env=self.environment(**environment), timeout=120)
        if not check:
            return done
        assert done.returncode == 0, f"aws {' '.join(map(str, arguments))}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def watari(self, *arguments, check=True, timeout=300, **environment):
        """Runs our own CLI against this server."""
        done = subprocess.run([BIN / "watari", *map(str, arguments)], capture_output=True, text=True, env=self.environment(**environment),
                              timeout=timeout)
        assert not check or done.returncode == 0, f"watari {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}"
        return done

    def own(self, operation, **request):
        """An operation of our own service, which boto3 does not know; its answer."""
        wanted = botocore.awsrequest.AWSRequest("POST", self.url + "/", data=json.dumps(request), headers={
            "X-Amz-Target": f"Watari.{operation}", "Content-Type": "application/x-amz-json-1.1"})
        botocore.auth.SigV4Auth(botocore.credentials.Credentials(*self.keys), "watari", self.region).add_auth(wanted)
        answer = requests.post(wanted.url, data=wanted.data, headers=dict(wanted.headers), timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, body=b"", **headers):
        """A request as it is, unsigned."""
        return requests.post(self.url + "/", data=body, headers={k.replace("_", "-"): v for k, v in headers.items()}, timeout=30)
