"""A zoo in the formats of others."""
