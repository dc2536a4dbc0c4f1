"""The cluster's store, registry and membership: Redis."""
