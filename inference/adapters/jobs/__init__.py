"""What serverless jobs say and hear: JSON, files in base64; one module for each kind of work."""
