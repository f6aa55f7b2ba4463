"""The floor that every process stands on: settings, RPC, database, events, objects, telemetry."""
