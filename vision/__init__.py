"""Camera frames in, detections and counts out."""
