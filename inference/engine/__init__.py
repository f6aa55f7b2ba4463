"""Sampling on this machine: plain torch and diffusers, no transport and no platform.

The same engine runs below Triton, in a process of its own, or inside another one. Importing this
package, :mod:`.request`, :mod:`.errors` and :mod:`.shapes` needs the standard library only.
"""
