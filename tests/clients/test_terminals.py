"""People in containers: `aws ecs execute-command`, `aws ssm start-session` and `ecspresso exec`, through AWS's own session-manager-plugin."""

import os
import pathlib
import pty
import select
import signal
import subprocess
import sys
import time

import botocore.exceptions
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import tools  # noqa: E402
from application import Application  # noqa: E402


@pytest.fixture(scope="module")
def application(server, tmp_path_factory):
    made = Application(server, tmp_path_factory.mktemp("layout"))
    made.create("web")
    return made


class Person:
    """Somebody at a terminal in which a program runs."""

    def __init__(self, argv, environment, cwd=None):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=cwd, start_new_session=True)
        os.close(slave)
        self.seen = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.master)

    def type(self, text):
        os.write(self.master, text.encode())

    def read_until(self, text, timeout=40):
        deadline = time.monotonic() + timeout
        while text not in self.seen:
            assert time.monotonic() < deadline, f"no {text!r} in {self.seen!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    assert text in self.seen, f"ended without {text!r}: {self.seen!r}"
        before, _, self.seen = self.seen.partition(text)
        return before

    def ends(self, timeout=40):
        deadline = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    pass
        return self.process.wait(1)


def environment(server, plugin):
    return server.environment(PATH=tools.path_with(plugin), TERM="xterm")


def aws(server, plugin, *arguments):
    return Person([sys.executable, "-m", "awscli", *arguments], environment(server, plugin))


def test_execute_command_is_a_shell_in_the_container(server, application):
    plugin = tools.session_manager_plugin()
    task = application.running_task("web")
    with aws(server, plugin, "ecs", "execute-command", "--task", task, "--container", "app", "--interactive", "--command", "/bin/sh") as person:
        person.read_until("# ")
        person.type("echo release-$RELEASE of $(cat /www/index.html)\r")
        person.read_until("release-1 of 1")
        person.type("tty; echo $TERM\r")
        person.read_until("/dev/pts/")
        person.type("yes 0123456789 | head -n 20000 | md5sum\r")  # the command's own
        person.read_until("  -")
        person.type("yes 0123456789 | head -n 20000; echo all-of-$((40+2))\r")  # the echo of what was typed has no 42
        lines = person.read_until("all-of-42").split("$((40+2))", 1)[1]
        assert lines.count("\n0123456789\r") == 20000, "output was lost or came twice"
        person.type("exit\r")
        person.read_until("Exiting session with sessionId")
        assert person.ends() == 0


def test_the_terminal_has_the_size_of_the_person_s(server, application):
    plugin = tools.session_manager_plugin()
    with aws(server, plugin, "ecs", "execute-command", "--task", application.running_task("web"), "--interactive", "--command", "/bin/sh") as person:
        import fcntl
        import struct
        import termios
        fcntl.ioctl(person.master, termios.TIOCSWINSZ, struct.pack("HHHH", 37, 111, 0, 0))
        person.read_until("# ")
        for _ in range(40):
            person.type("stty size\r")
            person.read_until("stty size")
            if "37 111" in person.read_until("# "):
                break
            time.sleep(0.2)
        else:
            pytest.fail("the size never arrived")
        person.type("exit\r")
        assert person.ends() == 0


def test_a_program_that_is_not_there_is_told(server, application):
    plugin = tools.session_manager_plugin()
    with aws(server, plugin, "ecs", "execute-command", "--task", application.running_task("web"), "--interactive", "--command", "/no/such --program") as person:
        person.read_until("`/no/such` not found")
        person.ends()


def test_a_command_is_hung_up_when_the_person_goes(server, application):
    plugin = tools.session_manager_plugin()
    task = application.running_task("web")
    with aws(server, plugin, "ecs", "execute-command", "--task", task, "--interactive", "--command", "sh -c 'echo ready; exec sleep 4711'") as person:
        person.read_until("ready")
    for _ in range(100):
        seen = server.watari("exec", "web", "sh", "-c", "ps | grep 'sleep 471[1]' | wc -l").stdout
        if seen.strip() == "0":
            return
        time.sleep(0.1)
    pytest.fail(f"the command outlived its person: {seen}")


