"""Services behind load balancers, as the tests of deployments need them."""

import contextlib
import json
import time

import pytest
import requests

from busybox_image import make_layout, push
from load import Load
from server import Server, free_port


@pytest.fixture(scope="module")
def quick_server(tmp_path_factory):
    """With the image busybox:1; a minute of its deployments is a second. To be imported as `server`."""
    with Server("--time-scale", "60") as running:
        push(make_layout(str(tmp_path_factory.mktemp("layout"))), int(running.url.rsplit(":", 1)[1]), "busybox:1")
        yield running


def register(ecs, family, command, **more):
    container = {"name": "app", "image": "busybox:1", "memory": 64, "command": ["sh", "-c", command], "stopTimeout": 2, **more}
    return ecs.register_task_definition(family=family, containerDefinitions=[container])["taskDefinition"]["taskDefinitionArn"]


def wait(ecs, waiter, attempts=60, **what):
    ecs.get_waiter(waiter).wait(**what, WaiterConfig={"Delay": 1, "MaxAttempts": attempts})


class Balanced:
    """A load balancer with two target groups, whose default rule forwards to the first."""

    def __init__(self, server, name, container_port=8080):
        self.elb, self.port, self.name, self.container_port = server.client("elbv2"), free_port(), name, container_port
        vpc = server.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
        subnets = [subnet["SubnetId"] for subnet in server.client("ec2").describe_subnets()["Subnets"]]
        group = server.client("ec2").describe_security_groups()["SecurityGroups"][0]["GroupId"]
        self.groups = [self.elb.create_target_group(
            Name=f"{name}-{color}", Protocol="HTTP", Port=container_port, VpcId=vpc, TargetType="ip", HealthCheckPath="/", HealthyThresholdCount=2,
            HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2)["TargetGroups"][0]["TargetGroupArn"] for color in ("blue", "green")]
        self.balancer = self.elb.create_load_balancer(Name=name, Subnets=subnets, SecurityGroups=[group])["LoadBalancers"][0]
        listener = self.elb.create_listener(
            LoadBalancerArn=self.balancer["LoadBalancerArn"], Protocol="HTTP", Port=self.port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.groups[0]}])["Listeners"][0]["ListenerArn"]
        self.listener = listener
        self.rule = self.elb.describe_rules(ListenerArn=listener)["Rules"][0]["RuleArn"]
        self.url = f"http://{self.balancer['DNSName']}:{self.port}/"

    def pair(self):
        """For a CodeDeploy deployment group."""
        return {"targetGroups": [{"name": f"{self.name}-blue"}, {"name": f"{self.name}-green"}], "prodTrafficRoute": {"listenerArns": [self.listener]}}

    def add_test_listener(self):
        """The URL at which a new revision can be tried before it has production traffic."""
        port = free_port()
        made = self.elb.create_listener(LoadBalancerArn=self.balancer["LoadBalancerArn"], Protocol="HTTP", Port=port,
                                        DefaultActions=[{"Type": "forward", "TargetGroupArn": self.groups[0]}])["Listeners"][0]["ListenerArn"]
        self.test_listener, self.test_rule = made, self.elb.describe_rules(ListenerArn=made)["Rules"][0]["RuleArn"]
        return f"http://{self.balancer['DNSName']}:{port}/"

    def load_balancers(self, blue_green):
        entry = {"targetGroupArn": self.groups[0], "containerName": "app", "containerPort": self.container_port}
        if blue_green:
            entry["advancedConfiguration"] = {"alternateTargetGroupArn": self.groups[1], "productionListenerRule": self.rule,
                                              "roleArn": "arn:aws:iam::123456789012:role/ecs"}
        return [entry]

    def forward(self, weights):
        """Traffic by ModifyListener, as a client moves it: {0: 90, 1: 10} of the two groups."""
        self.elb.modify_listener(ListenerArn=self.listener, DefaultActions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": [
            {"TargetGroupArn": self.groups[group], "Weight": weight} for group, weight in weights.items()]}}])

    def again(self, server):
        """After a restart: the same load balancer through a new client."""
        self.elb = server.client("elbv2")
        return self

    def weights(self):
        action = self.elb.describe_rules(RuleArns=[self.rule])["Rules"][0]["Actions"][0]
        return {entry["TargetGroupArn"]: entry["Weight"] for entry in action["ForwardConfig"]["TargetGroups"]}


def web(version, serve="httpd -f -p 8080 -h /tmp/www"):
    return f"mkdir -p /tmp/www && echo {version} > /tmp/www/index.html && exec {serve}"


def wait_for_deployment(ecs, service, seconds=90):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        deployment = ecs.list_service_deployments(service=service)["serviceDeployments"][0]
        if deployment["status"] not in ("PENDING", "IN_PROGRESS", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"):
            return deployment
        time.sleep(0.2)
    raise AssertionError(f"{deployment} {ecs.describe_services(services=[service])['services'][0]['events'][:10]}")


def newest(ecs, service):
    arn = ecs.list_service_deployments(service=service)["serviceDeployments"][0]["serviceDeploymentArn"]
    return ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]


