"""Writes recordings/ecspresso.json: what ecspresso sends, command by command, and what the answers gave it to go on with.

    .tools/python/bin/python tests/clients/record.py        # needs ecspresso (tools.py)

test_ecspresso_calls.py plays it again by boto3, so that these calls stay tested where ecspresso is not installed.
"""

import http.server
import json
import pathlib
import re
import sys
import tempfile
import threading
import urllib.parse

import requests

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "support"))

from application import Application  # noqa: E402
from ecr_name import EcrServer  # noqa: E402
from presso import Ecspresso  # noqa: E402

FILE = HERE / "recordings/ecspresso.json"
CLIENTS = {"elasticloadbalancing": "elbv2"}  # boto3's names where they are not the signature's

# What a call that reads was waiting for: its last answer, in these respects (JMESPath).
AWAITED = {
    "DescribeServices": ["services[0].status", "length(services[0].deployments || `[]`)", "services[0].desiredCount == services[0].runningCount",
                         "length(services[0].taskSets || `[]`)"],
    "DescribeTasks": ["tasks[0].lastStatus", "tasks[0].containers[0].exitCode"],
    "GetDeployment": ["deploymentInfo.status", "deploymentInfo.rollbackInfo.rollbackDeploymentId != null"],
    "GetDeploymentTarget": ["deploymentTarget.ecsTarget.status"],
}

# Names that the server makes up: ids of tasks and deployments, hashes of what holds such names, tokens of pages. All else comes out the same when it is sent again.
GIVEN = re.compile(r"(^|/)([0-9a-f]{32}|[0-9a-f]{64}|d-[A-Z]{9}|[fb]/\d+.*)$")


class Recorder(http.server.ThreadingHTTPServer):
    """Stands between a client and the server, and keeps what goes through. The signature is over the Host header, which stays."""

    def __init__(self, url):
        super().__init__(("127.0.0.1", 0), Between)
        self.target, self.calls = url, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Between(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = requests.post(self.server.target + self.path, data=body, headers=dict(self.headers), timeout=60)
        self.server.calls.append(call_of(self.headers, body, answer))
        self.send_response(answer.status_code)
        for name in ("Content-Type", "x-amzn-RequestId", "X-Amzn-ErrorType"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_):
        pass


def call_of(headers, body, answer):
    service = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", headers["Authorization"])[1]
    if "X-Amz-Target" in headers:
        operation, given = headers["X-Amz-Target"].split(".")[1], json.loads(body)
        told = answer.json() if answer.content else {}
    else:
        given, told = query_of(body.decode()), {}
        operation = given.pop("Action")
    call = {"service": CLIENTS.get(service, service), "operation": operation, "input": given, "answer": told}
    if answer.status_code != 200:
        call["error"] = told.get("__type", str(answer.status_code)).split("#")[-1]
    return call


def query_of(body):
    """Of the Query protocol: "TargetGroupArns.member.1=…" -> {"TargetGroupArns": ["…"]}."""
    out = {}
    for name, value in urllib.parse.parse_qsl(body):
        if listed := re.fullmatch(r"(\w+)\.member\.\d+", name):
            out.setdefault(listed[1], []).append(value)
        elif name != "Version":
            out[name] = value
    return out


def strings_in(value, path=""):
    if isinstance(value, dict):
        for name, member in value.items():
            yield from strings_in(member, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from strings_in(member, f"{path}[{index}]")
    elif isinstance(value, str):
        yield path, value


def condense(calls):
    """Repeated calls become one that waits; of the answers stays what later calls are made of."""
    import jmespath
    out = []
    for call in calls:
        if out and all(call[member] == out[-1][member] for member in ("service", "operation", "input")):
            out.pop()
        # The progress that is shown meanwhile, by another thread, is told apart from the wait by nothing but its moment.
        between = out[-1]["operation"] if out else ""
        if len(out) > 1 and call["operation"] in AWAITED and between.startswith(("Describe", "Get")) and all(call[member] == out[-2][member] for member in ("service", "operation", "input")):
            del out[-2]
        out.append(call)
    for index, call in enumerate(out):
        later = json.dumps([other["input"] for other in out[index + 1:]])
        answer = call.pop("answer")
        seen = {what: jmespath.search(what, answer) for what in AWAITED.get(call["operation"], [])}
        until = {what: value for what, value in seen.items() if value is not False}  # not stable: a moment, nothing to wait for
        gives = {path: name_of(value) for path, value in strings_in(answer) if GIVEN.search(value) and name_of(value) in later}
        call |= {member: value for member, value in (("until", until), ("gives", gives)) if value and "error" not in call}
    return out


def name_of(arn):
    return arn.rsplit("/", 1)[-1]  # of a task: its id, which is part of the names of log streams, too


def environment_of(application):
    """What a recording depends on besides its own answers: name -> value here."""
    return {"target-group": application.target_group, "security-group": application.group} | {f"subnet-{i}": subnet for i, subnet in enumerate(application.subnets)}


class Story:
    def __init__(self, server, name, **service):
        self.server, self.name = server, name
        with tempfile.TemporaryDirectory() as layout:
            self.application = Application(server, layout, name, f"{server.registry}/{name}:1")
        self.recorder = Recorder(server.url)
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=server.directory))
        self.presso = Ecspresso(self.application, self.directory, name, self.run, **service)
        self.calls = self.recorder.calls

    def run(self, command, **environment):
        return self.server.named_here(command, AWS_ENDPOINT_URL=self.recorder.url, **environment)

    def __call__(self, *arguments, code=0, **environment):
        self.calls.append({"service": "ecspresso", "operation": arguments[0], "input": arguments[1:], "answer": {}})
        print(self.name, arguments, flush=True)
        return self.presso(*arguments, code=code, **environment)

    def note(self, what, *arguments):
        """Something that Application does; what follows depends on it."""
        self.calls.append({"service": "application", "operation": what, "input": arguments, "answer": {}})
        getattr(self.application, what)(*arguments)

    def written(self):
        return {"environment": environment_of(self.application), "calls": condense(self.calls)}


