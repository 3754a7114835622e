"""The console's page: its files, sign-in, and the images it shows."""
