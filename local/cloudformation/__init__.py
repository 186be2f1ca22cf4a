"""CloudFormation for the local cloud: templates, change sets, stacks, events, rollback.

`install(cloud)` plugs the service in; nothing outside this package needs more than that.
"""
