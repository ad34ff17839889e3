"""Alarms end deployments: 5xx of a new revision, counted by the load balancer, trips a CloudWatch alarm, and the release is taken back."""

import datetime
import pathlib
import sys
import threading

import pytest
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from busybox_image import make_layout, push  # noqa: E402
from server import Server  # noqa: E402
from services import Application, Balanced, newest, register, shop, until, wait, wait_for_deployment  # noqa: E402

PORTS = {"portMappings": [{"containerPort": 8080}]}
# Our own verdict on a revision would be faster than any alarm.
TAGS = [{"key": "watari:verdict", "value": "off"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server("--time-scale", "30") as running:  # an alarm's minute takes 2 s
        push(make_layout(str(tmp_path_factory.mktemp("layout"))), int(running.url.rsplit(":", 1)[1]), "busybox:1")
        yield running


class Shoppers:
    """Requests to the shop, one after the other; remembers which statuses came."""

    def __init__(self, url):
        self.url, self.statuses, self.stopping = url + "cgi-bin/shop", set(), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stopping.wait(0.05):
            try:
                self.statuses.add(requests.get(self.url, timeout=5).status_code)
            except requests.RequestException as error:
                self.statuses.add(type(error).__name__)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()


def alarm_on(server, name, namespace, **dimensions):
    server.client("cloudwatch").put_metric_alarm(
        AlarmName=name, Namespace=namespace, MetricName="HTTPCode_Target_5XX_Count", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=3,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()], ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching")


STRATEGIES = {
    "rolling": {"strategy": "ROLLING"},
    "blue-green": {"strategy": "BLUE_GREEN"},
    "canary": {"strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 50, "canaryBakeTimeInMinutes": 5}},
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_errors_of_the_new_revision_trip_an_alarm_and_the_release_goes_back(server, network, name):
    ecs = server.client("ecs")
    balanced = Balanced(server, name)
    alarm_on(server, name, "Watari/ECS", ClusterName="default", ServiceName=name, Revision="new")
    configuration = {**STRATEGIES[name], "bakeTimeInMinutes": 0, "alarms": {"alarmNames": [name], "enable": True, "rollback": True}}
    ecs.create_service(serviceName=name, taskDefinition=register(ecs, name, shop("v1", "200 OK"), **PORTS), desiredCount=1, tags=TAGS,
                       networkConfiguration=network, loadBalancers=balanced.load_balancers(name != "rolling"), deploymentConfiguration=configuration)
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
    with Shoppers(balanced.url) as shoppers:
        ecs.update_service(service=name, taskDefinition=register(ecs, name, shop("v2", "500 Oops"), **PORTS),
                           deploymentConfiguration={"bakeTimeInMinutes": 0 if name == "rolling" else 30})
        assert wait_for_deployment(ecs, name)["status"] == "ROLLBACK_SUCCESSFUL"
    assert 500 in shoppers.statuses and shoppers.statuses <= {200, 500}
    failed = newest(ecs, name)
    assert failed["statusReason"] == f"deployment failed: alarm detected: {name}."
    assert failed["alarms"] == {"status": "TRIGGERED", "alarmNames": [name], "triggeredAlarmNames": [name]}
    assert requests.get(balanced.url + "cgi-bin/shop", timeout=5).text == "v1\n"
    # The alarm is over when nobody deploys; a good release passes, also while it was on before.
    ecs.update_service(service=name, taskDefinition=register(ecs, name, shop("v3", "200 OK"), **PORTS),
                       deploymentConfiguration={"bakeTimeInMinutes": 0})
    assert wait_for_deployment(ecs, name)["status"] == "SUCCESSFUL"
    assert newest(ecs, name)["alarms"]["status"] == "MONITORING_COMPLETE"
    assert requests.get(balanced.url + "cgi-bin/shop", timeout=5).text == "v3\n"
    history = server.client("cloudwatch").describe_alarm_history(AlarmName=name, HistoryItemType="StateUpdate")["AlarmHistoryItems"]
    assert "Alarm updated from OK to ALARM" in {item["HistorySummary"] for item in history}
    ecs.delete_service(service=name, force=True)
    wait(ecs, "services_inactive", services=[name])


def test_an_alarm_stops_codedeploy_and_it_goes_back(server):
    app = Application(server, "cdalarm", count=1, command=lambda version: shop(version, "500 Oops" if version == "v2" else "200 OK"), tags=TAGS,
                      autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_STOP_ON_ALARM"]})
    group = app.elb.describe_target_groups(TargetGroupArns=[app.balanced.groups[1]])["TargetGroups"][0]["TargetGroupArn"].rsplit(":", 1)[1]
    alarm_on(server, "cdalarm", "AWS/ApplicationELB", TargetGroup=group,
             LoadBalancer=app.balanced.balancer["LoadBalancerArn"].split(":loadbalancer/")[1])
    app.deploy.update_deployment_group(applicationName=app.application, currentDeploymentGroupName=app.group,
                                       alarmConfiguration={"enabled": True, "alarms": [{"name": "cdalarm"}]})
    with app.waiting(termination=30), Shoppers(app.balanced.url) as shoppers:
        deployment = app.create("v2")
        info = app.until_status(deployment, "Stopped", "Failed", "Succeeded")
        assert info["status"] == "Stopped" and info["errorInformation"]["code"] == "ALARM_ACTIVE", info
        assert "cdalarm" in info["errorInformation"]["message"]
        rollback = app.info(info["rollbackInfo"]["rollbackDeploymentId"])
        assert rollback["creator"] == "codeDeployRollback" and rollback["rollbackInfo"]["rollbackTriggeringDeploymentId"] == deployment
        app.until_status(rollback["deploymentId"], "Succeeded")
    assert 500 in shoppers.statuses and shoppers.statuses <= {200, 500}
    assert requests.get(app.balanced.url + "cgi-bin/shop", timeout=5).text == "v1\n"
    # Without that event nothing is shown as a rollback of its own; traffic returns all the same.
    app.deploy.update_deployment_group(applicationName=app.application, currentDeploymentGroupName=app.group, autoRollbackConfiguration={"enabled": False})
    watch = server.client("cloudwatch")
    until(lambda: watch.describe_alarms(AlarmNames=["cdalarm"])["MetricAlarms"][0]["StateValue"] == "OK")
    with app.waiting(termination=30):
        deployment = app.create("v3")
        app.until(lambda: app.target(deployment)["taskSetsInfo"][1]["trafficWeight"] == 100)
        watch.set_alarm_state(AlarmName="cdalarm", StateValue="ALARM", StateReason="a rehearsal")
        info = app.until_status(deployment, "Stopped", "Failed", "Succeeded")
        assert info["status"] == "Stopped" and info["errorInformation"]["code"] == "ALARM_ACTIVE" and "rollbackInfo" not in info
    app.until(lambda: requests.get(app.balanced.url + "cgi-bin/shop", timeout=5).text == "v1\n")
    check_metrics(watch, app.balanced)
    app.remove()


def check_metrics(watch, balanced):
    """What the load balancer counted, under AWS's names."""
    now = datetime.datetime.now(datetime.timezone.utc)
    balancer = {"Name": "LoadBalancer", "Value": balanced.balancer["LoadBalancerArn"].split(":loadbalancer/")[1]}
    blue = {"Name": "TargetGroup", "Value": balanced.groups[0].rsplit(":", 1)[1]}

    def total(metric, *dimensions, stat="Sum"):
        results = watch.get_metric_data(
            MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": {"Namespace": "AWS/ApplicationELB", "MetricName": metric, "Dimensions": list(dimensions)},
                                                          "Period": 3600, "Stat": stat}}],
            StartTime=now - datetime.timedelta(hours=1), EndTime=now + datetime.timedelta(minutes=1))["MetricDataResults"]
        return sum(results[0]["Values"])

    assert total("RequestCount", balancer) > total("RequestCount", balancer, blue) > 0
    assert total("HTTPCode_Target_5XX_Count", balancer) >= 3 and total("HTTPCode_Target_5XX_Count", balancer, blue) == 0
    assert total("HTTPCode_Target_2XX_Count", balancer, blue) > 0
    assert 0 < total("TargetResponseTime", balancer, stat="p50") <= total("TargetResponseTime", balancer, stat="p99")
    assert total("HealthyHostCount", balancer, blue, stat="Maximum") >= 1 and total("UnHealthyHostCount", balancer, blue, stat="Maximum") == 0
    revisions = watch.list_metrics(Namespace="Watari/ECS", MetricName="RequestCount", Dimensions=[{"Name": "ServiceName", "Value": "cdalarm"}, {"Name": "RevisionId"}])
    assert len(revisions["Metrics"]) >= 2, "one for each revision that answered"


def test_an_alarm_that_went_off_ends_its_deployment_also_when_the_daemon_dies_then(server, network):
    ecs, watch = server.client("ecs"), server.client("cloudwatch")
    balanced = Balanced(server, "killed")
    # A period that does not end during the test: the state is what was written.
    watch.put_metric_alarm(AlarmName="killed", Namespace="Shop", MetricName="Errors", Statistic="Sum", Period=3600, EvaluationPeriods=3, Threshold=1,
                           ComparisonOperator="GreaterThanThreshold")
    ecs.create_service(serviceName="killed", taskDefinition=register(ecs, "killed", shop("v1", "200 OK"), **PORTS), desiredCount=1, tags=TAGS,
                       networkConfiguration=network, loadBalancers=balanced.load_balancers(True), deploymentConfiguration={
                           "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 600, "alarms": {"alarmNames": ["killed"], "enable": True, "rollback": True}})
    until(lambda: newest(ecs, "killed")["status"] == "IN_PROGRESS" and newest(ecs, "killed")["lifecycleStage"] == "BAKE_TIME", 90)
    ecs.update_service(service="killed", deploymentConfiguration={"bakeTimeInMinutes": 600})
    ecs.update_service(service="killed", taskDefinition=register(ecs, "killed", shop("v2", "200 OK"), **PORTS))
    until(lambda: newest(ecs, "killed")["lifecycleStage"] == "BAKE_TIME", 90)
    watch.set_alarm_state(AlarmName="killed", StateValue="ALARM", StateReason="a rehearsal")
    server.kill()
    server.start()
    ecs = server.client("ecs")
    assert wait_for_deployment(ecs, "killed")["status"] == "ROLLBACK_SUCCESSFUL"
    assert newest(ecs, "killed")["alarms"]["triggeredAlarmNames"] == ["killed"]
    assert requests.get(balanced.url, timeout=5).text == "v1\n"
    ecs.delete_service(service="killed", force=True)
    wait(ecs, "services_inactive", services=["killed"])


def test_what_tasks_take_is_measured(server, network):
    ecs, watch = server.client("ecs"), server.client("cloudwatch")
    ecs.create_service(serviceName="busy", taskDefinition=register(ecs, "busy", "while :; do sleep 0.02; done", cpu=256), desiredCount=1, networkConfiguration=network)
    dimensions = [{"Name": "ClusterName", "Value": "default"}, {"Name": "ServiceName", "Value": "busy"}]
    for metric in ("MemoryUtilization", "CPUUtilization"):
        until(lambda: [one for one in watch.list_metrics(Namespace="AWS/ECS", MetricName=metric)["Metrics"] if one["Dimensions"] == dimensions], 60)
    now = datetime.datetime.now(datetime.timezone.utc)
    got = watch.get_metric_statistics(Namespace="AWS/ECS", MetricName="CPUUtilization", Dimensions=dimensions, Period=300, Statistics=["Maximum"],
                                      StartTime=now - datetime.timedelta(minutes=10), EndTime=now + datetime.timedelta(minutes=5))["Datapoints"]
    assert got[0]["Unit"] == "Percent" and got[0]["Maximum"] > 0
    ecs.delete_service(service="busy", force=True)
    wait(ecs, "services_inactive", services=["busy"])
