"""The built-in families of architectures; ``graphs.recipe.FAMILIES`` names them."""
