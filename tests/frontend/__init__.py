"""The dashboard of a web service, as its users have it: built, installed, and open in Chromium."""
