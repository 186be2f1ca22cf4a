"""The only package that imports AWS's SDK: one small module a service."""
