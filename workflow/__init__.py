"""The language of templates: node specs and typed graphs. Standard library only.

templates validates graphs, jobs estimates them, the worker runs them; all three by this package.
"""
