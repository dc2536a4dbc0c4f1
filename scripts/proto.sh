#!/usr/bin/env bash
# Compiles the messages between processes. proto.sh [DIR]: writes below DIR instead of the project's root.
. "$(dirname "$0")/lib.sh"
out=${1:-.}
PATH=$PWD/$VENV/bin:$PATH $VENV/bin/python -m grpc_tools.protoc -I . --python_out="$out" --mypy_out="$out" shared/rpc/ingester.proto
