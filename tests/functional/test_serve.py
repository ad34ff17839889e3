"""`watari serve` and the verbs around it: start, ready, locks, ports, stop, what is left behind."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from server import BIN, Server, processes_of  # noqa: E402
from servers import push_busybox  # noqa: E402


def watari(*arguments):
    return subprocess.run([BIN / "watari", *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_the_version_tells_the_commit():
    assert re.fullmatch(r"watari \d+\.\d+\.\d+ \(commit \w+\)\n", watari("--version").stdout)


def test_it_is_ready_when_it_says_so_and_tells_tools_where_it_is():
    with Server() as server:
        assert requests.get(server.url + "/healthz", timeout=5).json()["status"] == "ok"
        assert server.root.stat().st_mode & 0o777 == 0o700
        assert (server.root / "credentials").stat().st_mode & 0o777 == 0o600
        assert re.fullmatch(r"[0-9a-f]{8}\n", (server.root / "root-id").read_text())
        environment = json.loads(watari("env", "--root", server.root, "--json").stdout)
        assert environment["AWS_ENDPOINT_URL"] == server.url
        assert environment["AWS_REGION"] == "us-east-1"
        shell = f'eval "$({BIN}/watari env --root {server.root})" && echo $AWS_ENDPOINT_URL $AWS_SHARED_CREDENTIALS_FILE'
        assert subprocess.check_output(["sh", "-c", shell], text=True) == f"{server.url} {server.root}/credentials\n"


def test_a_root_serves_one_server_and_a_port_too():
    with Server() as server:
        same_root = watari("serve", "--root", server.root, "--listen", "127.0.0.1:0")
        assert same_root.returncode == 1
        assert f"is in use by another server (pid {server.process.pid})" in same_root.stderr
        same_port = watari("serve", "--root", server.directory / "other", "--listen", server.url.removeprefix("http://"))
        assert same_port.returncode == 1
        assert f"is taken by watari (pid {server.process.pid})" in same_port.stderr
        assert len(same_port.stderr.splitlines()) == 1


def test_servers_run_side_by_side():
    with Server() as one, Server() as two:
        one.client("ecs").create_cluster(clusterName="only-here")
        assert not any("only-here" in arn for arn in two.client("ecs").list_clusters()["clusterArns"])


def test_state_survives_kill_9():
    with Server() as server:
        server.client("ecs").create_cluster(clusterName="kept")
        server.kill()
        server.start()
        assert any("kept" in arn for arn in server.client("ecs").list_clusters()["clusterArns"])


def test_stop_waits_and_leaves_nothing_when_all_goes():
    with Server() as server:
        server.client("ec2").describe_vpcs()
        assert watari("stop", "--root", server.root, "--all").returncode == 0
        assert server.process.wait(5) == 0
        leaks = watari("doctor", "--leaks", "--root", server.root, "--json")
        assert leaks.returncode == 0, leaks.stdout
        assert json.loads(leaks.stdout)["found"] == []
        assert not (server.root / "endpoint").exists()
        missing = watari("status", "--root", server.root)
        assert missing.returncode == 1
        assert f"start it with `watari serve --root {server.root}`" in missing.stderr


def test_sigterm_is_a_clean_stop():
    with Server() as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0


def test_a_host_that_lacks_something_is_told_in_one_line(tmp_path):
    result = subprocess.run(["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", BIN / "watari", "serve", "--root", tmp_path / "root"],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1 and "root without NET_ADMIN: give this container" in result.stderr
    assert not (tmp_path / "root").exists()


def test_doctor_checks_every_line():
    report = json.loads(watari("doctor", "--json").stdout)
    assert {check["check"] for check in report["checks"]} >= {"rights", "cgroups", "runtime", "load balancer", "network"}
    assert all(check["ok"] or check["advice"] for check in report["checks"])


def test_wrong_usage_is_exit_code_2():
    for arguments in ([], ["nothing"], ["serve", "--nothing"], ["serve", "--listen", "here", "--root", "/tmp/watari-never"], ["param", "set"]):
        result = watari(*arguments)
        assert result.returncode == 2, (arguments, result)
        assert result.stderr


def test_copies_of_the_oci_runtime_stay_in_the_servers_own_directory_and_are_swept(tmp_path):
    with Server() as server:
        push_busybox(server, tmp_path)
        copies = pathlib.Path(f"/run/watari-{(server.root / 'root-id').read_text().strip()}/runtime")
        dead, fresh = copies / "crun.dead", copies / "crun.fresh"
        for copy in (dead, fresh):
            copy.touch()
        os.utime(dead, (0, 0))
        server.kill()
        server.start()
        assert not dead.exists() and fresh.exists(), "another runtime may still need a new one"
        ecs = server.client("ecs")
        ecs.register_task_definition(family="idle", containerDefinitions=[{"name": "app", "image": "busybox:1", "memory": 64, "command": ["sleep", "600"]}])
        subnets = [subnet["SubnetId"] for subnet in server.client("ec2").describe_subnets()["Subnets"]]
        (task,) = ecs.run_task(taskDefinition="idle", networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}})["tasks"]
        ecs.get_waiter("tasks_running").wait(tasks=[task["taskArn"]], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        (shim,) = processes_of(task["taskArn"].rsplit("/", 1)[1], "watari-shim")
        environment = pathlib.Path(f"/proc/{shim}/environ").read_text().split("\0")
        assert f"_LIBCONTAINER_STATEDIR={copies}" in environment, "what it starts copies itself there (crun's cloned_binary.c)"
    assert not copies.parent.exists()
