"""The ledger's rules: pure functions from rows, as read, to compare-and-swap writes.

Nothing here does I/O or reads a clock. :mod:`.rows` says what is stored, :mod:`.store` how it is
read and written; the other modules decide. Property tests, the simulation of ``bench/ledger.py``
and production run exactly this code.
"""
