"""One module per role: what it is made of, which paths it serves, how it ends. Each works on the seams, so that the
standalone server and the processes of a cluster open the same roles on different logs and stores.
"""
