"""Services with several target groups: every strategy waits for all of them, moves all of them, and takes all of them back."""

import contextlib
import pathlib
import sys

import pytest
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from load import Load  # noqa: E402
from services import Application, Balanced, newest, register, until, wait, wait_for_deployment  # noqa: E402
from services import quick_server as server  # noqa: E402, F401

PORTS = {"portMappings": [{"containerPort": 8080}, {"containerPort": 9090}]}


def two(version, admin="index.html"):
    """A shop on 8080 and its administration on 9090."""
    return (f"mkdir -p /tmp/www /tmp/admin && echo {version} > /tmp/www/index.html && echo {version} admin > /tmp/admin/{admin} && "
            "httpd -p 9090 -h /tmp/admin && exec httpd -f -p 8080 -h /tmp/www")


def served(*places):
    return [requests.get(place.url, timeout=5).text for place in places]


@contextlib.contextmanager
def under_load(*places):
    loads = [Load(place.url, rate=20, workers=4).start() for place in places]
    yield
    for load in loads:
        result = load.stop()
        assert result["failed"] == 0 and result["requests"] > 0, result


@pytest.mark.parametrize("strategy", ["ROLLING", "BLUE_GREEN"])
def test_all_target_groups_of_a_service_follow_its_deployments(server, network, strategy):
    ecs, name = server.client("ecs"), "two-" + strategy.lower().replace("_", "-")
    shifts = strategy != "ROLLING"
    shop, admin = Balanced(server, name), Balanced(server, name + "-adm", 9090)
    ecs.create_service(
        serviceName=name, taskDefinition=register(ecs, name, two("v1"), **PORTS), desiredCount=1, networkConfiguration=network,
        loadBalancers=shop.load_balancers(shifts) + admin.load_balancers(shifts), deploymentConfiguration={
            "strategy": strategy, "bakeTimeInMinutes": 0, "deploymentCircuitBreaker": {
                "enable": True, "rollback": True, "thresholdConfiguration": {"type": "COUNT", "value": 1}}})
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
    assert served(shop, admin) == ["v1\n", "v1 admin\n"]
    with under_load(shop, admin):
        ecs.update_service(service=name, taskDefinition=register(ecs, name, two("v2"), **PORTS))
        assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
        assert served(shop, admin) == ["v2\n", "v2 admin\n"]
        groups = {entry["targetGroupArn"] for entry in ecs.describe_services(services=[name])["services"][0]["loadBalancers"]}
        assert groups == {place.groups[1 if shifts else 0] for place in (shop, admin)}
        # A revision whose second port is not well never gets traffic at the first.
        ecs.update_service(service=name, taskDefinition=register(ecs, name, two("v3", admin="nothing-here"), **PORTS))
        failed = wait_for_deployment(ecs, name)
        assert failed["status"] == "ROLLBACK_SUCCESSFUL" and "port 9090" in failed["statusReason"], failed
        assert served(shop, admin) == ["v2\n", "v2 admin\n"]
        if shifts:  # stopped with all traffic on the new side: both return
            ecs.update_service(service=name, taskDefinition=register(ecs, name, two("v4"), **PORTS), deploymentConfiguration={"bakeTimeInMinutes": 1440})
            until(lambda: newest(ecs, name)["lifecycleStage"] == "BAKE_TIME", 90)
            assert served(shop, admin) == ["v4\n", "v4 admin\n"]
            ecs.stop_service_deployment(serviceDeploymentArn=newest(ecs, name)["serviceDeploymentArn"], stopType="ROLLBACK")
            assert wait_for_deployment(ecs, name)["status"] == "ROLLBACK_SUCCESSFUL"
            assert served(shop, admin) == ["v2\n", "v2 admin\n"]
            assert shop.weights() == {shop.groups[0]: 0, shop.groups[1]: 100} and admin.weights() == {admin.groups[0]: 0, admin.groups[1]: 100}
    ecs.delete_service(service=name, force=True)
    wait(ecs, "services_inactive", services=[name])


def test_codedeploy_shifts_several_pairs_together(server):
    admin = Balanced(server, "pairs-adm", 9090)
    app = Application(server, "pairs", count=1, command=two, others=[admin])
    with under_load(app.balanced, admin):
        deployment = app.create("v2", deploymentConfigName="CodeDeployDefault.ECSCanary10Percent5Minutes")
        app.until(lambda: app.balanced.weights()[app.balanced.groups[1]] == 10)
        app.until(lambda: admin.weights()[admin.groups[1]] == 10)
        assert app.until_over(deployment) == "Succeeded"
        assert served(app.balanced, admin) == ["v2\n", "v2 admin\n"]
        with app.waiting(termination=2880):
            deployment = app.create("v3")
            app.until(lambda: served(app.balanced, admin) == ["v3\n", "v3 admin\n"])
            app.deploy.stop_deployment(deploymentId=deployment, autoRollbackEnabled=True)
            assert app.until_over(app.info(deployment)["rollbackInfo"]["rollbackDeploymentId"]) == "Succeeded"
        assert served(app.balanced, admin) == ["v2\n", "v2 admin\n"]
    app.remove()
