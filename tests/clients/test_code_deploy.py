"""Blue/green releases by ecspresso through CodeDeploy, on a server that has AWS's own names: every command, also `verify` to its end."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from application import Application  # noqa: E402
from ecr_name import EcrServer  # noqa: E402
from presso import Ecspresso  # noqa: E402

NAME = "bluegreen"


@pytest.fixture(scope="module")
def server():
    with EcrServer("--time-scale", "60") as running:
        yield running


@pytest.fixture(scope="module")
def application(server, tmp_path_factory):
    return Application(server, tmp_path_factory.mktemp("layout"), NAME, f"{server.registry}/{NAME}:1")


@pytest.fixture(scope="module")
def deploy(application):
    """CodeDeploy's application and group for the service, found by ecspresso by itself."""
    return application.make_deployment_group(NAME)


@pytest.fixture(scope="module")
def ecspresso(application, server, tmp_path_factory):
    made = Ecspresso(application, tmp_path_factory.mktemp("ecspresso"), NAME, server.named_here, deploymentController={"type": "CODE_DEPLOY"},
                     deploymentConfiguration={"maximumPercent": 200, "minimumHealthyPercent": 100})
    assert "Service is stable now. Completed!" in made("deploy")  # the service comes first: a group can only be made of one that exists
    return made


@pytest.fixture(scope="module")
def deployed(ecspresso, deploy):
    return ecspresso


def newest(deploy):
    return deploy.get_deployment(deploymentId=deploy.list_deployments()["deployments"][0])["deploymentInfo"]


def test_verify_reads_image_role_secret_and_log_group_as_the_execution_role(ecspresso):
    verified = ecspresso("verify")
    assert "success to assume role" in verified and "Verify OK!" in verified
    for name in ("ExecutionRole", "TaskRole", "Image", "Secret", "LogConfiguration", "LoadBalancer", "Cluster"):
        assert name in verified


def test_init_finds_the_deployment_group_and_nothing_differs(deployed, application, tmp_path):
    deployed.init(tmp_path)
    written = (tmp_path / "ecspresso.yml").read_text()
    assert f"AppECS-default-{NAME}" in written and f"DgpECS-default-{NAME}" in written
    assert deployed.difference(tmp_path) == "" and deployed.difference() == ""


def test_deploy_status_tasks_and_wait(deployed, deploy, application):
    out = deployed("deploy", RELEASE="2")
    assert "is created on CodeDeploy" in out and "Service is stable now. Completed!" in out
    assert application.served() == "2" and newest(deploy)["status"] == "Succeeded"
    status = deployed("status")
    assert "TaskSets:" in status and "PRIMARY" in status
    assert "RUNNING" in deployed("tasks")
    assert "No deployments found in progress" in deployed("wait")
    assert "TargetService" in deployed("appspec")


def test_scale_keeps_the_release(deployed, deploy, application):
    before = newest(deploy)["deploymentId"]
    deployed("scale", "--tasks", "2")
    assert application.service(NAME)["desiredCount"] == 2 and newest(deploy)["deploymentId"] == before
    deployed("scale", "--tasks", "1")


def test_rollback_goes_back_to_the_revision_before(deployed, deploy, application):
    assert "creating a new deployment" in deployed("rollback")
    assert application.served() == "1"


def test_rollback_stops_a_deployment_under_way(deployed, deploy, application):
    application.keep_blue(NAME, 60)
    deployed("deploy", "--no-wait", RELEASE="3")
    application.until_served("3")
    out = deployed("rollback")
    assert "Rollback deployment created: d-" in out and "was deregistered successfully" in out
    assert application.served() == "1"


def test_run_and_delete(deployed, application):
    out = deployed("run", "--skip-task-definition", "--overrides", '{"containerOverrides": [{"name": "app", "command": ["sh", "-c", "exit 5"]}]}', code=1)
    assert "exit code: 5" in out
    deployed("delete", "--force", "--terminate")
    assert application.service(NAME)["status"] in ("DRAINING", "INACTIVE")
