"""Amazon SNS: topics, subscriptions and topic policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.cloudformation.errors import ResourceError
from local.cloudformation.policies import policy_problems
from local.cloudformation.resources.base import (
    Context,
    Made,
    Properties,
    ResourceType,
    absent_is_done,
    json_text,
    key_values,
    policy_text,
    tag_changes,
    words,
)

_TOPIC = ("DisplayName", "KmsMasterKeyId", "ContentBasedDeduplication", "SignatureVersion")
_SUBSCRIPTION = ("FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy")
_ENDPOINTS = {
    "sqs": "arn:aws:sqs:",
    "lambda": "arn:aws:lambda:",
    "http": "http://",
    "https": "https://",
    "email": "",
    "email-json": "",
}


class Topic(ResourceType):
    """AWS::SNS::Topic."""

    type_name = "AWS::SNS::Topic"
    carried_out = words("TopicName FifoTopic Subscription Tags " + " ".join(_TOPIC))
    attributes = words("TopicArn TopicName")
    custom_name = "TopicName"

    def problems(self, properties: Properties) -> list[str]:
        """Check what a FIFO topic demands."""
        name = properties.get("TopicName", "")
        if properties.get("FifoTopic") and name and not name.endswith(".fifo"):
            return ["Invalid parameter: Topic Name: a FIFO topic's name must end with .fifo"]
        if properties.get("ContentBasedDeduplication") and not properties.get("FifoTopic"):
            return ["Invalid parameter: ContentBasedDeduplication is for FIFO topics only"]
        return []

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the topic and the subscriptions that it lists."""
        client = context.client("sns")
        name = context.name(properties.get("TopicName"), 200)
        if properties.get("FifoTopic") and not name.endswith(".fifo"):
            name += ".fifo"
        attributes = _texts(properties, _TOPIC)
        if properties.get("FifoTopic"):
            attributes["FifoTopic"] = "true"
        arn = context.arn("sns", name)
        if any(topic["TopicArn"] == arn for topic in client.list_topics()["Topics"]):
            raise ResourceError(f"{name} already exists in stack or account")
        tags = key_values(context.tags(properties.get("Tags")))
        arn = client.create_topic(Name=name, Attributes=attributes, Tags=tags)["TopicArn"]
        context.claim(arn)
        for item in properties.get("Subscription", []):
            client.subscribe(TopicArn=arn, Protocol=item["Protocol"], Endpoint=item["Endpoint"])
        return Made(arn, {"TopicArn": arn, "TopicName": name})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Set the attributes that changed; add and remove listed subscriptions."""
        client, arn = context.client("sns"), made.physical_id
        before, after = _texts(old, _TOPIC), _texts(new, _TOPIC)
        for key in {*before, *after}:
            if before.get(key) != after.get(key):
                value = after.get(key, "")
                client.set_topic_attributes(TopicArn=arn, AttributeName=key, AttributeValue=value)
        gone = [
            item for item in old.get("Subscription", []) if item not in new.get("Subscription", [])
        ]
        for item in (
            client.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"] if gone else ()
        ):
            if {"Protocol": item["Protocol"], "Endpoint": item["Endpoint"]} in gone:
                client.unsubscribe(SubscriptionArn=item["SubscriptionArn"])
        for item in new.get("Subscription", []):
            if item not in old.get("Subscription", []):
                client.subscribe(TopicArn=arn, Protocol=item["Protocol"], Endpoint=item["Endpoint"])
        wanted, removed = tag_changes(context, old.get("Tags"), new.get("Tags"))
        if wanted:
            client.tag_resource(ResourceArn=arn, Tags=key_values(wanted))
        if removed:
            client.untag_resource(ResourceArn=arn, TagKeys=removed)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the topic with its subscriptions."""
        del properties
        with absent_is_done("NotFound", "NotFoundException"):
            context.client("sns").delete_topic(TopicArn=made.physical_id)


