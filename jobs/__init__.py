"""What runs inside SageMaker jobs: `entry` starts a step, the steps do the work."""

import os

# Idle OpenMP threads that spin steal the cores of other jobs: two LightGBM jobs at once on two
# cores take ten times as long. Read when the library is loaded, hence here.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