def shop(version, status):
    """A page that is always healthy, and /cgi-bin/shop, which answers with this status."""
    script = f"#!/bin/sh\\necho Status: {status}\\necho\\necho {version}\\n"
    return f"mkdir -p /tmp/www/cgi-bin && printf '{script}' > /tmp/www/cgi-bin/shop && chmod +x /tmp/www/cgi-bin/shop && " + web(version)


def until(what, seconds=60, told=lambda: None):
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)
    return value


class Application:
    """A service that CodeDeploy deploys to, with the names that its clients assume."""

    def __init__(self, server, name, count=2, test_listener=False, command=web, tags=(), others=(), **group):
        self.server, self.name, self.count, self.command = server, name, count, command
        self.ecs, self.deploy, self.elb = server.client("ecs"), server.client("codedeploy"), server.client("elbv2")
        self.balanced = Balanced(server, name)
        self.ports = [{"containerPort": one.container_port} for one in (self.balanced, *others)]
        subnets = [subnet["SubnetId"] for subnet in server.client("ec2").describe_subnets()["Subnets"]]
        self.first = self.register("v1")
        self.ecs.create_service(
            serviceName=name, taskDefinition=self.first, desiredCount=count, deploymentController={"type": "CODE_DEPLOY"},
            networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}}, loadBalancers=[entry for one in (self.balanced, *others) for entry in one.load_balancers(False)],
            healthCheckGracePeriodSeconds=30, tags=list(tags))
        self.pair = self.balanced.pair()
        if test_listener:
            self.test_url = self.balanced.add_test_listener()
            self.pair["testTrafficRoute"] = {"listenerArns": [self.balanced.test_listener]}
        self.application, self.group = f"AppECS-default-{name}", f"DgpECS-default-{name}"
        self.deploy.create_application(applicationName=self.application, computePlatform="ECS")
        self.deploy.create_deployment_group(
            applicationName=self.application, deploymentGroupName=self.group, serviceRoleArn="arn:aws:iam::123456789012:role/codedeploy",
            ecsServices=[{"clusterName": "default", "serviceName": name}],
            deploymentStyle={"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
            loadBalancerInfo={"targetGroupPairInfoList": [self.pair, *(one.pair() for one in others)]}, **group)
        assert wait_for_deployment(self.ecs, name)["status"] == "SUCCESSFUL"

    def register(self, version):
        return register(self.ecs, self.name, self.command(version), portMappings=self.ports)

    def spec(self, definition, **hooks):
        service = {"Type": "AWS::ECS::Service", "Properties": {"TaskDefinition": definition, "LoadBalancerInfo": {
            "ContainerName": "app", "ContainerPort": 8080}}}
        return json.dumps({"version": 0.0, "Resources": [{"TargetService": service}], "Hooks": [{event: to} for event, to in hooks.items()]})

    def create(self, version, hooks=None, spec=None, **more):
        content = (spec or self.spec)(self.register(version), **(hooks or {}))
        return self.deploy.create_deployment(
            applicationName=self.application, deploymentGroupName=self.group,
            revision={"revisionType": "AppSpecContent", "appSpecContent": {"content": content}}, **more)["deploymentId"]

    @contextlib.contextmanager
    def waiting(self, termination=0, ready=0):
        """With these waits (minutes) in its deployment group."""
        def change(termination, ready):
            option = {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": ready} if ready else {"actionOnTimeout": "CONTINUE_DEPLOYMENT"}
            self.deploy.update_deployment_group(
                applicationName=self.application, currentDeploymentGroupName=self.group, blueGreenDeploymentConfiguration={
                    "terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE", "terminationWaitTimeInMinutes": termination},
                    "deploymentReadyOption": option})
        change(termination, ready)
        yield
        change(0, 0)

    def info(self, deployment):
        return self.deploy.get_deployment(deploymentId=deployment)["deploymentInfo"]

    def target(self, deployment):
        return self.deploy.get_deployment_target(deploymentId=deployment, targetId=f"default:{self.name}")["deploymentTarget"]["ecsTarget"]

    def until(self, what, seconds=90):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := what():
                return found
            time.sleep(0.1)
        raise AssertionError([self.info(one) for one in self.deploy.list_deployments()["deployments"][:2]])

    def until_status(self, deployment, *statuses):
        return self.until(lambda: self.info(deployment)["status"] in statuses and self.info(deployment))

    def until_over(self, deployment):
        return self.until_status(deployment, "Succeeded", "Failed", "Stopped")["status"]

    def load(self):
        parts = self.balanced.url
        return Load(parts, rate=100, track_bodies=True).start()

    def serving(self):
        return {requests.get(self.balanced.url, timeout=5).text.strip() for _ in range(20)}

    def remove(self):
        self.ecs.delete_service(service=self.name, force=True)
        wait(self.ecs, "services_inactive", services=[self.name])
