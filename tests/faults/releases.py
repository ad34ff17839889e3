#!/usr/bin/env python3
"""Releases under constant load, with faults drawn from a seed. No request may fail, but for those that were in a killed HAProxy, answers
that a killed process had begun, and those of an application which exits by itself after it was healthy.

    tests/faults/releases.py --releases 500 [--seed 7] [--rate 40] [--services 4]

Each round picks a service (rolling, blue/green, canary, linear), a release (good, image missing, never healthy, exits after it was
healthy) and up to three faults at random moments: kill -9 of the daemon, of HAProxy, of a task's process (old or new revision), a stop or
a rollback through the API, scaling. After each round the service has to converge: one deployment, the right number of tasks,
and the version that should serve; after a stop without a way back, and after a release of what exits by itself, with the next good release. Ends with one JSON line; exit code 1 when anything was wrong. `--keep` leaves the server's log.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import botocore.exceptions  # noqa: E402
import requests  # noqa: E402
from busybox_image import make_layout, push  # noqa: E402
from load import Load  # noqa: E402
from server import Server, free_port, processes_of  # noqa: E402

STRATEGIES = ["ROLLING", "BLUE_GREEN", "CANARY", "LINEAR"]
OVER = ("SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED")
SERVE = "mkdir -p /tmp/www && echo {version} > /tmp/www/index.html && "
COMMANDS = {
    "good": SERVE + "exec httpd -f -p 8080 -h /tmp/www",
    "missing image": SERVE + "exec httpd -f -p 8080 -h /tmp/www",
    "never healthy": "sleep 1000",
    "exits later": SERVE + "httpd -p 8080 -h /tmp/www; sleep {life}; exit 3",
}


class Site:
    """A service behind a load balancer of its own, with its load."""

    def __init__(self, server, name, strategy, rate, chance):
        self.server, self.name, self.strategy, self.chance = server, name, strategy, chance
        self.desired, self.version, self.number = 2, None, 0
        self.own_failures = []  # [from, to]: while a revision that exits by itself may have traffic
        elb, ec2 = server.client("elbv2"), server.client("ec2")
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
        group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
        self.network = {"awsvpcConfiguration": {"subnets": subnets}}
        self.groups = [elb.create_target_group(
            Name=f"{name}-{color}", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="ip", HealthCheckPath="/", HealthyThresholdCount=2,
            HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2)["TargetGroups"][0]["TargetGroupArn"] for color in ("blue", "green")]
        for arn in self.groups:
            elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "2"}])
        balancer = elb.create_load_balancer(Name=name, Subnets=subnets, SecurityGroups=[group])["LoadBalancers"][0]
        self.port = free_port()
        listener = elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=self.port,
                                       DefaultActions=[{"Type": "forward", "TargetGroupArn": self.groups[0]}])["Listeners"][0]["ListenerArn"]
        self.rule = elb.describe_rules(ListenerArn=listener)["Rules"][0]["RuleArn"]
        self.host = balancer["DNSName"]
        self._create()
        self.load = Load(f"http://127.0.0.1:{self.port}/", rate, host=self.host, workers=8, track_bodies=True, look=True).start()

    def ecs(self):
        return self.server.client("ecs")

    def register(self, kind):
        self.number += 1
        version = f"{self.name}-{self.number}"
        command = COMMANDS[kind].format(version=version, life=round(self.chance.uniform(0.5, 6), 1))
        container = {"name": "app", "image": "busybox:missing" if kind == "missing image" else "busybox:1", "memory": 32, "stopTimeout": 2,
                     "command": ["sh", "-c", command], "portMappings": [{"containerPort": 8080}]}
        return version, self.ecs().register_task_definition(family=self.name, containerDefinitions=[container])["taskDefinition"]["taskDefinitionArn"]

    def _create(self):
        self.version, definition = self.register("good")
        entry = {"targetGroupArn": self.groups[0], "containerName": "app", "containerPort": 8080}
        configuration = {"strategy": self.strategy, "deploymentCircuitBreaker": {"enable": True, "rollback": True}}
        if self.strategy != "ROLLING":
            entry["advancedConfiguration"] = {"alternateTargetGroupArn": self.groups[1], "productionListenerRule": self.rule,
                                              "roleArn": "arn:aws:iam::123456789012:role/ecs"}
            configuration["bakeTimeInMinutes"] = 1
        if self.strategy == "CANARY":
            configuration["canaryConfiguration"] = {"canaryPercent": 20, "canaryBakeTimeInMinutes": 1}
        if self.strategy == "LINEAR":
            configuration["linearConfiguration"] = {"stepPercent": 25, "stepBakeTimeInMinutes": 1}
        self.ecs().create_service(serviceName=self.name, taskDefinition=definition, desiredCount=self.desired, networkConfiguration=self.network,
                                  loadBalancers=[entry], deploymentConfiguration=configuration, tags=[{"key": "watari:timeout", "value": "60s"}])
        self.wait_until_over()

    def newest(self):
        ecs = self.ecs()
        arn = ecs.list_service_deployments(service=self.name)["serviceDeployments"][0]["serviceDeploymentArn"]
        return ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]

    def tasks(self):
        ecs = self.ecs()
        arns = ecs.list_tasks(serviceName=self.name)["taskArns"]
        return ecs.describe_tasks(tasks=arns)["tasks"] if arns else []

    def wait_until_over(self, seconds=180):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                newest = self.newest()
                service = self.ecs().describe_services(services=[self.name])["services"][0]
                if newest["status"] == "STOPPED":
                    return newest
                if newest["status"] in OVER and len(service["deployments"]) == 1 and service["runningCount"] == service["desiredCount"]:
                    return newest
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                pass  # the daemon was just killed
            time.sleep(0.1)
        raise AssertionError(f"{self.name} did not converge: {newest} {service['events'][:8]}")


class Round:
    def __init__(self, world, site, chance, options):
        self.world, self.site, self.chance, self.options = world, site, chance, options
        self.kind = chance.choices(list(COMMANDS), [70, 8, 10, 12])[0]
        self.faults = chance.sample(list(options.faults), chance.randint(0, min(3, len(options.faults))))
        if "kill_task" in self.faults and "stop_task" in self.faults:  # two of two tasks at once: nobody could serve
            self.faults.remove("stop_task")

    def run(self):
        exits = self.kind == "exits later"
        if exits:
            self.site.own_failures.append([time.monotonic(), float("inf")])
        self.outcome = self.release(self.kind, self.faults)
        if self.outcome == "STOPPED" or exits:
            again = self.release("good", [])
            assert again == "SUCCESSFUL", f"the good release after {self} ended {again}"
        if exits:
            self.site.own_failures[-1][1] = time.monotonic()

    def release(self, kind, faults):
        site = self.site
        version, definition = self.persist(lambda: site.register(kind))
        self.persist(lambda: site.ecs().update_service(service=site.name, taskDefinition=definition))
        threads = [threading.Thread(target=self.fault, args=(name, self.chance.uniform(0, 6), random.Random(self.chance.random())))
                   for name in faults]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        newest = site.wait_until_over()
        if newest["status"] == "SUCCESSFUL":
            site.version = version
        if newest["status"] != "STOPPED" and kind != "exits later":
            served = self.persist(lambda: requests.get(f"http://127.0.0.1:{site.port}/", headers={"Host": site.host}, timeout=10)).text.strip()
            assert served == site.version, f"{served} serves, not {site.version}: {newest}"
        return newest["status"]

    def persist(self, work):
        return self.world.persist(work)

    def fault(self, name, after, chance):
        time.sleep(after)
        try:
            self.world.tell(f"{self.site.name}: {name}")
            getattr(self, name)(chance)
            self.world.counts[name] += 1
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, IndexError, ProcessLookupError):
            self.world.counts[name + " (came too late)"] += 1

    def kill_daemon(self, chance):
        self.world.kill_daemon(chance.uniform(0, 0.8))

    def kill_haproxy(self, chance):
        # Daemon and HAProxy dead at once: nobody would be left to start another.
        with self.world.lock:
            self.world.kill(chance.choice(processes_of(self.world.root_id, "haproxy")), self.world.haproxy_kills)
            time.sleep(0.5)

    def kill_task(self, chance):
        task = chance.choice([task for task in self.site.tasks() if task["lastStatus"] == "RUNNING"])
        pids = processes_of(task["taskArn"].rsplit("/", 1)[1], "httpd")
        self.world.kill(chance.choice(pids), self.world.task_kills)

    def stop_task(self, chance):
        task = chance.choice([task for task in self.site.tasks() if task["lastStatus"] == "RUNNING"])
        self.site.ecs().stop_task(task=task["taskArn"], reason="a fault")

    def roll_back(self, chance):
        self.site.ecs().stop_service_deployment(serviceDeploymentArn=self.site.newest()["serviceDeploymentArn"], stopType="ROLLBACK")

    def abort(self, chance):
        self.site.ecs().stop_service_deployment(serviceDeploymentArn=self.site.newest()["serviceDeploymentArn"], stopType="ABORT")

    def scale(self, chance):
        self.site.desired = chance.randint(2, 4)
        self.site.ecs().update_service(service=self.site.name, desiredCount=self.site.desired)

    def supersede(self, chance):
        version, definition = self.site.register("good")
        self.site.ecs().update_service(service=self.site.name, taskDefinition=definition)
        self.site.version = version

    def __str__(self):
        return f"{self.site.name}: {self.kind} release with {', '.join(self.faults) or 'no fault'}"


class World:
    def __init__(self, server, tell):
        self.server, self.tell, self.lock = server, tell, threading.Lock()
        self.root_id = (server.root / "root-id").read_text().strip()
        self.haproxy_kills, self.task_kills, self.counts = [], [], collections.Counter()

    def kill(self, pid, kills):
        """kill -9. When exactly it was is not known here, only between which two moments."""
        before = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        kills.append((before, time.monotonic()))

    def kill_daemon(self, pause):
        with self.lock:
            self.server.kill()
            time.sleep(pause)
            self.server.start()

    def persist(self, work, seconds=60):
        """Does it once more when the daemon was killed under it."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return work()
            except (botocore.exceptions.EndpointConnectionError, botocore.exceptions.ConnectionClosedError,
                    botocore.exceptions.HTTPClientError, requests.ConnectionError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def in_killed_haproxy(self, failure):
        """Its connection was opened before a kill, and failed after it."""
        opened, _, failed = failure[:3]
        return any(before <= failed and opened - 0.05 <= after for before, after in self.haproxy_kills)

    def in_killed_task(self, failure):
        """The killed process had begun to answer it: the head of the answer was on its way to the client, so nobody else can answer."""
        _, began, failed, kind = failure[:4]
        return kind.startswith("IncompleteRead") and any(before <= failed and began <= after for before, after in self.task_kills)


def of_application(site, failure):
    return any(begin <= failure[1] <= end for begin, end in site.own_failures)


FAULTS = ["kill_daemon", "kill_haproxy", "kill_task", "stop_task", "roll_back", "abort", "scale"]


def run(releases, seed, services=4, rate=40, faults=FAULTS, strategies=STRATEGIES, say=print):
    options = argparse.Namespace(faults=faults)
    errors, outcomes = [], collections.Counter()
    began = time.monotonic()
    tell = lambda line: say(f"{time.monotonic() - began:7.2f} {line}")
    with Server("--time-scale", "60") as server, tempfile.TemporaryDirectory() as layout:
        push(make_layout(layout), int(server.url.rsplit(":", 1)[1]), "busybox:1")
        world = World(server, tell)
        sites = [Site(server, f"site{i}", strategies[i % len(strategies)], rate, random.Random(f"{seed}/{i}")) for i in range(services)]
        left, lock = [releases], threading.Lock()

        def work(site):
            chance = random.Random(f"{seed}/{site.name}/rounds")
            while True:
                with lock:
                    if left[0] <= 0 or errors:
                        return
                    left[0] -= 1
                round_ = Round(world, site, chance, options)
                start = time.monotonic()
                tell(f"{round_} begins")
                try:
                    round_.run()
                    outcomes[f"{round_.kind}: {round_.outcome}"] += 1
                    tell(f"{round_}: {round_.outcome} after {time.monotonic() - start:.1f} s")
                except Exception as error:  # noqa: BLE001: told at the end, with its round
                    errors.append(f"{round_}: {type(error).__name__} {error}")
                    tell(errors[-1])

        threads = [threading.Thread(target=work, args=(site,)) for site in sites]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        loads = [site.load.stop() for site in sites]
        failures = [failure + (site.name,) for site in sites for failure in site.load.failed_requests if not of_application(site, failure)]
        in_haproxy = [failure for failure in failures if world.in_killed_haproxy(failure)]
        in_task = [failure for failure in failures if failure not in in_haproxy and world.in_killed_task(failure)]
        wrong = [failure for failure in failures if failure not in in_haproxy and failure not in in_task]
        if wrong or errors:
            pathlib.Path(tempfile.gettempdir(), f"watari-faults-{seed}.log").write_text(server.log_text())
        return {"seed": seed, "releases": releases - left[0], "seconds": round(time.monotonic() - began), "requests": sum(l["requests"] for l in loads),
                "failed": len(wrong), "lost_in_killed_haproxy": len(in_haproxy), "haproxy_kills": len(world.haproxy_kills),
                "cut_short_in_killed_tasks": len(in_task), "task_kills": len(world.task_kills),
                "faults": dict(world.counts), "outcomes": dict(outcomes), "errors": errors,
                "first_failures": [{"at_s": round(f[1] - began, 2), "took_s": round(f[2] - f[1], 2), "connection_s": round(f[1] - f[0], 2), "site": f[4], "what": f[3]}
                                   for f in sorted(wrong, key=lambda f: f[1])[:10]]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--services", type=int, default=4)
    parser.add_argument("--rate", type=float, default=40, help="requests a second for each service")
    parser.add_argument("--faults", default=",".join(FAULTS), help="which to draw from")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    options = parser.parse_args()
    result = run(options.releases, options.seed, options.services, options.rate, [f for f in options.faults.split(",") if f],
                 options.strategies.split(","), say=lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(result, indent=1))
    return 1 if result["failed"] or result["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
