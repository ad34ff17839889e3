"""A small web application behind a load balancer, as the tools' own configuration files describe it."""

import json
import pathlib
import sys
import time

import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from busybox_image import make_layout, push  # noqa: E402
from server import free_port  # noqa: E402

TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
ROLE = "arn:aws:iam::123456789012:role/"
# httpd below a shell that ends at once on SIGTERM; what it serves says which release it is.
COMMAND = "mkdir -p /www; echo {release} > /www/index.html; trap 'exit 0' TERM; httpd -f -p 8000 -h /www & wait"


class Application:
    """Network, load balancer, roles, secret and log group for services of one server."""

    def __init__(self, server, directory, name="web", image=None):
        self.server, self.name, self.image = server, name, image or f"{name}:1"
        push(make_layout(str(directory)), int(server.url.rsplit(":", 1)[1]), f"{name}:1")
        ec2, self.elbv2 = server.client("ec2"), server.client("elbv2")
        self.ecs = server.client("ecs")
        self.subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
        self.vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        self.group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]  # the default one
        self.target_group = self.make_target_group(name)
        balancer = self.elbv2.create_load_balancer(Name=name, Subnets=self.subnets)["LoadBalancers"][0]
        self.port = free_port()
        self.listener = self.elbv2.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=self.port, DefaultActions=[
            {"Type": "forward", "TargetGroupArn": self.target_group}])["Listeners"][0]["ListenerArn"]
        for role in ("exec", "task"):
            server.client("iam").create_role(RoleName=f"{name}-{role}", AssumeRolePolicyDocument=json.dumps(TRUST))
        server.client("ssm").put_parameter(Name=f"/{name}/token", Value="secret", Type="SecureString")
        server.client("logs").create_log_group(logGroupName=f"/{name}")
        self.ecs.create_cluster(clusterName="default")

    def make_target_group(self, name):
        return self.elbv2.create_target_group(Name=name, Protocol="HTTP", Port=8000, VpcId=self.vpc, TargetType="ip", HealthCheckIntervalSeconds=5,
                                              HealthCheckTimeoutSeconds=2, HealthyThresholdCount=2)["TargetGroups"][0]["TargetGroupArn"]

    def make_deployment_group(self, service):
        """An application and a deployment group of CodeDeploy, under the names that its clients assume, with a second target group; the client."""
        deploy = self.server.client("codedeploy")
        self.make_target_group(f"{self.name}-2")
        deploy.create_application(applicationName=f"AppECS-default-{service}", computePlatform="ECS")
        deploy.create_deployment_group(
            applicationName=f"AppECS-default-{service}", deploymentGroupName=f"DgpECS-default-{service}", serviceRoleArn=f"{ROLE}codedeploy",
            ecsServices=[{"clusterName": "default", "serviceName": service}],
            deploymentStyle={"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
            loadBalancerInfo={"targetGroupPairInfoList": [{"targetGroups": [{"name": self.name}, {"name": f"{self.name}-2"}],
                                                          "prodTrafficRoute": {"listenerArns": [self.listener]}}]})
        return deploy

    def keep_blue(self, service, minutes):
        self.server.client("codedeploy").update_deployment_group(applicationName=f"AppECS-default-{service}", currentDeploymentGroupName=f"DgpECS-default-{service}",
                                       blueGreenDeploymentConfiguration={
                                           "terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE", "terminationWaitTimeInMinutes": minutes},
                                           "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT", "waitTimeInMinutes": 0}})

    def served(self):
        return requests.get(f"http://127.0.0.1:{self.port}/", timeout=10).text.strip()

    def until_served(self, text):
        deadline = time.monotonic() + 60
        while self.served() != text:
            assert time.monotonic() < deadline, f"{text} is not served"
            time.sleep(0.2)

    def task_definition(self, release="1", **container):
        return {
            "family": self.name, "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
            "executionRoleArn": f"{ROLE}{self.name}-exec", "taskRoleArn": f"{ROLE}{self.name}-task",
            "containerDefinitions": [{
                "name": "app", "image": self.image, "essential": True, "command": ["sh", "-c", COMMAND.format(release=release)], "stopTimeout": 5,
                "portMappings": [{"containerPort": 8000, "protocol": "tcp"}], "environment": [{"name": "RELEASE", "value": release}],
                "secrets": [{"name": "TOKEN", "valueFrom": f"/{self.name}/token"}],
                "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": f"/{self.name}", "awslogs-region": self.server.region,
                                                                        "awslogs-stream-prefix": "app"}}, **container}]}

    def service_definition(self, **more):
        return {
            "launchType": "FARGATE", "desiredCount": 1, "schedulingStrategy": "REPLICA", "propagateTags": "NONE", "platformVersion": "LATEST",
            "enableExecuteCommand": True, "enableECSManagedTags": True, "deploymentController": {"type": "ECS"}, "healthCheckGracePeriodSeconds": 0,
            "deploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 100, "deploymentCircuitBreaker": {"enable": True, "rollback": True}},
            "loadBalancers": [{"containerName": "app", "containerPort": 8000, "targetGroupArn": self.target_group}],
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": self.subnets, "securityGroups": [self.group], "assignPublicIp": "ENABLED"}}, **more}

    def create(self, service, **more):
        """A service with this name, stable."""
        definition = self.ecs.register_task_definition(**self.task_definition())["taskDefinition"]["taskDefinitionArn"]
        self.ecs.create_service(serviceName=service, taskDefinition=definition, **self.service_definition(**more))
        self.wait_stable(service)
        return definition

    def wait_stable(self, service):
        self.ecs.get_waiter("services_stable").wait(services=[service], WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    def service(self, name):
        return self.ecs.describe_services(services=[name])["services"][0]

    def running_task(self, service):
        return self.ecs.list_tasks(serviceName=service)["taskArns"][0]
