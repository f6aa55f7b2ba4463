"""Wallets: lots, entries, holds and their settlement."""
