"""`watari build` and `watari base` against a real server, and the images they make in other tools."""
import functools
import hashlib
import http.server
import io
import json
import os
import pathlib
import re
import random
import shutil
import signal
import socket
import stat
import subprocess
import tarfile
import threading
import time

from server import BIN, Server, free_port
from servers import building_server as server  # noqa: F401


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
    assert "build.Dockerfile:2: unknown instruction COPPY (did you mean COPY?); expected one of FROM, ARG" in done.stderr
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
        deadline = time.monotonic() + 20
        while not running("sleep 876543"):  # the shell starts it after it has said so
            assert time.monotonic() < deadline
            time.sleep(0.01)
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


def test_secrets_reach_the_step_and_nothing_else(server, tmp_path):
    secret = "correct-horse-battery"
    (tmp_path / "token").write_text(secret + "\n")
    dockerfile(tmp_path, "FROM busybox\nRUN --mount=type=secret,id=token,required --mount=type=secret,id=other,env=OTHER "
                         "cat /run/secrets/token && echo $OTHER && wc -c < /run/secrets/token > /size\n")
    (tmp_path / ".dockerignore").write_text("token\n")
    done = server.watari("build", "-t", "secretive", "--secret", f"id=token,src={tmp_path}/token", "--secret", "id=other,env=THE_OTHER", tmp_path,
                         THE_OTHER="staple-in-the-environment")
    assert "***" in done.stderr and secret not in done.stderr and "staple" not in done.stderr
    for directory, _, files in os.walk(server.root):
        for name in files:
            path = pathlib.Path(directory, name)
            content = path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else b""
            assert secret.encode() not in content and b"staple-in-the-environment" not in content, name
    # Another value of it is no other step.
    (tmp_path / "token").write_text("something else")
    again = server.watari("build", "--explain", "--secret", f"id=token,src={tmp_path}/token", "--secret", "id=other,env=HOME", tmp_path).stdout
    assert "CACHED" in again
    assert "the secret token is required; give it with --secret id=token" in server.watari("build", "--no-cache", tmp_path, check=False).stderr


def test_ssh_agents_are_reachable_from_steps_that_ask(server, tmp_path):
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(str(tmp_path / "agent"))
    agent.listen()

    def answer():
        while True:
            try:
                connection, _ = agent.accept()
            except OSError:
                return
            connection.close()
    answering = threading.Thread(target=answer)
    answering.start()
    # busybox has no client for unix sockets; that the socket is there, and whose, must do.
    dockerfile(tmp_path, "FROM busybox\nRUN --mount=type=ssh,uid=5,mode=0640 test -S $SSH_AUTH_SOCK && stat -c %u:%a $SSH_AUTH_SOCK\n"
                         "RUN test -z \"$SSH_AUTH_SOCK\" && test ! -e /run/buildkit\n")
    try:
        done = server.watari("build", "--no-cache", "--ssh", f"default={tmp_path}/agent", tmp_path)
        assert "5:640" in done.stderr
        assert "no socket of an ssh agent" in server.watari("build", "--ssh", f"default={tmp_path}/Dockerfile", tmp_path, check=False).stderr
    finally:
        # close() alone leaves the thread in accept(), and an accept() that the kernel begins anew takes the next socket with that number.
        agent.shutdown(socket.SHUT_RDWR)
        answering.join()
        agent.close()


