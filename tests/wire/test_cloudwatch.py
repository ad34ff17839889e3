"""CloudWatch's API: alarms and metrics through boto3 (CBOR), the aws-cli, JSON and Query."""

import datetime
import http.server
import json
import pathlib
import sys
import time

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from server import Server  # noqa: E402
from servers import HttpServer  # noqa: E402

ALARM = {"AlarmName": "errors", "Namespace": "Shop", "MetricName": "Errors", "Dimensions": [{"Name": "Store", "Value": "a"}], "Statistic": "Sum",
         "Period": 10, "EvaluationPeriods": 1, "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold"}


@pytest.fixture(scope="module")
def server():
    with Server("--time-scale", "10") as running:
        yield running


@pytest.fixture
def watch(server):
    return server.client("cloudwatch")


def describe(watch, name):
    return watch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]


def until_state(watch, name, state, seconds=30):
    deadline = time.monotonic() + seconds
    while (alarm := describe(watch, name))["StateValue"] != state:
        assert time.monotonic() < deadline, alarm
        time.sleep(0.1)
    return alarm


def refused(call, **arguments):
    with pytest.raises(Exception) as caught:
        call(**arguments)
    return caught.value.response["Error"]


def put(watch, value, **more):
    watch.put_metric_data(Namespace="Shop", MetricData=[{"MetricName": "Errors", "Dimensions": ALARM["Dimensions"], "Value": value, **more}])


def test_an_alarm_is_said_back_as_it_was_put(watch):
    watch.put_metric_alarm(**{**ALARM, "AlarmName": "kept/1"}, AlarmDescription="too many", DatapointsToAlarm=1, TreatMissingData="ignore",
                           Tags=[{"Key": "team", "Value": "shop"}], ActionsEnabled=False, Unit="Count")
    alarm = describe(watch, "kept/1")
    for name, value in {**ALARM, "AlarmName": "kept/1", "AlarmDescription": "too many", "DatapointsToAlarm": 1, "TreatMissingData": "ignore",
                        "ActionsEnabled": False, "Unit": "Count", "StateValue": "INSUFFICIENT_DATA",
                        "StateReason": "Unchecked: Initial alarm creation"}.items():
        assert alarm[name] == value, name
    assert alarm["AlarmArn"].endswith(":alarm:kept/1")
    assert watch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"] == [{"Key": "team", "Value": "shop"}]
    watch.tag_resource(ResourceARN=alarm["AlarmArn"], Tags=[{"Key": "team", "Value": "b"}, {"Key": "x", "Value": "y"}])
    watch.untag_resource(ResourceARN=alarm["AlarmArn"], TagKeys=["x"])
    assert watch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"] == [{"Key": "team", "Value": "b"}]
    watch.enable_alarm_actions(AlarmNames=["kept/1", "unknown"])
    assert describe(watch, "kept/1")["ActionsEnabled"] is True
    watch.disable_alarm_actions(AlarmNames=["kept/1"])
    assert describe(watch, "kept/1")["ActionsEnabled"] is False
    found = watch.describe_alarms_for_metric(Namespace="Shop", MetricName="Errors", Dimensions=ALARM["Dimensions"], Statistic="Sum")["MetricAlarms"]
    assert "kept/1" in [one["AlarmName"] for one in found]
    assert not watch.describe_alarms_for_metric(Namespace="Shop", MetricName="Errors")["MetricAlarms"]
    watch.put_metric_alarm(**{**ALARM, "AlarmName": "kept/1", "Threshold": 7.5})
    assert describe(watch, "kept/1")["Threshold"] == 7.5
    assert watch.describe_alarms(AlarmNamePrefix="kept/", StateValue="INSUFFICIENT_DATA")["MetricAlarms"]
    assert not watch.describe_alarms(AlarmNamePrefix="kept/", AlarmTypes=["CompositeAlarm"])["MetricAlarms"]
    watch.delete_alarms(AlarmNames=["kept/1"])
    assert not watch.describe_alarms(AlarmNames=["kept/1"])["MetricAlarms"]
    history = watch.describe_alarm_history(AlarmName="kept/1", ScanBy="TimestampAscending")["AlarmHistoryItems"]
    assert [item["HistorySummary"].split(" ")[-1] for item in history] == ["created", "enabled", "disabled", "updated", "deleted"]
    assert refused(watch.delete_alarms, AlarmNames=["kept/1"])["Code"] == "ResourceNotFound"


