"""Model Monitor: job definitions, monitoring schedules, and their executions.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor.html
"""
