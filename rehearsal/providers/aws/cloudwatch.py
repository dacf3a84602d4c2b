"""CloudWatch metric alarms and dashboards."""

from typing import Any

from rehearsal.providers.aws.resource import Call, Naming, ResourceType, from_api, tags_of, to_api
from rehearsal.providers.aws.schema import (
    array,
    block,
    boolean,
    document,
    integer,
    mapping,
    number,
    string,
    unordered,
)
from rehearsal.providers.aws.waiting import is_missing, missing_is_fine
from rehearsal.providers.values import Tree

_RENAMED = {"okActions": "OKActions"}
_PLAIN = (
    "actionsEnabled",
    "alarmActions",
    "alarmDescription",
    "comparisonOperator",
    "datapointsToAlarm",
    "evaluateLowSampleCountPercentiles",
    "evaluationPeriods",
    "extendedStatistic",
    "insufficientDataActions",
    "metricName",
    "namespace",
    "okActions",
    "period",
    "statistic",
    "threshold",
    "thresholdMetricId",
    "treatMissingData",
    "unit",
)
_API_NAMES = {
    **{name: _RENAMED.get(name, name[:1].upper() + name[1:]) for name in _PLAIN},
    "evaluateLowSampleCountPercentiles": "EvaluateLowSampleCountPercentile",
}


def _dimensions(dimensions: Tree) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in dimensions.items()]


def _put(call: Call, tags: list[dict[str, str]]) -> None:
    inputs = call.inputs
    alarm: Tree = {api: inputs[name] for name, api in _API_NAMES.items() if name in inputs}
    if "dimensions" in inputs:
        alarm["Dimensions"] = _dimensions(inputs["dimensions"])
    if "metricQueries" in inputs:
        alarm["Metrics"] = [_to_query(query) for query in inputs["metricQueries"]]
    if tags:
        alarm["Tags"] = tags
    call.client("cloudwatch").put_metric_alarm(AlarmName=inputs["name"], **alarm)


def _to_query(query: Tree) -> Tree:
    names = {"id": "Id", "expression": "Expression", "label": "Label", "period": "Period", "returnData": "ReturnData"}
    result: Tree = {api: query[name] for name, api in names.items() if name in query}
    if "metric" in query:
        metric = query["metric"]
        what: Tree = to_api({name: metric[name] for name in ("namespace", "metricName") if name in metric})
        what["Dimensions"] = _dimensions(metric.get("dimensions", {}))
        result["MetricStat"] = {"Metric": what, "Period": metric["period"], "Stat": metric["stat"]}
        if "unit" in metric:
            result["MetricStat"]["Unit"] = metric["unit"]
    return result


def _from_query(query: dict[str, Any]) -> Tree:
    result = from_api({key: value for key, value in query.items() if key != "MetricStat" and value is not None})
    if "MetricStat" in query:
        stat = query["MetricStat"]
        metric = from_api({key: value for key, value in stat["Metric"].items() if key != "Dimensions"})
        metric |= {"period": stat["Period"], "stat": stat["Stat"]}
        metric["dimensions"] = {entry["Name"]: entry["Value"] for entry in stat["Metric"].get("Dimensions", [])}
        if stat.get("Unit"):
            metric["unit"] = stat["Unit"]
        result["metric"] = metric
    return result


def _create(call: Call) -> str:
    _put(call, call.tag_list)
    return call.inputs["name"]


def _read(call: Call) -> Tree | None:
    client = call.client("cloudwatch")
    alarms = client.describe_alarms(AlarmNames=[call.id])["MetricAlarms"]
    if not alarms:
        return None
    alarm = alarms[0]
    arn = alarm["AlarmArn"]
    live: Tree = {name: alarm.get(api) for name, api in _API_NAMES.items() if alarm.get(api) not in (None, "", [])}
    if alarm.get("Dimensions"):
        live["dimensions"] = {entry["Name"]: entry["Value"] for entry in alarm["Dimensions"]}
    if alarm.get("Metrics"):
        live["metricQueries"] = [_from_query(query) for query in alarm["Metrics"]]
    tags = tags_of(client.list_tags_for_resource(ResourceARN=arn)["Tags"])
    return {**live, "arn": arn, "name": alarm["AlarmName"], "tags": tags, "region": call.aws.region}


