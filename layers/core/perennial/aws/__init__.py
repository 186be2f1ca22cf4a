"""The only package that imports boto3: one small module a service."""
