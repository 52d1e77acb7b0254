"""The engine of tracing: what every element of every tensor is, kept while one forward pass runs."""