def test_add_fetches_files_and_repositories(server, tmp_path):
    site = tmp_path / "site"
    (site / "work").mkdir(parents=True)
    (site / "file.txt").write_text("fetched\n")
    git = ["git", "-C", site / "work", "-c", "user.name=a", "-c", "user.email=a@b.test"]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    (site / "work/docs").mkdir()
    (site / "work/docs/page").write_text("in the repository\n")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    port = free_port()
    daemon = subprocess.Popen(["git", "daemon", f"--port={port}", "--listen=127.0.0.1", f"--base-path={site}", "--export-all", "--reuseaddr", site],
                              stderr=subprocess.DEVNULL, start_new_session=True)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        deadline = time.monotonic() + 10
        while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < deadline:
            time.sleep(0.05)
        url, context = f"http://127.0.0.1:{web.server_port}/file.txt", tmp_path / "context"
        context.mkdir()
        digest = hashlib.sha256(b"fetched\n").hexdigest()
        dockerfile(context, f"FROM busybox\nADD --checksum=sha256:{digest} {url} /f/\nADD --chmod=644 {url} /g\n"
                            f"ADD --checksum={commit} git://127.0.0.1:{port}/work#main:docs /docs\nRUN ls -l /f/file.txt /g /docs && cat /f/file.txt /docs/page\n")
        output = server.watari("build", context).stderr
        assert "fetched" in output and "in the repository" in output and "-rw-------" in output
        # Queries, submodules, and a commit that is no branch's end.
        library = ["git", "-C", site / "library", *git[3:]]
        (site / "library").mkdir()
        (site / "library/code").write_text("of the library\n")
        for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "one"]):
            subprocess.run([*library, *words], check=True)
        subprocess.run([*git, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../library", "sub"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "two"], check=True)
        subprocess.run([*git, "tag", "v2"], check=True)
        remote = f"git://127.0.0.1:{port}/work"
        dockerfile(context, f"FROM busybox\nADD {remote}?tag=v2 /a\nADD {remote}?branch=main&subdir=docs /b\nADD {remote}?ref=main&submodules=false&keep-git-dir=true /c\n"
                            f"ADD {remote}?commit={commit}#{commit} /d\nRUN cat /a/sub/code /b/page && ls -d /c/.git && ls /c/sub /d && ! ls -d /a/.git /a/sub/.git /d/sub\n")
        output = server.watari("build", context).stderr
        assert "of the library" in output and "in the repository" in output and "/c/.git" in output
        for query, problem in (("?commit=0000000", "expected 0000000"), ("?branch=", "branch has no value"), ("?branch=a&tag=b", "tag says something else"), ("?brunch=a", "brunch is not known")):
            dockerfile(context, f"FROM busybox\nADD {remote}{query} /a\n")
            assert problem in server.watari("build", context, check=False).stderr
        dockerfile(context, f"FROM busybox\nADD --checksum=sha256:{'0' * 64} {url} /f\n")
        assert f"has the checksum sha256:{digest}, expected sha256:000" in server.watari("build", context, check=False).stderr
        dockerfile(context, f"FROM busybox\nADD {url}/missing /f\n")
        assert "the server answered 404" in server.watari("build", context, check=False).stderr
    finally:
        web.shutdown()
        os.killpg(daemon.pid, signal.SIGTERM)
        daemon.wait()


def test_check_tells_what_is_likely_wrong_and_builds_nothing(server, tmp_path):
    dockerfile(tmp_path, "FROM busybox AS Base\nENV A b\nRUN echo ran\nCMD run $UNSET\n")
    done = server.watari("build", "--check", tmp_path, check=False)
    assert done.returncode == 1 and "ran" not in done.stderr
    assert "Dockerfile:1: StageNameCasing: Stage name 'Base' should be lowercase\n  1 | FROM busybox AS Base" in done.stderr
    assert "LegacyKeyValueFormat" in done.stderr and "JSONArgsRecommended" in done.stderr and "3 warnings found" in done.stderr
    dockerfile(tmp_path, "# check=error=true\nFROM busybox\nENV A b\n")
    assert "`# check=error=true` makes them errors" in server.watari("build", tmp_path, check=False).stderr
    dockerfile(tmp_path, "FROM busybox\nENV A=b\n")
    assert "no warnings found" in server.watari("build", "--check", tmp_path).stdout


def test_named_contexts_are_directories_or_images(server, tmp_path):
    (tmp_path / "context").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("from the other\n")
    dockerfile(tmp_path / "context", "FROM base\nCOPY --from=lib file /f\nRUN --mount=from=lib,target=/lib cat /f /lib/file\n")
    done = server.watari("build", "--build-context", f"lib={tmp_path}/other", "--build-context", "base=docker-image://busybox", tmp_path / "context")
    assert done.stderr.count("from the other") == 2
    dockerfile(tmp_path / "context", "FROM lib\nCOPY Dockerfile /d\n")
    server.watari("build", "--build-context", f"lib={tmp_path}/other", tmp_path / "context")


def test_the_same_context_gives_the_same_digest_with_a_source_date(server, tmp_path):
    dockerfile(tmp_path, "FROM busybox\nWORKDIR /app\nCOPY . .\nRUN echo made > made && mkdir -p /var/x\nCOPY <<EOF /text\nhere\nEOF\n")
    digests = set()
    for _ in range(2):
        digests.add(server.watari("build", "--no-cache", tmp_path, SOURCE_DATE_EPOCH="1700000000").stdout.split()[0])
        time.sleep(1.1)
    assert len(digests) == 1


def test_limits_hold_and_say_so(server, tmp_path):
    dockerfile(tmp_path, "FROM busybox\nRUN tail /dev/zero\n")
    done = server.watari("build", "--memory", "32m", tmp_path, check=False)
    assert "more than the 32 MiB of memory that the build may use" in done.stderr
    dockerfile(tmp_path, "FROM busybox\nRUN sleep 100\n")
    assert "it ran longer than 1 s" in server.watari("build", "--timeout", "1", tmp_path, check=False).stderr
    identity = (server.root / "root-id").read_text().strip()
    leftovers = [path for path in pathlib.Path("/sys/fs/cgroup").glob(f"*/watari-{identity}-build-*")]
    assert not leftovers


def test_a_build_has_no_more_cores_than_it_was_given(server, tmp_path):
    dockerfile(tmp_path, "FROM busybox\nRUN sleep 100\n")
    identity = (server.root / "root-id").read_text().strip()
    build = subprocess.Popen([BIN / "watari", "build", "--cpus", "0.5", tmp_path], env=server.environment(), stderr=subprocess.DEVNULL)

    def share():
        for group in pathlib.Path("/sys/fs/cgroup").rglob(f"watari-{identity}-build-*"):
            for quota, period in (("cpu.cfs_quota_us", "cpu.cfs_period_us"), ("cpu.max", "cpu.max")):
                if (group / quota).exists() and (group / "cgroup.procs").read_text():
                    return int((group / quota).read_text().split()[0]) / int((group / period).read_text().split()[-1])
        return None

    try:
        deadline = time.monotonic() + 30
        while (found := share()) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert found == 0.5
    finally:
        build.send_signal(signal.SIGINT)
        assert build.wait(30) != 0


def test_a_dockerfile_may_lie_outside_or_come_from_standard_input(server, tmp_path):
    (tmp_path / "context").mkdir()
    (tmp_path / "elsewhere").write_text("FROM busybox\nRUN echo from elsewhere\n")
    assert "from elsewhere" in server.watari("build", "--no-cache", "-f", tmp_path / "elsewhere", tmp_path / "context").stderr
    piped = subprocess.run([BIN / "watari", "build", "--no-cache", "-f", "-", tmp_path / "context"], input="FROM busybox\nRUN echo from the pipe\n", env=server.environment(),
                           capture_output=True, text=True, check=True)
    assert "from the pipe" in piped.stderr


def test_builds_survive_kills_at_any_point(tmp_path):
    """kill -9 of the daemon at random points of builds: whatever was done by then, the store is whole and the build goes through."""
    random.seed(7)
    steps = "".join(f"RUN mkdir -p /d{i} && head -c 200000 /dev/urandom > /d{i}/f && rm -rf /d{i - 1}\nCOPY files /files{i}\n" for i in range(6))
    write(tmp_path / "files", a="a", b="b")
    dockerfile(tmp_path, f"FROM busybox AS one\n{steps}FROM busybox\nCOPY --from=one /files5 /all\nRUN find /all > /list\n")
    with Server() as server:
        server.watari("base", "build", "busybox", "--from", "busybox")
        for _ in range(8):
            client = subprocess.Popen([BIN / "watari", "build", "-q", "-t", "killed", "--no-cache", tmp_path], env=server.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(random.uniform(0.02, 1.2))
            server.kill()
            client.wait(60)
            server.start()
            assert not list((server.root / "builds/work").iterdir())
            assert not list((server.root / "images/tmp").iterdir())
            check_store(server, tmp_path)
        assert "sha256:" in server.watari("build", "-t", "killed", tmp_path).stdout
        check_store(server, tmp_path)


def check_store(server, tmp_path):
    """Every tagged image can be read to its last byte, and every byte is what its digest says (skopeo checks)."""
    port = server.url.rsplit(":", 1)[1]
    images = ["busybox:latest"] + ["killed:latest"] * ("killed" in server.watari("images").stdout)
    for image in images:
        target = tmp_path / "checked"
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", f"docker://127.0.0.1:{port}/{image}", f"dir:{target}"], check=True)


def reasons(server, *words):
    """The WHY of each step by its instruction."""
    done = server.watari("build", "--json", "-t", "why", *words)
    return {step["instruction"]: step.get("reason", "") for step in json.loads(done.stdout)["steps"]}


def test_explains_every_hit_and_miss(server, tmp_path):
    copy, run = "COPY src /src", "RUN echo $WHO > /who"
    text = f"FROM why-base\nARG WHO=you\n{run}\n{copy}\nENV A=b\nCMD [\"x\"]\n"
    (tmp_path / "base").mkdir()
    base = lambda word: server.watari("build", "-t", "why-base", dockerfile(tmp_path / "base", f"FROM busybox\nRUN echo {word} > /base\n"))  # noqa: E731
    base("one")
    context = tmp_path / "context"
    (context / "src").mkdir(parents=True)
    (context / "src/a").write_text("a")
    dockerfile(context, text)
    assert reasons(server, context)[run] == "not built here before"
    hit = reasons(server, context)
    assert hit[run] == hit[copy] == "same instruction, same layers below, same inputs"
    assert hit["ENV A=b"] == hit['CMD ["x"]'] == "changes the configuration only" and hit["FROM why-base"].startswith("sha256:")
    (context / "src/a").write_text("b")
    (context / "src/new").write_text("n")
    assert reasons(server, context)[copy] == "files changed: a; new: new"
    why = reasons(server, "--build-arg", "WHO=me", context)
    assert why[run] == "environment changed: WHO"
    assert why[copy] == f"the layer of `{run}` above it is another"
    dockerfile(context, text.replace("echo $WHO", "echo hello $WHO"))
    assert reasons(server, context)["RUN echo hello $WHO > /who"] == f"the instruction is another: it was `{run}`"
    base("two")
    why = reasons(server, context)["RUN echo hello $WHO > /who"]
    assert why.startswith("the base why-base is another: it was sha256:")
    assert reasons(server, "--no-cache", context)[copy] == "the cache is not to be used"
    for layer in (server.root / "images/layers").iterdir():
        if (layer / "fs/src/new").exists():
            shutil.rmtree(layer)
            (server.root / "images/blobs/sha256" / layer.name).unlink(missing_ok=True)  # a young layer can be made again from its tar
    assert reasons(server, context)[copy] == "pruned: its layer is not in the store any more"


def test_cache_mounts_travel_to_another_server(server, tmp_path):
    text = "FROM busybox\nRUN --mount=type=cache,id=deps,target=/deps echo {} >> /deps/log; ln -sf log /deps/link; cat /deps/log; readlink /deps/link\n"
    (tmp_path / "context").mkdir()
    server.watari("build", dockerfile(tmp_path / "context", text.format("first")))
    archive = tmp_path / "caches.tar"
    server.watari("images", "cache", "export", archive)
    with Server() as other:
        other.watari("base", "build", "busybox", "--from", "busybox")
        assert "deps" in other.watari("images", "cache", "import", archive).stdout.split()
        assert "first\n#2 second\n#2 log" in other.watari("build", dockerfile(tmp_path / "context", text.format("second"))).stderr
        # A cache that is there is replaced; what is no such archive changes nothing.
        assert "deps" in other.watari("images", "cache", "import", archive).stdout.split()
        for bad in ({"../escape": b"x"}, {"deps/log": b"x"}, {"0" * 32 + "/f": b"x"}):
            with tarfile.open(tmp_path / "bad.tar", "w") as tar:
                for name, content in bad.items():
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
            assert other.watari("images", "cache", "import", tmp_path / "bad.tar", check=False).returncode == 1
        assert "first\n#2 third\n" in other.watari("build", dockerfile(tmp_path / "context", text.format("third"))).stderr
        assert not [each for each in (other.root / "images/cache-mounts").iterdir() if each.name.startswith(".")]


def test_a_step_may_do_no_more_than_a_container(server, tmp_path):
    """RUN steps have no user namespace (docs/dockerfile.md says why): what holds them are capabilities, seccomp and what is mounted."""
    (tmp_path / "try.sh").write_text("""
grep -E '^(CapEff|CapBnd|Seccomp):' /proc/self/status
refused() { if "$@" 2>/dev/null; then echo "ALLOWED $*"; else echo "refused $1"; fi; }
refused mknod /tmp/disk b 8 0
refused mount -t tmpfs tmpfs /mnt
refused ip link add dummy9 type dummy
refused ip addr add 127.9.9.9/8 dev lo
refused sh -c ': >> /proc/sys/kernel/panic'
refused sh -c ': >> /proc/sysrq-trigger'
refused sh -c ': >> /sys/kernel/profiling'
refused unshare -m true
refused hostname elsewhere
echo devices: $(find /dev -type b) $(ls /dev | sort)
echo processes: $(ls /proc | grep -c '^[0-9]')
echo cgroups: $(ls /sys/fs/cgroup)
""")
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY try.sh /\nRUN sh /try.sh\n")
    out = server.watari("build", "--no-cache", tmp_path).stderr
    assert "ALLOWED" not in out and out.count("refused ") == 9
    held = {name: int(value, 16) for name, value in re.findall(r"(CapEff|CapBnd|Seccomp):\s+([0-9a-f]+)", out)}
    allowed = sum(1 << number for number in (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 29, 31))  # Docker's, without CAP_MKNOD
    assert held["CapEff"] == held["CapBnd"] and held["CapBnd"] & ~allowed == 0 and held["Seccomp"] == 2
    devices = re.search(r"devices: (.*)", out)[1].split()
    assert set(devices) <= {"console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"}
    assert int(re.search(r"processes: (\d+)", out)[1]) < 6 and re.search(r"cgroups: *$", out, re.M)
