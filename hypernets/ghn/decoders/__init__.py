"""Decoders: from the embedding of a node to the numbers of its parameter, as many as one table of a model holds.

Every decoder of weights has ``fit(canonical) -> size``, what it decodes of an ``(out, in, height, width)``;
``decoder(x, size)``: ``[n, hidden] -> [n, *size]``; and ``classify(x, inputs)``: ``[n, num_classes, inputs]``.
"""
