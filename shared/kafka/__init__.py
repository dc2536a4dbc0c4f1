"""The log on Kafka.

| module | what it does |
|---|---|
| `settings` | where Kafka is, how it is spoken to, and the times of it |
| `clients` | kafka-python's clients, made from the settings |
| `sockets` | their connections |
| `failures` | its errors as ours |
| `topic` | the topic: made if it is missing, looked at when a process starts |
| `sending` | the thread that sends records, and the acknowledgements |
| `lookups` | the thread that asks for offsets, for many callers at once |
| `reader` | records of assigned partitions, for one thread |
| `log` | the whole, as `shared.seams.log.Log` |
"""
