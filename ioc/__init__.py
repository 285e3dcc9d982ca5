"""The core that every service shares."""
