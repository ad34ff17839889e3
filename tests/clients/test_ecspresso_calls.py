"""The calls of ecspresso, recorded (record.py) and sent again by boto3: what it needs stays tested where it is not installed.

A recording is played on a server of its own. Names that the server makes up are taken from the new answers; a call that waited for
something is repeated until the answer says what it said then.
"""

import json
import pathlib
import sys
import time

import botocore.exceptions
import jmespath
import pytest
from botocore import xform_name

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from application import Application  # noqa: E402
from record import FILE, GIVEN, environment_of, name_of  # noqa: E402
from server import Server  # noqa: E402

REGISTRY = "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com"
NAMES = {"rolling": "rolling", "code_deploy": "bluegreen"}


class Replay:
    def __init__(self, application, recorded):
        self.application = application
        now = environment_of(application)
        self.names = {value: now[name] for name, value in recorded["environment"].items()}
        self.clients = {}

    def client(self, service):
        if service not in self.clients:
            self.clients[service] = self.application.server.client(service)
        return self.clients[service]

    def translated(self, given):
        text = json.dumps(given)
        for then, now in self.names.items():
            text = text.replace(then, now)
        given = json.loads(text)
        for event in given.get("logEvents", []) if isinstance(given, dict) else []:
            event["timestamp"] = int(time.time() * 1000)  # a log takes no events of last year
        return given

    def play(self, call):
        if call["service"] == "application":
            getattr(self.application, call["operation"])(*call["input"])
            return
        send = getattr(self.client(call["service"]), xform_name(call["operation"]))
        given = self.translated(call["input"])
        if "error" in call:
            with pytest.raises(botocore.exceptions.ClientError) as error:
                send(**given)
            assert error.value.response["Error"]["Code"] == call["error"]
            return
        deadline = time.monotonic() + 60
        while (left := self.ask(call, send, given)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not left, f"{call['operation']}({given}): {left}"

    def ask(self, call, send, given):
        """Sends it; what is missing from the answer."""
        try:
            answer = send(**given)
        except botocore.exceptions.ClientError as error:
            # Asked too soon, which the tool takes as an answer, too: the task has no line in its log yet, the deployment is queued.
            if call["operation"] in ("GetLogEvents", "GetDeploymentTarget"):
                return str(error)
            raise
        left = self.missing(call, answer)
        return f"{left} of {answer}" if left else None

    def missing(self, call, answer):
        """What the recorded answer had and this one has not; learns the new names."""
        left = [what for what, value in call.get("until", {}).items() if jmespath.search(what, answer) != value]
        for path, then in call.get("gives", {}).items():
            now = jmespath.search(path, answer)
            if now and GIVEN.search(now):
                self.names[then] = name_of(now)
            else:
                left.append(path)
        return left


@pytest.mark.parametrize("story", ["rolling", "code_deploy"])
def test_what_ecspresso_sends_is_answered_as_it_needs(story, tmp_path):
    recorded = json.loads(FILE.read_text())[story]
    with Server("--time-scale", "60") as server:
        application = Application(server, tmp_path, NAMES[story], f"{REGISTRY}/{NAMES[story]}:1")
        replay = Replay(application, recorded)
        commands = []
        for call in recorded["calls"]:
            if call["service"] == "ecspresso":
                commands.append(call["operation"])
            else:
                replay.play(call)
        assert commands.count("deploy") >= 2 and "rollback" in commands and commands[-1] == "delete"
