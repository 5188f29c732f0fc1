"""What rules say of changes and of documents."""
