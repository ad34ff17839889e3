"""Releases behind a network load balancer: connections instead of requests, and a listener where an application load balancer has a rule."""

import json
import pathlib
import socket
import sys
import threading

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from server import free_port  # noqa: E402
from services import Balanced, newest, register, wait, wait_for_deployment  # noqa: E402
from services import quick_server as server  # noqa: E402, F401

PORTS = {"portMappings": [{"containerPort": 8080}]}


def echo(version):
    """Says its version, then whatever it is told."""
    return f"exec nc -ll -p 8080 -e sh -c 'echo {version}; exec cat'"


class Network(Balanced):
    """A network load balancer with two target groups; its listener's only action forwards to the first."""

    def __init__(self, server, name):
        self.elb, self.port, self.name, self.container_port = server.client("elbv2", parameter_validation=False), free_port(), name, 8080
        ec2 = server.client("ec2")
        vpc, subnets = ec2.describe_vpcs()["Vpcs"][0]["VpcId"], [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
        self.groups = [self.elb.create_target_group(
            Name=f"{name}-{color}", Protocol="TCP", Port=8080, VpcId=vpc, TargetType="ip", HealthyThresholdCount=2, HealthCheckIntervalSeconds=1,
            HealthCheckTimeoutSeconds=1)["TargetGroups"][0]["TargetGroupArn"] for color in ("blue", "green")]
        self.balancer = self.elb.create_load_balancer(Name=name, Type="network", Subnets=subnets)["LoadBalancers"][0]
        self.listener = self.elb.create_listener(
            LoadBalancerArn=self.balancer["LoadBalancerArn"], Protocol="TCP", Port=self.port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.groups[0]}])["Listeners"][0]["ListenerArn"]
        self.rule = self.listener

    def connect(self):
        client = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        return client, client.makefile("rb").readline().decode().strip()

    def serving(self):
        found = set()
        for _ in range(20):
            client, version = self.connect()
            client.close()
            found.add(version)
        return found


class Connections:
    """Opens connections all the time, and counts those that were not answered."""

    def __init__(self, balanced):
        self.balanced, self.made, self.failed, self.over = balanced, 0, [], threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self):
        while not self.over.wait(0.02):
            try:
                client, version = self.balanced.connect()
                client.close()
                assert version
                self.made += 1
            except (OSError, AssertionError) as error:
                self.failed.append(repr(error))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


@pytest.mark.parametrize("strategy", ["ROLLING", "BLUE_GREEN", "CANARY"])
def test_a_release_behind_a_network_load_balancer_fails_no_connection(server, ecs, network, strategy):
    name = "net-" + strategy.lower().replace("_", "-")
    balanced = Network(server, name)
    configuration = {"strategy": strategy} | ({"canaryConfiguration": {"canaryPercent": 50, "canaryBakeTimeInMinutes": 1}} if strategy == "CANARY" else {})
    ecs.create_service(serviceName=name, taskDefinition=register(ecs, name, echo("v1"), **PORTS), desiredCount=2, networkConfiguration=network,
                       loadBalancers=balanced.load_balancers(strategy != "ROLLING"), deploymentConfiguration=configuration)
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL", newest(ecs, name)
    assert balanced.serving() == {"v1"}
    if strategy != "ROLLING":
        entry = ecs.describe_services(services=[name])["services"][0]["loadBalancers"][0]
        assert entry["advancedConfiguration"]["productionListenerRule"] == balanced.listener, "as it was given"
    with Connections(balanced) as load:
        ecs.update_service(service=name, taskDefinition=register(ecs, name, echo("v2"), **PORTS))
        assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL", newest(ecs, name)
        assert balanced.serving() == {"v2"}
    assert load.made > 0 and not load.failed, (load.made, load.failed[:3])
    ecs.delete_service(service=name, force=True)
    wait(ecs, "services_inactive", services=[name])


def test_codedeploy_switches_network_listeners_too(server, ecs, network):
    balanced = Network(server, "net-cd")
    definition = register(ecs, "net-cd", echo("v1"), **PORTS)
    ecs.create_service(serviceName="net-cd", taskDefinition=definition, desiredCount=1, networkConfiguration=network,
                       deploymentController={"type": "CODE_DEPLOY"}, loadBalancers=balanced.load_balancers(False))
    assert wait_for_deployment(ecs, "net-cd")["status"] == "SUCCESSFUL"
    deploy = server.client("codedeploy")
    deploy.create_application(applicationName="net-cd", computePlatform="ECS")
    deploy.create_deployment_group(
        applicationName="net-cd", deploymentGroupName="net-cd", serviceRoleArn="arn:aws:iam::123456789012:role/codedeploy",
        ecsServices=[{"clusterName": "default", "serviceName": "net-cd"}], loadBalancerInfo={"targetGroupPairInfoList": [balanced.pair()]},
        deploymentStyle={"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"})
    content = json.dumps({"version": 0.0, "Resources": [{"TargetService": {"Type": "AWS::ECS::Service", "Properties": {
        "TaskDefinition": register(ecs, "net-cd", echo("v2"), **PORTS), "LoadBalancerInfo": {"ContainerName": "app", "ContainerPort": 8080}}}}]})
    with Connections(balanced) as load:
        made = deploy.create_deployment(applicationName="net-cd", deploymentGroupName="net-cd",
                                        revision={"revisionType": "AppSpecContent", "appSpecContent": {"content": content}})["deploymentId"]
        wait(deploy, "deployment_successful", deploymentId=made)
        assert balanced.serving() == {"v2"}
    assert load.made > 0 and not load.failed, (load.made, load.failed[:3])
    ecs.delete_service(service="net-cd", force=True)
    wait(ecs, "services_inactive", services=["net-cd"])