def test_alarms_come_in_pages(watch):
    for number in range(5):
        watch.put_metric_alarm(**{**ALARM, "AlarmName": f"page-{number}"})
    pages = list(watch.get_paginator("describe_alarms").paginate(AlarmNamePrefix="page-", PaginationConfig={"PageSize": 2}))
    assert [[alarm["AlarmName"][-1] for alarm in page["MetricAlarms"]] for page in pages] == [["0", "1"], ["2", "3"], ["4"]]
    watch.delete_alarms(AlarmNames=[f"page-{number}" for number in range(5)])


def test_what_cannot_be_done_is_refused_by_name(watch):
    def message(**changes):
        return refused(watch.put_metric_alarm, **{name: value for name, value in {**ALARM, **changes}.items() if value is not None})["Message"]

    assert "10, 20, 30 or a multiple of 60" in message(Period=15)
    assert "more than a day" in message(Period=3600, EvaluationPeriods=25)
    assert "multiple of 300" in message(Period=60, EvaluationPeriods=1000)
    assert "DatapointsToAlarm" in message(DatapointsToAlarm=2)
    assert "tm90 is not supported" in message(Statistic=None, ExtendedStatistic="tm90")
    assert "either Statistic or ExtendedStatistic" in message(ExtendedStatistic="p99")
    assert "ComparisonOperator" in message(ComparisonOperator="GreaterThanUpperThreshold")
    assert "arn:aws:sns:us-east-1:123456789012:ops is not supported" in message(AlarmActions=["arn:aws:sns:us-east-1:123456789012:ops"])
    assert "nothing is known under the name" in message(OKActions=["arn:aws:lambda:us-east-1:123456789012:function:nobody"])
    assert "Metrics" in message(Metrics=[{"Id": "m1", "Expression": "m2 / 2"}])
    assert "TreatMissingData" in message(TreatMissingData="panic")
    assert "Threshold is required" in message(Threshold=None)
    assert refused(watch.put_composite_alarm, AlarmName="both", AlarmRule="ALARM(errors)")["Code"] == "UnknownOperationException"
    metric = {"Metric": {"Namespace": "Shop", "MetricName": "Errors"}, "Period": 60, "Stat": "Sum"}
    window = {"StartTime": datetime.datetime(2026, 1, 1), "EndTime": datetime.datetime(2026, 1, 2)}
    assert "Expression" in refused(watch.get_metric_data, MetricDataQueries=[{"Id": "e", "Expression": "m / 2"}], **window)["Message"]
    assert "used twice" in refused(watch.get_metric_data, MetricDataQueries=[{"Id": "m", "MetricStat": metric}] * 2, **window)["Message"]
    assert "Period" in refused(watch.get_metric_statistics, Namespace="S", MetricName="M", Period=60, Statistics=["Sum"],
                               StartTime=datetime.datetime(2026, 1, 1), EndTime=datetime.datetime(2026, 2, 1))["Message"]


def test_samples_are_checked(watch):
    def message(namespace="Shop", **datum):
        return refused(watch.put_metric_data, Namespace=namespace, MetricData=[{"MetricName": "M", **datum}])["Message"]

    assert "the server's own" in message("AWS/ECS", Value=1)
    assert "Value, Values or StatisticValues" in message()
    assert "only one of" in message(Value=1, Values=[1])
    assert "2 Values and 1 Counts" in message(Values=[1, 2], Counts=[1])
    assert "two hours in the future" in message(Value=1, Timestamp=datetime.datetime(2100, 1, 1))
    assert "48 hours ago" in message(Value=1, Timestamp=datetime.datetime(2020, 1, 1))
    assert "not a number" in message(Value=1e300)
    assert "StorageResolution" in message(Value=1, StorageResolution=5)
    assert "given twice" in message(Value=1, Dimensions=[{"Name": "a", "Value": "1"}, {"Name": "a", "Value": "2"}])


