"""Training of graph hypernetworks: a stream of architectures, networks that run with predicted weights, a task."""
