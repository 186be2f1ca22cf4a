"""SQS: moto's queues, with long polling, scaled waits and pollers for functions."""
