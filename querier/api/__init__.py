"""Prometheus's HTTP API, version 1, as Prometheus 3.14 answers it."""
