"""What the command ``hypernets`` does where it needs data."""
