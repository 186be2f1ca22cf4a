"""The command `perennial`: one file per family of commands; all reading is `perennial`'s."""
