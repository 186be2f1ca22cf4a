"""Every resource type that the local cloud carries out, by its CloudFormation name."""

from __future__ import annotations

from local.cloudformation.resources import (
    apis,
    dynamodb,
    events,
    function_events,
    functions,
    iam,
    monitoring,
    others,
    s3,
    scheduler,
    sns,
    sqs,
    stepfunctions,
)
from local.cloudformation.resources.base import ResourceType

RESOURCE_TYPES: dict[str, ResourceType] = {
    kind.type_name: kind()
    for kind in (
        s3.Bucket,
        s3.BucketPolicy,
        dynamodb.Table,
        sqs.Queue,
        sqs.QueuePolicy,
        sns.Topic,
        sns.Subscription,
        sns.TopicPolicy,
        functions.Function,
        functions.LayerVersion,
        functions.Version,
        functions.Alias,
        function_events.Permission,
        function_events.EventSourceMapping,
        function_events.EventInvokeConfig,
        events.Rule,
        events.EventBus,
        scheduler.Schedule,
        scheduler.ScheduleGroup,
        iam.Role,
        iam.Policy,
        iam.ManagedPolicy,
        monitoring.Alarm,
        monitoring.CompositeAlarm,
        monitoring.Dashboard,
        monitoring.LogGroup,
        monitoring.MetricFilter,
        stepfunctions.StateMachine,
        apis.Api,
        apis.Stage,
        apis.Route,
        apis.Integration,
        apis.Authorizer,
        others.ModelPackageGroup,
        others.Key,
        others.KeyAlias,
        others.Parameter,
    )
}
