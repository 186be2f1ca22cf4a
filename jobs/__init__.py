"""What runs inside SageMaker jobs: `entry` starts a step, the steps do the work."""
