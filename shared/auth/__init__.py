"""Who is asking: tokens, the credentials that carry them, and the instance they belong to."""
