"""Changes read from a logical replication slot."""
