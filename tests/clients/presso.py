"""ecspresso in a directory with its configuration."""

import json
import subprocess

import tools


class Ecspresso:
    """`presso("deploy", RELEASE="2")` runs `ecspresso deploy` there; `run` starts it (Server.named: where AWS's names mean the server)."""

    def __init__(self, application, directory, service, run=None, **service_definition):
        self.application, self.directory, self.service = application, directory, service
        self.program, self.run, self.definition = tools.ecspresso(), run or self._run, service_definition
        (directory / "ecspresso.yml").write_text(f"region: {application.server.region}\ncluster: default\nservice: {service}\n"
                                                 "service_definition: service.json\ntask_definition: task.json\ntimeout: 2m0s\n")
        self.write_service()
        (directory / "task.json").write_text(json.dumps(application.task_definition("{{ env `RELEASE` `1` }}")))

    def write_service(self, **more):
        definition = {"tags": [{"key": "team", "value": "a"}]} | self.definition | more
        (self.directory / "service.json").write_text(json.dumps(self.application.service_definition(**definition)))

    def _run(self, command, **environment):
        return subprocess.run(command, cwd=self.directory, env=self.application.server.environment(**environment), capture_output=True, text=True,
                              timeout=200, stdin=subprocess.DEVNULL)

    def __call__(self, *arguments, code=0, **environment):
        done = self.run([self.program, "--config", self.directory / "ecspresso.yml", *arguments], **environment)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def init(self, directory):
        """`ecspresso init`: the service's configuration, written into another directory."""
        done = self.run([self.program, "init", "--service", self.service, "--config", directory / "ecspresso.yml", "--task-definition-path", directory / "task.json",
                         "--service-definition-path", directory / "service.json"])
        assert done.returncode == 0, done.stdout + done.stderr

    def difference(self, directory=None):
        """What `ecspresso diff` prints by the configuration there, without its colours."""
        done = self.run([self.program, "--config", (directory or self.directory) / "ecspresso.yml", "diff"])
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()
