"""The offline writer: copywriting patterns and a map onto what the bundled model can draw."""
