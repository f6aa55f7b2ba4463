"""Pictures and type: pure functions of Pillow images, run in threads by the nodes."""
