"""Runs Prometheus's own test language against our engine, or against a server.

`language` reads a file into commands, `series` the notation of values, `storage` holds what was loaded, `expectation`
compares, `runner` puts them together, and `served` is a server instead of the engine.
"""
