"""The load generator: writes on schedule, asks all the while, and reads everything back.

| module | what it does |
|---|---|
| `traffic` | what is written, and when it is due |
| `alarm` | how everything in a run learns that it is over |
| `ledger` | what the server acknowledged |
| `http` | a small HTTP client: one request at a time on one connection |
| `latency` | a histogram of times with percentiles |
| `tally` | counters, errors by kind, outages |
| `writing` | senders: open loop, retries, never dropped silently |
| `checking` | reads back random ranges while it writes, and everything at the end |
| `asking` | queries at a fixed rate |
| `run` | the whole: `Load` |
| `report` | what came out, as text and as JSON |
| `command` | `headrace load` |
"""