def test_start_session_finds_the_container_by_its_runtime_id(server, application):
    plugin = tools.session_manager_plugin()
    task = application.ecs.describe_tasks(tasks=[application.running_task("web")])["tasks"][0]
    target = f"ecs:default_{task['taskArn'].rsplit('/', 1)[1]}_{task['containers'][0]['runtimeId']}"
    with aws(server, plugin, "ssm", "start-session", "--target", target) as person:
        person.read_until("# ")
        person.type("echo release-$RELEASE\r")
        person.read_until("release-1")
        person.type("exit\r")
        assert person.ends() == 0


def test_ecspresso_exec(server, application, tmp_path):
    plugin, ecspresso = tools.session_manager_plugin(), tools.ecspresso()
    (tmp_path / "ecspresso.yml").write_text(f"region: {server.region}\ncluster: default\nservice: web\nservice_definition: s.json\ntask_definition: t.json\n")
    with Person([str(ecspresso), "exec", "--command", "sh -c 'echo release-$RELEASE'"], environment(server, plugin), tmp_path) as person:
        person.read_until("release-1")
        person.read_until("Exiting session")


def test_the_token_is_needed_and_good_once(server, application):
    session = application.ecs.execute_command(task=application.running_task("web"), interactive=True, command="/bin/sh")["session"]
    assert session["streamUrl"].startswith(server.url.replace("http", "ws") + "/watari/sessions/")
    wrong = session | {"tokenValue": "0" * 64}
    plugin = tools.session_manager_plugin()
    import json
    with Person([str(plugin), json.dumps({"SessionId": wrong["sessionId"], "StreamUrl": wrong["streamUrl"], "TokenValue": wrong["tokenValue"]}),
                 server.region, "StartSession", "", '{"Target": "a task"}', server.url], environment(server, plugin)) as person:
        person.read_until("the token is not this session's")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        server.client("ssm").terminate_session(SessionId=session["sessionId"])
    assert error.value.response["Error"]["Code"] == "DoesNotExistException"


def test_only_a_task_that_allows_it_can_be_entered(server, application):
    application.create("closed", enableExecuteCommand=False, loadBalancers=[])
    task = application.running_task("closed")
    assert application.ecs.describe_tasks(tasks=[task])["tasks"][0]["enableExecuteCommand"] is False
    with pytest.raises(botocore.exceptions.ClientError) as error:
        application.ecs.execute_command(task=task, interactive=True, command="/bin/sh")
    assert "execute command was not enabled" in error.value.response["Error"]["Message"]
    with pytest.raises(botocore.exceptions.ClientError) as error:
        application.ecs.execute_command(task=application.running_task("web"), interactive=False, command="/bin/sh")
    assert error.value.response["Error"]["Code"] == "InvalidParameterException"


def test_watari_exec_it_is_a_shell_too_and_tells_the_exit_code(server, application):
    from server import BIN
    with Person([str(BIN / "watari"), "exec", "-it", "web"], server.environment(TERM="xterm")) as person:
        person.read_until("# ")
        person.type("echo release-$RELEASE\r")
        person.read_until("release-1")
        person.type("sh -c 'echo be''gun; sleep 100'\r")
        person.read_until("begun")
        person.type("\x03")
        person.read_until("# ")
        person.type("exit 7\r")
        assert person.ends() == 7


def test_watari_exec_takes_its_input_from_a_pipe(server, application):
    from server import BIN
    done = subprocess.run([BIN / "watari", "exec", "-i", "web", "sh", "-c", "read line; echo \"got '$line'\"; exit 3"], input="it's here\n", capture_output=True, text=True,
                          env=server.environment(), timeout=60)
    assert done.returncode == 3 and "got 'it's here'" in done.stdout
