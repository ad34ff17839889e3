"""Terraform with HashiCorp's AWS provider: what it makes is what it finds again, also after releases that it did not make."""

import glob
import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest
import requests
from server import free_port
from services import quick_server as server  # noqa: F401
from busybox_image import make_layout, push

CONFIGURATION = pathlib.Path(__file__).parent / "terraform/main.tf"


def mirror():
    """A folder of providers, as `terraform providers mirror` makes it."""
    for folder in (os.path.expanduser("~/.terraform.d/plugins"), "/usr/local/share/terraform/plugins", "/opt/tf-plugins"):
        if glob.glob(f"{folder}/*/hashicorp/aws/*"):
            return folder
    return None


@pytest.fixture(scope="module")
def terraform(server, tmp_path_factory):
    if not shutil.which("terraform") or not mirror():
        pytest.skip("SKIPPED: there is no terraform command, or no mirror of its AWS provider (terraform providers mirror)")
    directory = tmp_path_factory.mktemp("terraform")
    shutil.copy(CONFIGURATION, directory)
    (directory / "terraformrc").write_text(f'provider_installation {{ filesystem_mirror {{ path = "{mirror()}" }} }}\n')
    port = free_port()
    push(make_layout(str(directory / "layout")), int(server.url.rsplit(":", 1)[1]), "web:1")
    environment = server.environment(TF_CLI_CONFIG_FILE=str(directory / "terraformrc"), TF_IN_AUTOMATION="1", CHECKPOINT_DISABLE="1", TF_VAR_port=str(port))

    def run(*words, codes=(0,), **variables):
        done = subprocess.run(["terraform", *words, "-no-color"], cwd=directory, env=environment | {f"TF_VAR_{name}": str(value) for name, value in variables.items()},
                              capture_output=True, text=True, timeout=600)
        assert done.returncode in codes, f"terraform {' '.join(words)}: {done.stdout}{done.stderr}"
        return done

    run.port = port
    run("init", "-input=false")
    run("apply", "-auto-approve", "-input=false")
    yield run


def served(terraform):
    """What the load balancer answers, once a target is healthy: a steady service has the tasks that it wants, whose health checks may still be under way."""
    deadline = time.monotonic() + 60
    while True:
        answer = requests.get(f"http://127.0.0.1:{terraform.port}/", timeout=10)
        if answer.status_code != 503 or time.monotonic() > deadline:
            return answer.text
        time.sleep(0.2)


def assert_no_changes(terraform, **variables):
    plan = terraform("plan", "-detailed-exitcode", "-input=false", codes=(0, 2), **variables)
    assert plan.returncode == 0, plan.stdout


def test_what_it_made_serves_and_is_found_again(terraform):
    assert served(terraform) == "1\n"
    assert_no_changes(terraform)


def test_a_release_of_codedeploy_is_no_drift(terraform, server):
    ecs, deploy = server.client("ecs"), server.client("codedeploy")
    definition = ecs.describe_task_definition(taskDefinition="shop")["taskDefinition"]
    container = definition["containerDefinitions"][0]
    container["command"][2] = container["command"][2].replace("echo 1", "echo 2")
    second = ecs.register_task_definition(**{name: definition[name] for name in ("family", "networkMode", "requiresCompatibilities", "cpu", "memory", "executionRoleArn")},
                                          containerDefinitions=[container])["taskDefinition"]["taskDefinitionArn"]
    spec = {"version": 0.0, "Resources": [{"TargetService": {"Type": "AWS::ECS::Service", "Properties": {
        "TaskDefinition": second, "LoadBalancerInfo": {"ContainerName": "app", "ContainerPort": 8000}}}}]}
    made = deploy.create_deployment(applicationName="shop", deploymentGroupName="shop",
                                    revision={"revisionType": "AppSpecContent", "appSpecContent": {"content": json.dumps(spec)}})
    deploy.get_waiter("deployment_successful").wait(deploymentId=made["deploymentId"], WaiterConfig={"Delay": 1, "MaxAttempts": 90})
    assert served(terraform) == "2\n"
    assert_no_changes(terraform)


def test_a_change_is_made_in_place_and_everything_can_be_destroyed(terraform, server):
    ecs = server.client("ecs")
    created = ecs.describe_services(cluster="shop", services=["shop"])["services"][0]["createdAt"]
    terraform("apply", "-auto-approve", "-input=false", tasks=2)
    service = ecs.describe_services(cluster="shop", services=["shop"])["services"][0]
    assert (service["runningCount"], service["createdAt"]) == (2, created)
    assert_no_changes(terraform, tasks=2)
    terraform("destroy", "-auto-approve", "-input=false")
    assert not server.client("elbv2").describe_load_balancers()["LoadBalancers"]
    assert [vpc["IsDefault"] for vpc in server.client("ec2").describe_vpcs()["Vpcs"]] == [True]
