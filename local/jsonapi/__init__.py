"""AWS's JSON protocol for services of our own: dispatch, validation by botocore's model, paging."""
