"""A custom resource's provider: answers with the stack's token."""

import json
import logging
import urllib.request

log = logging.getLogger()
log.setLevel(logging.INFO)


def handler(event, context):
    """Answer Create, Update and Delete by a PUT to the response URL."""
    if "RequestType" not in event:
        return {"echo": event}
    properties = event["ResourceProperties"]
    log.info("%s %s", event["RequestType"], json.dumps(properties))
    broken = properties.get("Mode") == "broken" and event["RequestType"] != "Delete"
    body = {
        "Status": "FAILED" if broken else "SUCCESS",
        "Reason": "Mode is broken" if broken else "",
        "PhysicalResourceId": event.get("PhysicalResourceId") or "identity-1",
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": {"Token": properties["Stack"][:10].rstrip("-"), "Number": properties["Number"]},
    }
    request = urllib.request.Request(
        event["ResponseURL"], json.dumps(body).encode(), {"content-type": ""}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return {"status": answer.status}
