"""Runs Prometheus's own test language against our engine, without a server.

`language` reads a file into commands, `series` the notation of values, `storage` holds what was loaded, `expectation`
compares, and `runner` puts them together.
"""
