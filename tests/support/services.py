"""Services behind load balancers, as the tests of deployments need them."""

import time

from server import free_port


def register(ecs, family, command, **more):
    container = {"name": "app", "image": "busybox:1", "memory": 64, "command": ["sh", "-c", command], "stopTimeout": 2, **more}
    return ecs.register_task_definition(family=family, containerDefinitions=[container])["taskDefinition"]["taskDefinitionArn"]


def wait(ecs, waiter, attempts=60, **what):
    ecs.get_waiter(waiter).wait(**what, WaiterConfig={"Delay": 1, "MaxAttempts": attempts})


class Balanced:
    """A load balancer with two target groups, whose default rule forwards to the first."""

    def __init__(self, server, name):
        self.elb, self.port = server.client("elbv2"), free_port()
        vpc = server.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
        subnets = [subnet["SubnetId"] for subnet in server.client("ec2").describe_subnets()["Subnets"]]
        group = server.client("ec2").describe_security_groups()["SecurityGroups"][0]["GroupId"]
        self.groups = [self.elb.create_target_group(
            Name=f"{name}-{color}", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="ip", HealthCheckPath="/", HealthyThresholdCount=2,
            HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2)["TargetGroups"][0]["TargetGroupArn"] for color in ("blue", "green")]
        self.balancer = self.elb.create_load_balancer(Name=name, Subnets=subnets, SecurityGroups=[group])["LoadBalancers"][0]
        listener = self.elb.create_listener(
            LoadBalancerArn=self.balancer["LoadBalancerArn"], Protocol="HTTP", Port=self.port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.groups[0]}])["Listeners"][0]["ListenerArn"]
        self.rule = self.elb.describe_rules(ListenerArn=listener)["Rules"][0]["RuleArn"]
        self.url = f"http://{self.balancer['DNSName']}:{self.port}/"

    def load_balancers(self, blue_green):
        entry = {"targetGroupArn": self.groups[0], "containerName": "app", "containerPort": 8080}
        if blue_green:
            entry["advancedConfiguration"] = {"alternateTargetGroupArn": self.groups[1], "productionListenerRule": self.rule,
                                              "roleArn": "arn:aws:iam::123456789012:role/ecs"}
        return [entry]

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
