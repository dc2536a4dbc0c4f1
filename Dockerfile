# One image for all roles: `docker run headrace standalone`, `… distributor`, `… ingester`, `… querier`.

FROM rust:1.95-slim-bookworm AS rust

FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY --from=rust /usr/local/cargo /usr/local/cargo
COPY --from=rust /usr/local/rustup /usr/local/rustup
ENV PATH=/opt/headrace/bin:/usr/local/cargo/bin:$PATH RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo
RUN python3 -m venv /opt/headrace
WORKDIR /src
COPY requirements/run.txt requirements/
RUN pip install --no-cache-dir --no-compile --require-hashes -r requirements/run.txt
COPY . .
# Crates that are compiled once stay for the next build. What only builds is taken out before the copy.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    maturin build --release --locked --out /wheels \
    && pip install --no-cache-dir --no-compile --no-deps --no-index /wheels/*.whl \
    && pip uninstall --yes maturin pip setuptools \
    && python3 -m compileall -q -j 2 /opt/headrace/lib

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --home-dir /data headrace && mkdir /data && chown headrace /data
COPY --from=build /opt/headrace /opt/headrace
ENV PATH=/opt/headrace/bin:$PATH PYTHONUNBUFFERED=1 HEADRACE_LISTEN=0.0.0.0:9009 HEADRACE_DATA=/data
USER headrace
WORKDIR /data
EXPOSE 9009 9095
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5m CMD ["python3", "-m", "headrace.healthcheck"]
ENTRYPOINT ["headrace"]
CMD ["standalone"]
