"""Shared by the functions of the test app."""

VERSION = 1
