"""A worker and its claims: what is stale is rendered, embedded and published."""
