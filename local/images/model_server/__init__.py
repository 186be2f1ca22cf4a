"""The program that a model server runs: HTTP, the contract with the user's module, workers.

It runs in the image's own environment, with the user's code on the path. It may import nothing
but the standard library and itself.
"""
