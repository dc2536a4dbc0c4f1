"""`headrace query`: asks a server in PromQL and shows the answer, or the plan, on a terminal.

| module | what it does |
|---|---|
| `command`, `running` | the options, and what becomes of them |
| `asking` | one request and its answer |
| `moments` | times as people write them |
| `answer` | the answer's series as numbers |
| `table`, `graph`, `tree` | what is printed: rows and bars, curves of dots, plans |
"""