class Subscription(ResourceType):
    """AWS::SNS::Subscription."""

    type_name = "AWS::SNS::Subscription"
    carried_out = words("Endpoint Protocol TopicArn " + " ".join(_SUBSCRIPTION))
    attributes = words("Arn")
    tagged = False

    def problems(self, properties: Properties) -> list[str]:
        """Check that the endpoint is of the protocol's kind."""
        protocol, endpoint = properties["Protocol"], properties.get("Endpoint")
        if protocol not in _ENDPOINTS:
            return [f"Protocol {protocol} is not supported by the local cloud"]
        if not endpoint:
            return ["Invalid parameter: Endpoint"]
        if not str(endpoint).startswith(_ENDPOINTS[protocol]):
            return [f"Invalid parameter: {protocol.upper()} endpoint ARN or URL: {endpoint}"]
        if protocol.startswith("email") and "@" not in str(endpoint):
            return ["Invalid parameter: Email address"]
        return []

    def create(self, context: Context, properties: Properties) -> Made:
        """Subscribe."""
        arn = context.client("sns").subscribe(
            TopicArn=properties["TopicArn"],
            Protocol=properties["Protocol"],
            Endpoint=properties["Endpoint"],
            Attributes=_texts(properties, _SUBSCRIPTION),
            ReturnSubscriptionArn=True,
        )["SubscriptionArn"]
        return Made(arn, {"Arn": arn})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Set the attributes that changed."""
        before, after = _texts(old, _SUBSCRIPTION), _texts(new, _SUBSCRIPTION)
        for key in {*before, *after}:
            if before.get(key) != after.get(key):
                context.client("sns").set_subscription_attributes(
                    SubscriptionArn=made.physical_id,
                    AttributeName=key,
                    AttributeValue=after.get(key, "false" if key == "RawMessageDelivery" else ""),
                )
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Unsubscribe."""
        del properties
        with absent_is_done("NotFound", "NotFoundException"):
            context.client("sns").unsubscribe(SubscriptionArn=made.physical_id)


class TopicPolicy(ResourceType):
    """AWS::SNS::TopicPolicy."""

    type_name = "AWS::SNS::TopicPolicy"
    carried_out = words("PolicyDocument Topics")
    attributes = words("Id")
    tagged = False

    def problems(self, properties: Properties) -> list[str]:
        """Check the document."""
        return policy_problems(properties["PolicyDocument"], identity=False)

    def create(self, context: Context, properties: Properties) -> Made:
        """Set the policy on each topic."""
        self._set(context, properties)
        name = context.name(None)
        return Made(name, {"Id": name})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Set the new policy."""
        del old
        self._set(context, new)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Return to the policy that every topic has when nobody sets one: its owner may use it."""
        del made
        for arn in properties["Topics"]:
            owner = {
                "Statement": [
                    {
                        "Sid": "__default_statement_ID",
                        "Effect": "Allow",
                        "Principal": {"AWS": "*"},
                        "Action": ["SNS:Publish", "SNS:Subscribe", "SNS:GetTopicAttributes"],
                        "Resource": arn,
                        "Condition": {"StringEquals": {"AWS:SourceOwner": context.cloud.account}},
                    }
                ]
            }
            with absent_is_done("NotFound", "NotFoundException"):
                context.client("sns").set_topic_attributes(
                    TopicArn=arn, AttributeName="Policy", AttributeValue=policy_text(owner)
                )

    @staticmethod
    def _set(context: Context, properties: Properties) -> None:
        for arn in properties["Topics"]:
            context.client("sns").set_topic_attributes(
                TopicArn=arn,
                AttributeName="Policy",
                AttributeValue=policy_text(properties["PolicyDocument"]),
            )


def _texts(properties: Properties, names: tuple[str, ...]) -> dict[str, str]:
    texts = {}
    for name in names:
        if name in properties:
            value = properties[name]
            texts[name] = str(value).lower() if isinstance(value, bool) else json_text(value)
    return texts
