"""What stands in for a SageMaker container: a real process with a private `/opt/ml`."""
