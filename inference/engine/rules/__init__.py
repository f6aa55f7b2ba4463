"""Rules: what a part of a picture becomes. numpy and OpenCV only; nothing here needs torch."""