def overrides(code):
    return json.dumps({"containerOverrides": [{"name": "app", "command": ["sh", "-c", f"echo hello; sleep 4; exit {code}"]}]})


def verify(story):
    """With the caller's own session, so that all of it goes through here: a task definition without an execution role."""
    path = story.directory / "task.json"
    before = path.read_text()
    path.write_text(json.dumps({name: value for name, value in json.loads(before).items() if name != "executionRoleArn"}))
    story("verify")
    path.write_text(before)


def rolling(server):
    story = Story(server, "rolling")
    story("deploy")
    story("diff", RELEASE="2")
    story("deploy", RELEASE="2")
    verify(story)
    for command in ("status", "tasks", "revisions", "wait"):
        story(command)
    story.presso.write_service(tags=[{"key": "team", "value": "b"}, {"key": "more", "value": "c"}], enableExecuteCommand=False)
    story("deploy", "--skip-task-definition")
    story.presso.write_service()
    story("deploy", "--skip-task-definition", "--force-new-deployment")
    story("rollback")
    story("scale", "--tasks", "2")
    story("run", "--overrides", overrides(3), code=1)
    story("register", RELEASE="9")
    story("delete", "--force", "--terminate")
    return story.written()


def code_deploy(server):
    name = "bluegreen"
    story = Story(server, name, deploymentController={"type": "CODE_DEPLOY"}, deploymentConfiguration={"maximumPercent": 200, "minimumHealthyPercent": 100})
    story("deploy")
    story.note("make_deployment_group", name)
    story("deploy", RELEASE="2")
    for command in ("diff", "status", "wait"):
        story(command)
    story("scale", "--tasks", "2")
    story("rollback")
    story.note("keep_blue", name, 60)
    story("deploy", "--no-wait", "--rollback-events", "DEPLOYMENT_FAILURE", RELEASE="3")
    story.note("until_served", "3")
    story("rollback")
    story("delete", "--force", "--terminate")
    return story.written()


def write(recorded):
    """One call a line."""
    parts = []
    for name, story in recorded.items():
        calls = ",\n".join(json.dumps(call, sort_keys=True) for call in story["calls"])
        parts.append(f"{json.dumps(name)}: {{\"environment\": {json.dumps(story['environment'])}, \"calls\": [\n{calls}\n]}}")
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    with EcrServer("--time-scale", "60") as made:
        write({"rolling": rolling(made), "code_deploy": code_deploy(made)})
