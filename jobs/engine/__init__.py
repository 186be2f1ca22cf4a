"""The array maths of the jobs: numpy and the standard library only."""
