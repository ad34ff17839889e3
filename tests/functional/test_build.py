"""`watari build` and `watari base` against a real server, and the images they make in other tools."""
import io
import json
import os
import signal
import subprocess
import tarfile
import time

import pytest
from server import BIN, Server


@pytest.fixture(scope="module")
def server():
    if os.geteuid() != 0:
        pytest.skip("building needs root")
    with Server() as running:
        running.watari("base", "build", "busybox", "--from", "busybox")
        yield running


def write(directory, **files):
    for name, content in files.items():
        path = directory / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return directory


def dockerfile(directory, text):
    (directory / "Dockerfile").write_text(text)
    return directory


def test_builds_what_another_registry_client_can_read(server, tmp_path):
    dockerfile(tmp_path, "FROM busybox\nCOPY greeting /greeting\nRUN tr a-z A-Z < /greeting > /loud && rm /bin/vi\nENV A=b\nCMD [\"cat\", \"/loud\"]\n")
    (tmp_path / "greeting").write_text("hello\n")
    done = server.watari("build", "-t", "greeter:1", tmp_path)
    digest = done.stdout.split()[0]
    port = server.url.rsplit(":", 1)[1]
    inspected = json.loads(subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"docker://127.0.0.1:{port}/greeter:1"],
                                          capture_output=True, text=True, check=True).stdout)
    assert inspected["Digest"] == digest
    assert "A=b" in inspected["Env"]
    layout = tmp_path / "oci"
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", f"docker://127.0.0.1:{port}/greeter:1", f"dir:{layout}"], check=True)
    manifest = json.loads((layout / "manifest.json").read_text())
    top = manifest["layers"][-1]["digest"].removeprefix("sha256:")
    with tarfile.open(fileobj=io.BytesIO((layout / top).read_bytes())) as tar:
        assert tar.extractfile("loud").read() == b"HELLO\n"
        assert sorted(tar.getnames()) == ["bin", "bin/.wh.vi", "loud"]


def test_an_unchanged_build_gives_the_same_digest_and_explains_itself(server, tmp_path):
    dockerfile(tmp_path, "FROM busybox\nCOPY . /app\nRUN cat /app/a > /b\n")
    (tmp_path / "a").write_text("1")
    first = server.watari("build", tmp_path).stdout.split()[0]
    os.utime(tmp_path / "a", (1, 1))
    again = server.watari("build", "--explain", tmp_path).stdout
    assert first in again and again.count("CACHED") == 2
    (tmp_path / "a").write_text("2")
    changed = server.watari("build", "--explain", tmp_path).stdout
    assert first not in changed and "files changed: a" in changed


def test_dockerignore_keeps_files_at_home(server, tmp_path):
    dockerfile(tmp_path, "FROM busybox\nCOPY . /app\nRUN find /app | sort\n")
    (tmp_path / ".dockerignore").write_text("*\n!keep\nkeep/secret\n")
    write(tmp_path, keep__a="a", keep__secret="s", other="o")
    output = server.watari("build", "--no-cache", tmp_path).stderr
    assert "/app/keep/a" in output and "secret" not in output and "other" not in output


def test_a_failing_step_is_named_with_its_line_and_output(server, tmp_path):
    dockerfile(tmp_path, "FROM busybox\n\nRUN echo before; ls /nowhere\n")
    done = server.watari("build", "-t", "never:1", tmp_path, check=False)
    assert done.returncode == 1
    assert "Dockerfile:3: the command ended with exit code 1\n  3 | RUN echo before; ls /nowhere" in done.stderr
    assert "ls: /nowhere: No such file or directory" in done.stderr
    (tmp_path / "Dockerfile").write_text("FROM never:1\n")
    assert "no image never:1 here" in server.watari("build", tmp_path, check=False).stderr


def test_a_wrong_dockerfile_names_file_line_and_what_was_expected(server, tmp_path):
    (tmp_path / "build.Dockerfile").write_text("FROM busybox\nCOPPY a b\n")
    done = server.watari("build", "-f", "build.Dockerfile", tmp_path, check=False)
    assert done.returncode == 1
    assert "build.Dockerfile:2: unknown instruction COPPY; expected one of FROM, ARG" in done.stderr
    missing = server.watari("build", "-f", "nothing", tmp_path, check=False)
    assert "no nothing in" in missing.stderr


def test_arguments_targets_and_json(server, tmp_path):
    dockerfile(tmp_path, "ARG BASE=nowhere\nFROM ${BASE} AS one\nARG WHO=you\nRUN echo hello $WHO\nFROM nowhere\n")
    done = server.watari("build", "--json", "--target", "one", "--build-arg", "BASE=busybox", "--build-arg", "WHO=me", tmp_path)
    report = json.loads(done.stdout)
    assert report["status"] == "SUCCEEDED" and len(report["steps"]) == 3
    assert "nowhere" in server.watari("build", tmp_path, check=False).stderr


def test_ctrl_c_stops_the_build(server, tmp_path):
    dockerfile(tmp_path, "FROM busybox\nRUN echo started; sleep 987654\n")
    client = subprocess.Popen([BIN / "watari", "build", tmp_path], env=server.environment(), stderr=subprocess.PIPE, text=True)
    for line in client.stderr:
        if "#2 started" in line:
            break
    client.send_signal(signal.SIGINT)
    assert client.wait(30) == 1
    assert "the build was stopped" in client.stderr.read()
    assert not running("sleep 987654")


def running(command):
    """Processes with this command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read().replace(b"\0", b" ").strip().decode(errors="replace") == command:
                    found.append(int(pid))
        except OSError:
            pass
    return found


def test_a_killed_server_leaves_no_process_and_no_mount(tmp_path):
    with Server() as server:
        server.watari("base", "build", "busybox", "--from", "busybox")
        dockerfile(tmp_path, "FROM busybox\nRUN echo kept > /step\nRUN echo started; sleep 876543\n")
        client = subprocess.Popen([BIN / "watari", "build", "-t", "web", tmp_path], env=server.environment(), stderr=subprocess.PIPE, text=True)
        for line in client.stderr:
            if "#3 started" in line:
                break
        assert running("sleep 876543")
        server.kill()
        assert client.wait(60) == 1
        deadline = time.monotonic() + 5
        while running("sleep 876543") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not running("sleep 876543")
        assert str(server.root) not in open("/proc/self/mounts").read()
        server.start()
        assert not list((server.root / "builds" / "work").iterdir())
        dockerfile(tmp_path, "FROM busybox\nRUN echo kept > /step\nRUN true\n")
        assert "CACHED" in server.watari("build", "--explain", "-t", "web", tmp_path).stdout


def test_the_upload_is_refused_without_a_signature(server):
    import requests
    answer = requests.post(server.url + "/watari/contexts", data=b"x", timeout=10)
    assert answer.status_code == 403
    assert answer.json()["__type"] == "MissingAuthenticationToken"


def test_an_archive_that_leads_outside_is_refused(server):
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    import requests
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("../../escaped")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    request = AWSRequest("POST", server.url + "/watari/contexts")
    SigV4Auth(Credentials(*server.keys), "watari", server.region).add_auth(request)
    answer = requests.post(request.url, data=buffer.getvalue(), headers=dict(request.headers), timeout=10)
    assert answer.status_code == 400
    assert "escaped" in answer.json()["message"]
