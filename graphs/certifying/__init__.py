"""Proof that a conversion is right, by symmetries and forward passes."""
