"""The command `perennial`: one file per family of commands; all reading goes through `perennial`."""
