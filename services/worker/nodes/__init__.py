"""The nodes of workflow/specs.py, one module each."""
