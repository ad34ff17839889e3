"""The directories of RUN --mount=type=cache: when they are collected, and what a kill and a power cut leave of them."""
import os
import pathlib
import random
import sys
import threading
import time

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parents[1] / "support")]

from server import Server  # noqa: E402
from test_image_crash import kill_during, prune  # noqa: E402

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED: building needs root")


@pytest.fixture
def server():
    with Server() as server:
        server.watari("base", "build", "busybox", "--from", "busybox")
        yield server


def run(server, directory, *commands, check=True):
    """One RUN for each (cache id, command); returns what the steps printed."""
    directory.mkdir(exist_ok=True)
    (directory / "Dockerfile").write_text("FROM busybox\n" + "".join(f"RUN --mount=type=cache,id={name},target=/c {command}\n" for name, command in commands))
    return server.watari("build", "--no-cache", directory, check=check).stderr


def caches(server):
    return {path.read_text(): path.with_suffix("") for path in (server.root / "images/cache-mounts").glob("*.id")}


def wait_until(true):
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def age(server, name, days):
    then = time.time() - days * 24 * 3600
    os.utime(str(caches(server)[name]) + ".id", (then, then))


def test_a_cache_goes_when_nobody_has_used_it_for_so_long(server, tmp_path):
    run(server, tmp_path / "a", ("old", "echo 1 > /c/file"), ("used", "echo 2 > /c/file"))
    age(server, "old", 9)
    age(server, "used", 9)
    run(server, tmp_path / "b", ("used", "cat /c/file"))  # counts as use
    told = server.watari("images", "prune", "--older-than", "24", "--dry-run").stdout
    assert "cache old of RUN" in told and "cache used" not in told and set(caches(server)) == {"old", "used"}
    told = server.watari("images", "prune", "--older-than", "24").stdout
    assert "cache old of RUN" in told and "1 caches of RUN steps" in told and set(caches(server)) == {"used"}
    assert "found 2" in run(server, tmp_path / "c", ("used", "echo found $(cat /c/file)"))
    assert "empty 0" in run(server, tmp_path / "d", ("old", "echo empty $(ls /c | wc -l)"))


def test_caches_that_take_too_much_go_by_last_use(server, tmp_path):
    big = "dd if=/dev/zero of=/c/file bs=1M count=3"
    run(server, tmp_path / "a", ("first", big), ("second", big), ("third", big))
    for name, days in (("first", 1), ("second", 3), ("third", 2)):
        age(server, name, days)
    prune = lambda *more: server.watari("images", "prune", "--older-than", "240", *more).stdout  # noqa: E731
    assert "0 caches of RUN" in prune("--caches-max", "10m")
    told = prune("--caches-max", "7m", "--dry-run")
    assert "cache second of RUN" in told and "1 caches of RUN" in told and set(caches(server)) == {"first", "second", "third"}
    prune("--caches-max", "7m")
    assert set(caches(server)) == {"first", "third"}
    run(server, tmp_path / "b", ("third", "dd if=/dev/zero of=/c/more bs=1M count=3"))  # grows, and counts as used
    prune("--caches-max", "7m")
    assert set(caches(server)) == {"third"}
    refused = server.watari("images", "prune", "--caches-max", "some", check=False)
    assert refused.returncode != 0 and "--caches-max some: expected for example 512m or 2g" in refused.stderr


def test_the_server_holds_the_limit_of_caches_by_itself(tmp_path):
    with Server("--build-caches-max", "1", "--images-unused", "0", "--images-min-free", "0") as server:
        server.watari("base", "build", "busybox", "--from", "busybox")
        run(server, tmp_path / "a", ("large", "echo 1 > /c/file"), ("small", "echo 2 > /c/file"))
        limit = os.statvfs(server.root).f_blocks * os.statvfs(server.root).f_frsize // 100
        with open(caches(server)["large"] / "file", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, limit + (64 << 20))
        age(server, "large", 1)
        server.restart()  # prunes when it starts
        wait_until(lambda: set(caches(server)) == {"small"})


def test_a_cache_stays_under_a_step_that_uses_it(server, tmp_path):
    build = threading.Thread(target=lambda: run(server, tmp_path / "a", ("busy", "sh -c 'touch /c/here; until [ -e /c/go ]; do sleep 0.05; done; touch /c/done'")))
    build.start()
    wait_until(lambda: "busy" in caches(server) and (caches(server)["busy"] / "here").exists())
    age(server, "busy", 9)
    assert server.own("PruneImages", graceSeconds=0)["cacheMounts"] == []
    (caches(server)["busy"] / "go").touch()
    build.join(60)
    assert (caches(server)["busy"] / "done").exists()
    assert server.own("PruneImages", graceSeconds=0)["cacheMounts"] == ["busy"] and not caches(server)


@pytest.mark.parametrize("seed", [1, 2])
def test_collecting_caches_survives_kills(server, tmp_path, seed):
    chance = random.Random(seed)
    for turn in range(3):
        run(server, tmp_path / f"{turn}", (f"big{turn}", "sh -c 'for i in $(seq 2000); do : > /c/$i; done'"), ("kept", "echo kept > /c/file"))
        age(server, f"big{turn}", 9)
        kill_during(server, lambda: server.own("PruneImages", graceSeconds=24 * 3600), chance.uniform(0, 0.05))
        # The server prunes by itself when it starts, too: in the end nothing is left of what was half done.
        wait_until(lambda: not list((server.root / "builds/work").iterdir()) and set(caches(server)) == {"kept"})
        wait_until(lambda: {path.name.split(".")[0] for path in (server.root / "images/cache-mounts").iterdir()} == {caches(server)["kept"].name})
        assert (caches(server)["kept"] / "file").read_text() == "kept\n"


def test_what_was_not_flushed_is_removed_after_a_power_cut(server, tmp_path):
    run(server, tmp_path / "a", ("flushed", "echo 1 > /c/file"))
    server.own("PruneImages", graceSeconds=24 * 3600)  # as every ten minutes: flushes
    run(server, tmp_path / "b", ("torn", "echo 2 > /c/file"))
    run(server, tmp_path / "c", ("killed", "echo 3 > /c/file"))
    server.kill()
    notes = server.root / "images/cache-mounts.unflushed"
    assert {path.name for path in notes.iterdir()} == {caches(server)[name].name for name in ("torn", "killed")}
    server.start()
    assert set(caches(server)) == {"flushed", "torn", "killed"}  # the machine did not stop
    server.kill()
    (notes / caches(server)["torn"].name).write_text("another start of the machine")
    (caches(server)["torn"] / "file").write_bytes(b"\0")
    server.start()
    assert set(caches(server)) == {"flushed", "killed"}
    assert "the build cache torn was not on the disk yet" in server.log_text()
    server.restart()  # a clean stop flushes
    assert not list(notes.iterdir())
    assert "empty 0" in run(server, tmp_path / "d", ("torn", "echo empty $(ls /c | wc -l)"))
