"""The costs of Holdfast, measured side by side."""
