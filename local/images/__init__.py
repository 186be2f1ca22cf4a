"""Programs that stand in for AWS's images of built-in algorithms. They run as jobs, in an
environment of their own: nothing of the local cloud itself is theirs to import."""