def test_samples_are_read_back_in_every_statistic(watch):
    now = datetime.datetime.now(datetime.timezone.utc)
    minute = now.replace(second=0, microsecond=0) - datetime.timedelta(minutes=5)
    dimensions = [{"Name": "B", "Value": "2"}, {"Name": "A", "Value": "1"}]
    watch.put_metric_data(Namespace="Read", MetricData=[
        {"MetricName": "Latency", "Dimensions": dimensions, "Timestamp": minute, "Values": [float(i) for i in range(1, 101)], "Unit": "Milliseconds"},
        {"MetricName": "Latency", "Dimensions": dimensions, "Timestamp": minute + datetime.timedelta(seconds=61), "Value": 7, "Unit": "Milliseconds"},
        {"MetricName": "Orders", "Timestamp": minute, "StatisticValues": {"SampleCount": 4, "Sum": 10, "Minimum": 1, "Maximum": 4}}])
    window = {"StartTime": minute, "EndTime": minute + datetime.timedelta(minutes=2)}
    one = {"Namespace": "Read", "MetricName": "Latency", "Dimensions": dimensions[::-1]}
    got = watch.get_metric_statistics(**one, **window, Period=60, Statistics=["Sum", "Average", "Minimum", "Maximum", "SampleCount"])
    first, second = sorted(got["Datapoints"], key=lambda point: point["Timestamp"])
    assert (first["Sum"], first["Average"], first["Minimum"], first["Maximum"], first["SampleCount"]) == (5050, 50.5, 1, 100, 100)
    assert first["Timestamp"] == minute and first["Unit"] == "Milliseconds" and second["Sum"] == 7
    got = watch.get_metric_statistics(**one, **window, Period=60, ExtendedStatistics=["p90"])["Datapoints"]
    assert max(point["ExtendedStatistics"]["p90"] for point in got) == pytest.approx(90, rel=0.03)
    queries = [{"Id": "all", "MetricStat": {"Metric": one, "Period": 120, "Stat": "Sum"}, "Label": "both"},
               {"Id": "orders", "MetricStat": {"Metric": {"Namespace": "Read", "MetricName": "Orders"}, "Period": 60, "Stat": "Average"}},
               {"Id": "hidden", "MetricStat": {"Metric": one, "Period": 60, "Stat": "Sum"}, "ReturnData": False}]
    start = minute - datetime.timedelta(minutes=minute.minute % 2)
    results = watch.get_metric_data(MetricDataQueries=queries, StartTime=start, EndTime=start + datetime.timedelta(minutes=4))["MetricDataResults"]
    assert {result["Id"]: sum(result["Values"]) for result in results} == {"all": 5057, "orders": 2.5}
    assert [result["Label"] for result in results] == ["both", "Orders"] and {result["StatusCode"] for result in results} == {"Complete"}
    names = {metric["MetricName"] for page in watch.get_paginator("list_metrics").paginate(Namespace="Read") for metric in page["Metrics"]}
    assert names == {"Latency", "Orders"}
    assert not watch.list_metrics(Namespace="Read", Dimensions=[{"Name": "A", "Value": "2"}])["Metrics"]
    assert len(watch.list_metrics(Namespace="Read", Dimensions=[{"Name": "A"}], RecentlyActive="PT3H")["Metrics"]) == 1


def test_long_requests_come_compressed(watch):
    many = [{"MetricName": f"Metric{number}", "Value": number, "Dimensions": [{"Name": "Padding", "Value": "x" * 100}]} for number in range(500)]
    watch.put_metric_data(Namespace="Long", MetricData=many)  # botocore compresses from 10,240 bytes on
    assert sum(len(page["Metrics"]) for page in watch.get_paginator("list_metrics").paginate(Namespace="Long")) == 500


def test_an_alarm_follows_its_metric_and_tells_its_history(watch):
    watch.put_metric_alarm(**{**ALARM, "TreatMissingData": "notBreaching"})
    until_state(watch, "errors", "OK")
    put(watch, 10)
    alarm = until_state(watch, "errors", "ALARM")
    assert "Threshold Crossed: 1 out of the last 1 datapoints [10.0 (" in alarm["StateReason"] and "was greater than the threshold (5.0)" in alarm["StateReason"]
    assert json.loads(alarm["StateReasonData"])["recentDatapoints"] == [10.0]
    until_state(watch, "errors", "OK")
    changes = watch.describe_alarm_history(AlarmName="errors", HistoryItemType="StateUpdate", ScanBy="TimestampAscending")["AlarmHistoryItems"]
    assert [item["HistorySummary"] for item in changes[:3]] == ["Alarm updated from INSUFFICIENT_DATA to OK", "Alarm updated from OK to ALARM", "Alarm updated from ALARM to OK"]
    assert json.loads(changes[1]["HistoryData"])["newState"]["stateValue"] == "ALARM"
    newest = watch.describe_alarm_history(AlarmName="errors", MaxRecords=1)
    assert newest["AlarmHistoryItems"][0]["HistorySummary"] == changes[-1]["HistorySummary"] and newest["NextToken"]


def test_a_state_survives_kill_minus_9_until_there_is_evidence(server, watch):
    # Its periods are too long to be over during this test: only what is stored can answer.
    watch.put_metric_alarm(**{**ALARM, "AlarmName": "durable", "Period": 3600, "EvaluationPeriods": 5, "TreatMissingData": "missing"})
    watch.set_alarm_state(AlarmName="durable", StateValue="ALARM", StateReason="a rehearsal", StateReasonData='{"by": "hand"}')
    before = describe(watch, "durable")
    server.kill()
    server.start()
    after = describe(watch, "durable")
    assert after == before and after["StateReason"] == "a rehearsal"
    time.sleep(2)  # several evaluations
    assert describe(watch, "durable") == before
    assert refused(watch.set_alarm_state, AlarmName="durable", StateValue="OK", StateReason="x", StateReasonData="{")["Code"].startswith("InvalidFormat")
    assert refused(watch.set_alarm_state, AlarmName="nobody", StateValue="OK", StateReason="x")["Code"] == "ResourceNotFound"


