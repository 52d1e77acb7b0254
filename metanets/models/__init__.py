"""The published models, one file a paper."""
