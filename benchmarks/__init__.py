"""What Holdfast costs, measured side by side."""