class Listener(HttpServer):
    """Hears alarm actions; the first `refuse` calls are answered with 503."""

    def __init__(self, refuse=0):
        self.events = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                outer.events.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(503 if len(outer.events) <= refuse else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__(Handler)

    def __enter__(self):
        return self.url, self.events


def test_actions_call_functions_until_they_have_heard(server, watch):
    with Listener(refuse=1) as (url, events):
        server.watari("function", "put", "pager", "--url", url)
        action = f"arn:aws:lambda:{server.region}:123456789012:function:pager"
        watch.put_metric_alarm(**{**ALARM, "AlarmName": "paged", "Period": 3600}, AlarmActions=[action], OKActions=[url])
        watch.set_alarm_state(AlarmName="paged", StateValue="ALARM", StateReason="by hand")
        deadline = time.monotonic() + 30
        while len(events) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert [event["alarmData"]["state"]["value"] for event in events[:2]] == ["ALARM", "ALARM"], "503 is tried again"
        assert events[0]["alarmData"]["previousState"]["value"] == "INSUFFICIENT_DATA"
        assert events[0]["alarmArn"].endswith(":alarm:paged") and events[0]["alarmData"]["configuration"]["metrics"][0]["metricStat"]["stat"] == "Sum"
        told = []
        while not told and time.monotonic() < deadline:
            told = watch.describe_alarm_history(AlarmName="paged", HistoryItemType="Action")["AlarmHistoryItems"]
        assert told[0]["HistorySummary"].startswith("Successfully executed action")
        watch.disable_alarm_actions(AlarmNames=["paged"])
        watch.set_alarm_state(AlarmName="paged", StateValue="OK", StateReason="by hand")
        time.sleep(2)
        assert [event["alarmData"]["state"]["value"] for event in events] == ["ALARM", "ALARM"], "actions are disabled"


def test_the_aws_cli_works_too(server):
    server.aws("cloudwatch", "put-metric-alarm", "--alarm-name", "cli", "--namespace", "Shop", "--metric-name", "Errors", "--statistic", "Sum", "--period", "60",
               "--evaluation-periods", "2", "--threshold", "1", "--comparison-operator", "LessThanThreshold")
    assert server.aws("cloudwatch", "describe-alarms", "--alarm-names", "cli")["MetricAlarms"][0]["EvaluationPeriods"] == 2
    server.aws("cloudwatch", "put-metric-data", "--namespace", "Cli", "--metric-name", "Orders", "--value", "3", "--unit", "Count")
    assert server.aws("cloudwatch", "list-metrics", "--namespace", "Cli")["Metrics"] == [{"Namespace": "Cli", "MetricName": "Orders", "Dimensions": []}]
    server.aws("cloudwatch", "delete-alarms", "--alarm-names", "cli")


def test_older_protocols_say_the_same(server, watch):
    watch.put_metric_alarm(**{**ALARM, "AlarmName": "old"})
    key, secret = server.keys

    def send(body, headers):
        request = botocore.awsrequest.AWSRequest("POST", server.url + "/", data=body, headers=headers)
        botocore.auth.SigV4Auth(botocore.credentials.Credentials(key, secret), "monitoring", server.region).add_auth(request)
        return requests.post(server.url + "/", data=body, headers=dict(request.headers), timeout=30)

    query = send("Action=DescribeAlarms&Version=2010-08-01&AlarmNames.member.1=old", {"content-type": "application/x-www-form-urlencoded"})
    assert query.status_code == 200 and "<AlarmName>old</AlarmName>" in query.text and "<Threshold>5" in query.text
    error = send("Action=DeleteAlarms&Version=2010-08-01&AlarmNames.member.1=nobody", {"content-type": "application/x-www-form-urlencoded"})
    assert "<Code>ResourceNotFound</Code>" in error.text
    answer = send(json.dumps({"AlarmNames": ["old"]}), {"content-type": "application/x-amz-json-1.0", "x-amz-target": "GraniteServiceVersion20100801.DescribeAlarms"})
    assert answer.json()["MetricAlarms"][0]["AlarmName"] == "old"
    watch.delete_alarms(AlarmNames=["old"])