def _put_dashboard(call: Call) -> None:
    name, body = call.inputs["dashboardName"], call.inputs["dashboardBody"]
    call.client("cloudwatch").put_dashboard(DashboardName=name, DashboardBody=body)


def _create_dashboard(call: Call) -> str:
    _put_dashboard(call)
    return call.inputs["dashboardName"]


def _read_dashboard(call: Call) -> Tree | None:
    try:
        found = call.client("cloudwatch").get_dashboard(DashboardName=call.id)
    except Exception as error:
        if is_missing(error):
            return None
        raise
    return {
        "dashboardArn": found["DashboardArn"],
        "dashboardBody": found["DashboardBody"],
        "dashboardName": found["DashboardName"],
        "region": call.aws.region,
    }


TYPES = (
    ResourceType(
        token="aws:cloudwatch/metricAlarm:MetricAlarm",
        properties={
            "actionsEnabled": boolean(default=True),
            "alarmActions": unordered(string(), most=5),
            "alarmDescription": string(longest=1024),
            "comparisonOperator": string(
                required=True,
                choices=(
                    "GreaterThanOrEqualToThreshold",
                    "GreaterThanThreshold",
                    "LessThanThreshold",
                    "LessThanOrEqualToThreshold",
                    "LessThanLowerOrGreaterThanUpperThreshold",
                    "LessThanLowerThreshold",
                    "GreaterThanUpperThreshold",
                ),
            ),
            "datapointsToAlarm": integer(1),
            "dimensions": mapping(),
            "evaluateLowSampleCountPercentiles": string(computed=True, choices=("evaluate", "ignore")),
            "evaluationPeriods": integer(1, required=True),
            "extendedStatistic": string(),
            "insufficientDataActions": unordered(string(), most=5),
            "metricName": string(longest=255),
            "metricQueries": array(
                block(
                    {
                        "id": string(required=True, longest=255),
                        "expression": string(longest=2048),
                        "label": string(),
                        "metric": block(
                            {
                                "dimensions": mapping(),
                                "metricName": string(required=True, longest=255),
                                "namespace": string(longest=255),
                                "period": integer(1, required=True),
                                "stat": string(required=True),
                                "unit": string(),
                            }
                        ),
                        "period": integer(1),
                        "returnData": boolean(default=False),
                    }
                )
            ),
            "name": string(replaces=True, longest=255),
            "namespace": string(longest=255, pattern=r"[^:].*"),
            "okActions": unordered(string(), most=5),
            "period": integer(1),
            "statistic": string(choices=("SampleCount", "Average", "Sum", "Minimum", "Maximum")),
            "tags": mapping(),
            "threshold": number(),
            "thresholdMetricId": string(longest=255),
            "treatMissingData": string(default="missing", choices=("breaching", "notBreaching", "ignore", "missing")),
            "unit": string(),
            "region": string(computed=True, replaces=True),
        },
        outputs=("arn",),
        create=_create,
        read=_read,
        update=lambda call: _put(call, []),
        delete=lambda call: call.client("cloudwatch").delete_alarms(AlarmNames=[call.id]),
        naming=Naming(prefix_property=None),
        tag_service="cloudwatch",
    ),
    ResourceType(
        token="aws:cloudwatch/dashboard:Dashboard",
        properties={
            "dashboardBody": document(required=True),
            "dashboardName": string(required=True, replaces=True, longest=255, pattern=r"[-0-9A-Za-z_]+"),
            "region": string(computed=True, replaces=True),
        },
        outputs=("dashboardArn",),
        create=_create_dashboard,
        read=_read_dashboard,
        update=_put_dashboard,
        delete=lambda call: missing_is_fine(
            lambda: call.client("cloudwatch").delete_dashboards(DashboardNames=[call.id])
        ),
    ),
)
