"""Errors that several parts of the cloud must know."""


class LambdaError(Exception):
    """An invocation that is refused: HTTP status, AWS's error code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
