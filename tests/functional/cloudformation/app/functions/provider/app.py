"""A custom resource's provider: answers with the stack's token."""

import json
import urllib.request


def handler(event, context):
    """Answer Create, Update and Delete by a PUT to the response URL."""
    if "RequestType" not in event:
        return {"echo": event}
    properties = event["ResourceProperties"]
    print(json.dumps({"request": event["RequestType"], "properties": properties}))
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
