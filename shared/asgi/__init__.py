"""HTTP without a framework, for the routes that are called often."""
