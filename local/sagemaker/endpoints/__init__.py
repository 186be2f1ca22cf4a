"""Models, endpoint configurations and endpoints whose instances are real server processes."""
