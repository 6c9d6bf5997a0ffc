"""What a training leaves to read: model card, HTML report, plots."""
